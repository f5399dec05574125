"""PVH: when the entry is offered, and what a refusal says."""

from __future__ import annotations

import pytest

from hvmlite.model import Offer, Refusal, Relocation
from hvmlite.protocols import PROTOCOLS, pvh
from makers.pvh import ENTRY, LINUX, MIB, START, bzimage, kernel, note, reloc, segment


def offer(image) -> Offer:
    found = pvh.offers(image)
    assert isinstance(found, Offer), found
    return found


def reasons(image) -> str:
    found = pvh.offers(image)
    assert isinstance(found, Refusal), found
    assert found.reasons
    assert found.protocol == "pvh"
    return "; ".join(map(str, found.reasons))


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("machine", [3, 62])
def test_the_one_note_is_enough(machine, size):
    image = kernel(note(ENTRY.to_bytes(size, "little")), machine=machine)
    found = offer(image)
    assert (found.protocol, found.entry, found.image, found.nested) == ("pvh", ENTRY, image, False)
    assert found.needs == START + 0x4000
    assert found.cmdline_limit is None
    assert found.relocation is None


def test_a_bzimage_is_entered_by_the_kernel_inside_it():
    inside = kernel()
    found = offer(bzimage(inside))
    assert (found.image, found.nested, found.entry) == (inside, True, ENTRY)
    assert found.cmdline_limit == 2047


def test_an_elf_that_also_has_a_payload_is_entered_itself():
    both = bzimage("unpacking is not needed")
    object.__setattr__(both, "segments", kernel().segments)
    object.__setattr__(both, "notes", kernel().notes)
    object.__setattr__(both, "machine", 62)
    object.__setattr__(both, "format", "elf")
    assert not offer(both).nested


# What closes the entry


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            kernel(note(b"", 5, "GNU")),
            "PHYS32_ENTRY note: not among 1 notes, nearest: 'GNU' 5 in PT_NOTE segment 1 "
            "(aligned to 4), name 'Xen' and type 18 needed",
        ),
        (kernel(note(b"x" * 16)), "descriptor of 16 bytes in PT_NOTE segment 1, 4 bytes, or 8, ne"),
        (kernel(note(b"")), "descriptor of 0 bytes"),
        (kernel(note(0xFFFFFFFF)), "0xffffffff in PT_NOTE segment 1, which means unset"),
        (
            kernel(note(b"\0\1\0\1\1\0\0\0")),
            "0x101000100 in PT_NOTE segment 1, an address below 4 GiB",
        ),
        (kernel(note(b"\xff" * 8)), "an address below 4 GiB needed"),
        (kernel(note(START - 1)), "entry 0xffffff outside 0x1000000-0x1002000"),
        (kernel(note(START + 0x2000)), "entry 0x1002000 outside 0x1000000-0x1002000"),
        (kernel(note(0)), "entry 0x0 outside"),
        (kernel(machine=183), "ELF machine: 183 (AArch64), i386 or x86-64 needed"),
        (kernel(machine=None), "ELF machine: none stated"),
        (kernel(segments=()), "PT_LOAD segments: none that occupies memory"),
        (kernel(segments=(segment(memsz=0, data=b""),)), "PT_LOAD segments: none that occupies"),
        (
            kernel(segments=(segment(START + 0x3FFF), segment())),
            "0x1000000-0x1004000 and 0x1003fff-0x1007fff overlap",
        ),
        (
            kernel(format_="pe"),
            "image format: pe, an ELF, or a bzImage that says where its ELF is",
        ),
        (bzimage(kernel(note(0, 1))), "nearest: 'Xen' 1"),
    ],
)
def test_a_refusal_says_what_was_found_and_what_was_needed(image, message):
    assert message in reasons(image)


def test_several_reasons_are_all_told():
    text = reasons(kernel(note(b"x"), machine=8, segments=()))
    assert "MIPS" in text
    assert "PT_LOAD" in text
    assert "descriptor of 1 bytes" in text


def test_nearest_is_the_right_type_under_a_wrong_name():
    # QEMU goes by the type alone and would enter it; Xen would not.
    text = reasons(kernel(note(ENTRY, name="XEN"), note(b"", 5, "GNU"), note(b"", 6)))
    assert "nearest: 'XEN' 18 in" in text
    assert "GNU" not in text


def test_many_notes_are_not_all_listed():
    text = reasons(kernel(*(note(b"", 100 + number, "GNU") for number in range(100))))
    assert text.count("GNU") == 6
    assert ", ..." in text


def test_no_note_at_all():
    image = kernel()
    object.__setattr__(image, "notes", ())
    assert "no note at all" in reasons(image)


def test_zero_filled_memory_is_no_place_for_an_entry():
    assert "outside" in reasons(kernel(note(START + 0x3000)))


# Several notes


def test_the_first_valid_entry_note_counts():
    unset, wild, good, other = (note(v) for v in (0xFFFFFFFF, 0x10, ENTRY, ENTRY + 1))
    found = offer(kernel(unset, wild, good, other))
    assert found.entry == ENTRY
    ignored = [text for name, text in found.facts if name == "ignored note"]
    assert len(ignored) == 3
    assert "0x1000101" in ignored[2]


def test_the_same_entry_twice_is_no_oddity():
    # .notes is usually both a section and a PT_NOTE segment.
    assert not offer(kernel(note(ENTRY), note(ENTRY, where="section .notes"))).facts


# Relocation (ABI: the note's presence says it, its numbers have defaults)


