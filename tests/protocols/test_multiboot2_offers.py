"""Multiboot2: when the i386 entry is offered, what a refusal says, what the EFI entries get."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmlite import images
from hvmlite.model import Image, Offer, Preference, Refusal, Relocation
from hvmlite.protocols import multiboot2
from makers.multiboot import CODE, MIB, START, elf, header2, image, tag


def offer(data) -> Offer:
    found = multiboot2.offers(image(data))
    assert isinstance(found, Offer), found
    return found


def reasons(data) -> str:
    found = multiboot2.offers(image(data))
    assert isinstance(found, Refusal), found
    assert found.protocol == "multiboot2"
    return "; ".join(map(str, found.reasons))


def facts(data) -> list[str]:
    return [f"{name}: {value}" for name, value in offer(data).facts]


@pytest.mark.parametrize("bits", [32, 64])
def test_an_elf_of_either_class_is_offered(bits):
    found = offer(elf(header2(), bits=bits))
    assert (found.protocol, found.entry, found.nested) == ("multiboot2", START + 0x20, False)
    assert found.needs == START + 0x2000
    assert ("mode" in dict(found.facts)) == (bits == 64)


def test_a_compressed_elf_is_unpacked():
    assert multiboot2.offers(images.parse(gzip.compress(elf(header2())), "kernel.gz")).nested


# Where the header may be


def flat(*tags, before=b"", load=START, after=CODE, at=None, end=0, bss=0, entry=None):
    """A plain binary with an address and an entry tag."""
    length = len(header2(tag(2, 0, 0, 0, 0), tag(3, 0), *tags))
    at = load + len(before) if at is None else at
    entry = at + length if entry is None else entry
    return before + header2(tag(2, at, load, end, bss), tag(3, entry), *tags) + after


@pytest.mark.parametrize("before", [0, 8, 0x1000, 32768 - 64])
def test_the_window_is_the_first_32768_bytes_to_the_byte(before):
    assert offer(flat(before=bytes(before))).entry == START + before + 64


@pytest.mark.parametrize(
    ("before", "what"),
    [
        (32768 - 56, "nearest: at 0x7fc8-0x8008, not wholly within 0x8000"),
        (32768, "nearest: at 0x8000, behind the first 32768 bytes"),
        (0x100000, "nearest: at 0x100000, behind the first 32768 bytes"),
        (4, "nearest: at 0x4, which is no multiple of 8"),
    ],
)
def test_row_35_a_header_that_a_linker_has_pushed_away_is_told(before, what):
    assert what in reasons(flat(before=bytes(before)))


@pytest.mark.parametrize(
    ("header", "what"),
    [
        (
            header2(checksum=5),
            "at 0x0 magic, architecture, length and checksum add up to 0xe85250f3",
        ),
        (header2(architecture=4), "at 0x0 is for architecture 4, not i386 (0)"),
        (header2(length=8), "at 0x0 has a length of 0x8 bytes"),
        (header2()[:12], "at 0x0 is cut off by the end of the file"),
        (header2(length=0x1000), "at 0x0 is 0x1000 bytes long, more than the file has"),
    ],
)
def test_a_header_that_is_none_is_told(header, what):
    assert what in reasons(header)


@pytest.mark.parametrize(
    ("header", "what"),
    [
        (header2(tag(1, size=4)), "tag 1 at file offset 0x10 with size 0x4, 8 or more"),
        (header2(tag(1, size=0)), "with size 0x0, 8 or more"),
        (
            header2(tag(1, size=0x11)),
            "with size 0x11, 8 or more, and an end within the header's 0x20",
        ),
        (header2(tag(1, size=0xFFFFFFFF)), "with size 0xffffffff"),
        (header2(end=b""), "no end tag in its 0x10 bytes, a tag of type 0 needed"),
        (header2(tag(6), end=b""), "no end tag in its 0x18 bytes"),
        (header2(tag(2, 0)), "tag 2 at file offset 0x10 with size 0xc, 24 bytes or more needed"),
        (header2(tag(3)), "tag 3 at file offset 0x10 with size 0x8, 12 bytes or more needed"),
        (header2(tag(10, 0, 0, 1)), "tag 10 at file offset 0x10 with size 0x14, 24 bytes"),
    ],
)
def test_broken_tags_are_told(header, what):
    assert what in reasons(header.ljust(64, b"\0"))


# Tags


@pytest.mark.parametrize("kind", [11, 99, 0xFFFF])
def test_an_unknown_tag_is_refused_by_number_if_it_is_required(kind):
    assert f"required tag {kind}, a type from 0 to 10 needed" in reasons(elf(header2(tag(kind))))
    assert any(f"type {kind}, optional" in f for f in facts(elf(header2(tag(kind, optional=True)))))


def test_the_efi_entries_are_closed_with_the_reason():
    tags = (tag(7, optional=True), tag(8, START, optional=True), tag(9, START, optional=True))
    told = facts(elf(header2(*tags)))
    for name in ("EFI boot services", "EFI i386 entry", "EFI amd64 entry"):
        assert f"{name}: closed: no UEFI boot services on a machine without firmware" in told
    assert offer(elf(header2(tag(9, START))))  # the i386 entry is there all the same


def test_required_boot_services_are_refused_by_name():
    text = reasons(elf(header2(tag(7))))
    assert "required tag 7 (EFI boot services), an optional one needed: no UEFI boot serv" in text


NOT_GIVEN = {
    5: "BIOS boot device",
    7: "VBE information",
    10: "APM table",
    11: "EFI 32-bit system table",
    12: "EFI 64-bit system table",
    13: "SMBIOS tables",
    16: "networking information",
    17: "EFI memory map",
    18: "EFI boot services not terminated",
    19: "EFI 32-bit image handle",
    20: "EFI 64-bit image handle",
}


@pytest.mark.parametrize("kind", range(22))
@pytest.mark.parametrize("optional", [False, True])
def test_information_that_is_not_available_is_named(kind, optional):
    # The document, 3.1.4: known but not available is no reason not to start.
    told = [f for f in facts(elf(header2(tag(1, kind, optional=optional)))) if "request" in f]
    assert bool(told) == (kind in NOT_GIVEN)
    for text in told:
        assert f"type {kind} ({NOT_GIVEN[kind]}), {'optional' if optional else 'required'}" in text


def test_unknown_information_is_refused_by_number_if_it_is_required():
    data = elf(header2(tag(1, 4, 22, 6, 99)))
    text = reasons(data)
    assert "information request: required type 22, 99, a type from 0 to 21 needed" in text
    told = facts(elf(header2(tag(1, 4, 22, optional=True))))
    assert "information request: type 22, optional and not known" in told


def test_an_entry_address_tag_wins_over_the_elf_s_entry():
    found = offer(elf(header2(tag(3, START + 8)), entry=0))
    assert found.entry == START + 8
    assert "entry address tag" in dict(found.facts)["entry"]
    assert "entry address tag: 0x0 outside 0x100000-0x102000" in reasons(elf(header2(tag(3, 0))))


def test_an_address_tag_needs_an_entry_tag():
    data = header2(tag(2, START, START, 0, 0)) + CODE
    assert "an address tag alone, an entry address tag beside it needed" in reasons(data)
    assert "image format: raw, an ELF needed" in reasons(header2() + CODE)


def test_a_load_address_of_all_ones_is_the_beginning_of_the_file():
    data = flat(before=bytes(0x40), load=0xFFFFFFFF, at=START + 0x40, entry=START + 0x80)
    (segment,) = offer(data).image.segments
    assert (segment.paddr, segment.memsz) == (START, len(data))


def test_the_wish_for_a_frame_buffer_becomes_a_fact():
    told = facts(elf(header2(tag(5, 1024, 768, 32), tag(6), tag(4, 2))))
    assert "framebuffer tag: 1024x768x32, required" in told


# Relocation


def moved(*words, optional=False, **options):
    return elf(header2(tag(10, *words, optional=optional)), **options)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((0, 0xFFFFFFFF, 0x1000, 0), Relocation(0x1000, 0, 0xFFFFFFFE)),
        ((0, 0xFFFFFFFF, 0, 0), Relocation(1, 0, 0xFFFFFFFE)),
        ((0, 0xFFFFFFFF, 0x1000, 1), Relocation(0x1000, 0, 0xFFFFFFFE, Preference.LOWEST)),
        ((0, 0xFFFFFFFF, 0x1000, 2), Relocation(0x1000, 0, 0xFFFFFFFE, Preference.HIGHEST)),
        ((0, 0xFFFFFFFF, 0x1000, 9), Relocation(0x1000, 0, 0xFFFFFFFE)),
        # where it is linked is not allowed: it is moved at once
        (
            (2 * MIB, 9 * MIB, 0x1000, 0),
            Relocation(0x1000, 2 * MIB, 9 * MIB - 1, Preference.LOWEST),
        ),
        ((0, 9 * MIB, 2 * MIB, 0), Relocation(2 * MIB, 0, 9 * MIB - 1, Preference.LOWEST)),
        ((0, 0x101FFF, 1, 0), Relocation(1, 0, 0x101FFE, Preference.LOWEST)),
        ((START, START + 0x2000, 1, 0), Relocation(1, START, START + 0x1FFF)),
    ],
)
def test_relocation_and_its_preference(words, expected):
    assert offer(moved(*words)).relocation == expected


@pytest.mark.parametrize(
    "words",
    [
        (START, START + 0x1FFF, 1, 0),
        (5, 4, 1, 0),
        (0, 0, 1, 2),
        (1, 0x2000, 0x1000, 0),
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0),
    ],
)
def test_a_range_without_room_is_refused_or_ignored(words):
    assert "relocatable tag: 0x2000 bytes do not fit" in reasons(moved(*words))
    found = offer(moved(*words, optional=True))
    assert found.relocation is None
    assert "ignored" in dict(found.facts)["relocatable tag"]


def test_an_image_that_may_lie_lower_needs_less_ram():
    high = moved(4 * MIB, 0xFFFFFFFF, 0x200000, 2)
    assert offer(high).needs == START + 0x2000  # as linked: lower than any other place
    low = moved(0, 0xFFFFFFFF, 0x1000, 2, paddr=32 * MIB)
    assert offer(low).needs == MIB + 0x2000


# Hostile input


@given(st.binary(max_size=200), st.integers(0, 0x8010))
def test_arbitrary_bytes_are_refused_or_offered(data, before):
    for start in (b"", header2()[:16], header2(end=b"", length=16 + len(data))):
        found = multiboot2.offers(image(b"\0" * (before & ~7) + start + data))
        assert isinstance(found, Offer | Refusal)


words = st.one_of(st.integers(0, 0xFFFFFFFF), st.sampled_from([0, START, MIB * 2, 0xFFFFFFFF]))
tags = st.builds(
    lambda kind, body, optional, size: tag(kind, *body, optional=optional, size=size),
    st.integers(0, 12),
    st.lists(words, max_size=6),
    st.booleans(),
    st.one_of(st.none(), st.integers(0, 40)),
)


@given(st.lists(tags, max_size=6), st.booleans())
def test_arbitrary_tags_are_refused_or_offered(found, in_elf):
    header = header2(*found)
    data = elf(header) if in_elf else header + CODE
    assert isinstance(multiboot2.offers(image(data)), Offer | Refusal)


def test_a_file_full_of_magics_is_read_in_bounded_time():
    data = memoryview(header2()[:4] * (16 << 20))
    found = multiboot2.offers(Image("raw", "kernel", data))
    assert isinstance(found, Refusal)
    assert len(str(found.reasons[0])) < 600


def test_a_header_full_of_unknown_types_is_told_in_a_line():
    asked = tag(1, *range(100, 1600))
    assert len(reasons(elf(header2(asked)))) < 300
    assert "required type 100, 101, 102, 103, 104, 105, 106, 107, ..., a" in reasons(
        elf(header2(asked))
    )
    tags = [tag(100 + n) for n in range(800)]
    assert "required tag 100, 101, 102, 103, 104, 105, 106, 107, ..., a" in reasons(
        elf(header2(*tags))
    )
    tags = [tag(100 + n, optional=True) for n in range(400)]
    asked = tag(1, *range(100, 900), optional=True)
    assert sum(map(len, facts(elf(header2(asked, *tags))))) < 400


def test_a_frame_buffer_of_no_size_is_no_preference():
    told = facts(elf(header2(tag(5, 0, 0, 0, optional=True))))
    assert "framebuffer tag: no preference, optional" in told
