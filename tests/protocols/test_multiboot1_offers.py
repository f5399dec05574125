"""Multiboot 1: when the entry is offered, and what a refusal says."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmlite import images
from hvmlite.errors import FormatError
from hvmlite.model import Image, Offer, Refusal
from hvmlite.protocols import multiboot1
from makers.elf import Elf, Sect, Segment
from makers.multiboot import CODE, MIB, START, elf, header1, image, symbols


def offer(data) -> Offer:
    found = multiboot1.offers(image(data))
    assert isinstance(found, Offer), found
    return found


def reasons(data) -> str:
    found = multiboot1.offers(image(data))
    assert isinstance(found, Refusal), found
    assert found.protocol == "multiboot1"
    return "; ".join(map(str, found.reasons))


@pytest.mark.parametrize("bits", [32, 64])
def test_an_elf_of_either_class_is_offered(bits):
    found = offer(elf(header1(), bits=bits))
    assert (found.protocol, found.entry, found.nested) == ("multiboot1", START + 0x10, False)
    assert found.needs == START + 0x2000
    assert found.relocation is None
    assert found.cmdline_limit is None
    assert ("mode" in dict(found.facts)) == (bits == 64)


@pytest.mark.parametrize(("bits", "machine"), [(32, 62), (64, 3)])
def test_class_and_machine_need_not_agree(bits, machine):
    assert dict(offer(elf(header1(), bits=bits, machine=machine)).facts)["mode"]


def test_a_compressed_elf_is_unpacked():
    whole = images.parse(gzip.compress(elf(header1())), "kernel.gz")
    found = multiboot1.offers(whole)
    assert found.nested
    assert found.entry == START + 0x10


# Where the header may be


def flat(before=b"", after=CODE, *, flags=0x10003, load=START, end=0, bss=0, entry=None, at=None):
    """A plain binary with address fields; it is loaded from its first byte on."""
    at = load + len(before) if at is None else at
    entry = at + 32 if entry is None else entry
    return before + header1(flags, addresses=(at, load, end, bss, entry)) + after


@pytest.mark.parametrize("before", [0, 4, 0x1000, 8192 - 32])
def test_the_window_is_the_first_8192_bytes_to_the_byte(before):
    found = offer(flat(bytes(before)))
    assert found.entry == START + before + 32
    assert f"at file offset {before:#x}," in dict(found.facts)["header"]


@pytest.mark.parametrize(
    ("before", "what"),
    [
        (8192 - 28, "nearest: at 0x1fe4-0x2004, not wholly within 0x2000"),
        (8192 - 12, "nearest: at 0x1ff4-0x2014, not wholly within 0x2000"),
        (8192, "nearest: at 0x2000, behind the first 8192 bytes"),
        (0x123450, "nearest: at 0x123450, behind the first 8192 bytes"),
        (2, "nearest: at 0x2, which is no multiple of 4"),
    ],
)
def test_row_35_a_header_that_a_linker_has_pushed_away_is_told(before, what):
    text = reasons(flat(bytes(before)))
    assert what in text
    assert multiboot1.offers(image(flat(bytes(before)))).reasons[0].hint


def test_a_header_is_as_long_as_its_flags_say():
    # 12 bytes without addresses, 32 with them, 48 with a video mode.
    twelve = elf(header1(), offset=8192 - 12)
    assert offer(twelve).entry == START + 0x10
    assert "not wholly within" in reasons(elf(header1(7, video=(0, 0, 0, 0)), offset=8192 - 44))
    assert offer(elf(header1(7, video=(0, 0, 0, 0)), offset=8192 - 48))


def test_a_wrong_checksum_is_told_and_a_later_header_counts():
    bad = header1(checksum=1)
    assert "at 0x0 magic, flags and checksum add up to 0x1badb006" in reasons(bad + CODE)
    found = offer(flat(bad))
    assert found.entry == START + 12 + 32


def test_a_magic_at_the_end_of_the_file_is_told():
    assert "at 0x8 is cut off by the end of the file" in reasons(bytes(8) + header1()[:8])
    assert "is 0x20 bytes long, more than the file has" in reasons(flat(after=b"")[:20])


def test_without_any_magic():
    assert reasons(b"x" * 100) == (
        "multiboot header: none in the first 8192 bytes, "
        "magic 0x1badb002 at a multiple of 4 and a sum of 0 needed"
    )


@pytest.mark.parametrize("bit", range(16))
def test_unknown_bits_that_must_be_known_are_refused_by_number(bit):
    data = elf(header1(1 << bit, video=(1, 80, 25, 0) if bit == 2 else ()))
    if bit < 3:
        assert offer(data)
    else:
        assert f"header flags: bits {bit} of {1 << bit:#x}" in reasons(data)


def test_other_bits_may_be_anything():
    assert offer(elf(header1(0xFFFE0003)))
    assert "bits 3, 15 of 0x8008" in reasons(elf(header1(0x8008)))


def test_a_video_mode_becomes_a_fact():
    found = offer(elf(header1(4, video=(0, 1024, 768, 32))))
    assert "graphics 1024x768x32" in dict(found.facts)["video mode"]
    assert "text 80x25" in dict(offer(elf(header1(4, video=(1, 80, 25, 0)))).facts)["video mode"]


# ELF files


def test_a_virtual_entry_is_entered_at_its_physical_place():
    found = offer(elf(header1(), vaddr=0xC0100000))
    assert found.entry == START + 0x10
    assert "0xc0100010 is virtual" in dict(found.facts)["entry"]
    high = offer(elf(header1(), bits=64, vaddr=0xFFFFFFFF80100000))
    assert high.entry == START + 0x10


def test_a_physical_entry_in_a_file_that_is_linked_elsewhere_is_taken_as_such():
    found = offer(elf(header1(), vaddr=0xC0100000, entry=START + 0x10))
    assert found.entry == START + 0x10
    assert "GRUB would refuse it" in dict(found.facts)["entry"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (elf(header1(), entry=0), "entry: e_entry 0x0 outside 0x100000-0x102000"),
        (elf(header1(), entry=START + 0x2000), "e_entry 0x102000 outside"),
        (elf(header1(), machine=183), "ELF machine: 183 (AArch64), i386 or x86-64 needed"),
        (elf(header1(), type=1), "ELF type: 0x1, ET_EXEC or ET_DYN needed"),
        (header1() + CODE, "image format: raw, an ELF needed: the header has no address fields"),
    ],
)
def test_what_cannot_be_loaded_is_refused(data, message):
    assert message in reasons(data)


def test_segments_must_end_at_or_below_4_gib():
    def build(paddr, memsz):
        kernel = elf_with(Segment(b"x", paddr=paddr, memsz=memsz))
        return image(kernel)

    assert isinstance(multiboot1.offers(build((1 << 32) - 0x1000, 0x1000)), Offer)
    refused = multiboot1.offers(build((1 << 32) - 0x1000, 0x1001))
    assert "0xfffff000-0x100000001, an end at or below 4 GiB needed" in str(refused.reasons[0])


def elf_with(*more):
    first = Segment(header1() + bytes(4) + CODE, paddr=START, align=8)
    return Elf(bits=64, entry=START + 16, segments=[first, *more]).build()


def test_an_elf_without_segments_is_refused():
    kernel = Elf(bits=32, machine=3, sections=[Sect(".data", header1(), align=4)])
    assert "PT_LOAD segments: none that occupies memory" in reasons(kernel.build())


def test_relocation_sections_become_a_fact():
    found = offer(elf(header1(), sections=[Sect(".rela.text", b"x" * 24, type=4)]))
    assert ".rela.text" in dict(found.facts)["relocation sections"]


# Address fields


def test_address_fields_win_over_the_elf_that_they_are_in():
    built = elf(header1(0x10003, addresses=(0, 0, 0, 0, 0)), sections=symbols())
    at = built.index(header1()[:4])
    fields = header1(0x10003, addresses=(5 * MIB + at, 5 * MIB, 0, 0, 5 * MIB + at + 32))
    found = offer(built.replace(built[at : at + 32], fields))
    (segment,) = found.image.segments
    assert (segment.paddr, segment.memsz) == (5 * MIB, len(built))
    assert found.image.sections == ()
    assert found.entry == 5 * MIB + at + 32


def test_a_part_of_the_file_is_loaded():
    data = flat(b"skipped!", b"code" * 8, load=START, at=START, end=START + 48, bss=START + 0x100)
    (segment,) = offer(data).image.segments
    assert bytes(segment.data) == data[8 : 8 + 48]
    assert (segment.paddr, segment.memsz) == (START, 0x100)


def test_load_end_addr_0_is_the_end_of_the_file():
    (segment,) = offer(flat(after=b"x" * 99)).image.segments
    assert segment.memsz == 32 + 99


# Hostile input


@given(st.binary(max_size=200), st.integers(0, 8300))
def test_arbitrary_bytes_are_refused_or_offered(data, before):
    for start in (b"", header1(), header1(0x10003)[:12]):
        found = multiboot1.offers(image(b"\0" * before + start + data))
        assert isinstance(found, Offer | Refusal)


GOOD = elf(header1(0x10003, addresses=(START, START, 0, 0, START + 32)), sections=symbols())


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=6))
def test_a_mutated_file_is_refused_or_offered(changes):
    data = bytearray(GOOD)
    for at, value in changes:
        data[at] = value
    try:
        parsed = images.parse(bytes(data), "kernel")
    except FormatError:
        parsed = Image("raw", "kernel", memoryview(bytes(data)))
    assert isinstance(multiboot1.offers(parsed), Offer | Refusal)


def test_a_file_full_of_magics_is_read_in_bounded_time():
    # 64 MiB of them: what lies behind the window is looked at a little only.
    data = memoryview(header1()[:4] * (16 << 20))
    found = multiboot1.offers(Image("raw", "kernel", data))
    assert isinstance(found, Refusal)
    assert len(str(found.reasons[0])) < 600