@pytest.mark.parametrize(
    ("words", "align", "expected"),
    [
        ((), 0x200000, Relocation(0x200000, 0, 0xFFFFFFFF)),
        ((), 0x10, Relocation(0x200000, 0, 0xFFFFFFFF)),
        ((), 0x4000, Relocation(0x4000, 0, 0xFFFFFFFF)),
        ((), 0x3000, Relocation(0x200000, 0, 0xFFFFFFFF)),  # no power of two, no default
        ((0x1000,), 0x4000, Relocation(0x1000, 0, 0xFFFFFFFF)),
        ((0x1000, 0x5000), 0x4000, Relocation(0x1000, 0x5000, 0xFFFFFFFF)),
        ((0x200000, START, 0x3FFFFFFF), 0x4000, Relocation(0x200000, START, 0x3FFFFFFF)),
        ((0x1000, 0, 0x3FFF), 0x4000, Relocation(0x1000, 0, 0x3FFF)),  # exactly its length
    ],
)
def test_relocation_and_its_defaults(words, align, expected):
    image = kernel(note(ENTRY), reloc(*words), segments=(segment(align=align),))
    assert offer(image).relocation == expected


def test_further_and_partial_words_of_the_relocation_note_are_not_read():
    image = kernel(note(ENTRY), reloc(0x1000, 0, 0xFFFFFF, 7))
    assert offer(image).relocation == Relocation(0x1000, 0, 0xFFFFFF)
    image = kernel(note(ENTRY), note(b"\0\x10\0\0\xff\xff", 19))
    assert offer(image).relocation == Relocation(0x1000, 0, 0xFFFFFFFF)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((0x3000,), "alignment 0x3000 is not a power of two of at least 0x1000"),
        ((0x800,), "alignment 0x800 is not"),
        ((0,), "alignment 0x0 is not"),
        ((0x1000, 0x5000, 0x4FFF), "0x4000 bytes do not fit 0x5000-0x4fff"),
        ((0x1000, 0, 0x3FFE), "0x4000 bytes do not fit 0x0-0x3ffe"),
        ((0x80000000, 0x80000001, 0xFFFFFFFF), "do not fit"),
    ],
)
def test_a_broken_relocation_note_does_not_close_the_entry(words, problem):
    # The kernel still starts where it is linked: only the freedom to move it is lost.
    found = offer(kernel(note(ENTRY), reloc(*words)))
    assert found.relocation is None
    assert problem in dict(found.facts)["PHYS32_RELOC"]


def test_a_relocation_note_of_another_owner_says_nothing():
    assert offer(kernel(note(ENTRY), note(b"", 19, "GNU"))).relocation is None


# Linux


def test_needs_counts_init_size_of_a_bzimage():
    inside = kernel(segments=(segment(memsz=32 * MIB),))
    sized = {"pref_address": START, "init_size": 50 * MIB}
    assert offer(bzimage(inside)).needs == START + 32 * MIB
    assert offer(bzimage(inside, **sized)).needs == START + 50 * MIB
    assert offer(bzimage(inside, **sized, version=0x209)).needs == START + 32 * MIB
    assert offer(bzimage(inside, pref_address=START, init_size=MIB)).needs == START + 32 * MIB


@pytest.mark.parametrize(
    ("version", "stated", "limit"),
    [(0x20F, 2047, 2047), (0x206, 4095, 4095), (0x205, 100, 2047), (0x20F, 0, 2047),
     (0x20F, 0xFFFFFFFF, 0xFFFF)],
)  # fmt: skip
def test_the_command_line_limit_is_the_header_s_from_2_06_on(version, stated, limit):
    assert offer(bzimage(kernel(), version=version, cmdline_size=stated)).cmdline_limit == limit


@pytest.mark.parametrize("mark", [LINUX, note(b"linux\0", 6)])
def test_an_elf_is_linux_by_its_notes(mark):
    assert offer(kernel(note(ENTRY), mark)).cmdline_limit == 2047
    assert offer(kernel(note(ENTRY), note(b"NetBSD\0", 6))).cmdline_limit is None


# What users of the peers ran into (PEERS.md, section 3)


@pytest.mark.parametrize("align", [4, 8])
def test_row_8_gnu_property_notes_do_not_hide_the_entry_note(align):
    before = [note(b"\0" * 32, 5, "GNU", align=8, where="PT_NOTE segment 1")] * 3
    assert offer(kernel(*before, note(ENTRY, align=align), *before)).entry == ENTRY


def test_row_9_an_image_is_left_as_it_is():
    # The note is one way in among others; offering it changes nothing for them.
    image = kernel()
    before = repr(image)
    for protocol in PROTOCOLS:
        protocol.offers(image)
    assert repr(image) == before


def test_rows_10_25_26_a_refusal_lists_notes_with_alignment_and_corruption():
    notes = [note(b"", 5, "GNU", align=8), note(b"", 1, align=4)]
    text = reasons(kernel(*notes, warnings=["PT_NOTE segment 2: note at 0x40 is cut off"]))
    assert "'Xen' 1 in PT_NOTE segment 1 (aligned to 4)" in text
    assert "; PT_NOTE segment 2: note at 0x40 is cut off" in text


@pytest.mark.parametrize("compression", ["zstd", "lz4", "gzip"])
def test_rows_42_43_a_payload_that_cannot_be_unpacked_is_named(compression):
    image = bzimage("frame header is damaged", compression=compression)
    assert f"payload ({compression}): bzImage: frame header is damaged" in reasons(image)
    assert pvh.offers(image).reasons[0].hint == "look closer"


def test_row_48_without_a_note_nothing_is_allocated():
    huge = segment(memsz=1 << 50)
    assert "PHYS32_ENTRY" in reasons(kernel(note(b"", 5, "GNU"), segments=(huge,)))


def test_row_89_the_offer_says_which_start_info_the_guest_needs():
    assert "version 1" in dict(offer(bzimage(kernel())).facts)["start info"]
    assert "start info" not in dict(offer(kernel()).facts)
