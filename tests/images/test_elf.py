"""ELF files: our reading beside readelf's, note alignments, and what is refused."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from hvmlite import images
from hvmlite.errors import FormatError, LimitError
from hvmlite.spec import elf, xen
from makers import elf as maker
from makers.elf import Elf, Sect, Segment, note, notes_segment, phys32_entry

BITS = pytest.mark.parametrize("bits", [32, 64])


def parse(data: bytes):
    return images.parse(data, "t")


def labels(image):
    return [(n.label, n.value) for n in image.notes]


def readelf(path, *options):
    program = shutil.which("readelf")
    assert program, "readelf is missing (binutils)"
    return subprocess.run(
        [program, *options, str(path)], capture_output=True, text=True, check=True
    ).stdout


def readelf_loads(path):
    row = re.compile(
        r"^  LOAD +(0x\w+) (0x\w+) (0x\w+) (0x\w+) (0x\w+) ([RWE ]{3}) (0x\w+)$", re.MULTILINE
    )
    found = []
    for offset, vaddr, paddr, filesz, memsz, flags, align in row.findall(readelf(path, "-lW")):
        bits = 4 * ("R" in flags) + 2 * ("W" in flags) + ("E" in flags)
        numbers = (int(n, 16) for n in (offset, vaddr, paddr, filesz, memsz))
        found.append((*numbers, bits, int(align, 16)))
    return found


def readelf_notes(path):
    row = re.compile(r"^  (\S+) +(0x[0-9a-f]{8})\t(.*)$", re.MULTILINE)
    found = set()
    for owner, size, rest in row.findall(readelf(path, "-nW")):
        data = re.search(r"description data: ([0-9a-f ]+?)\s*$", rest)
        unknown = re.search(r"Unknown note type: \((0x\w+)\)", rest)
        found.add(
            (
                owner,
                int(size, 16),
                int(unknown[1], 16) if unknown else None,
                bytes.fromhex(data[1]) if data else None,
            )
        )
    return found


def agree_with_readelf(image, path):
    """Compare every PT_LOAD and every note; returns how many notes readelf knew."""
    start = image.data
    ours = [
        (None, s.vaddr, s.paddr, len(s.data), s.memsz, int(s.flags), s.align)
        for s in image.segments
    ]
    theirs = [row for row in readelf_loads(path) if row[4]]
    assert ours == [(None, *row[1:6], max(1, row[6])) for row in theirs]
    for segment, row in zip(image.segments, theirs, strict=True):
        assert segment.data == start[row[0] : row[0] + row[3]]
    notes = readelf_notes(path)
    kinds = {(n.name, len(n.desc), n.type, n.desc) for n in image.notes}
    for owner, size, kind, desc in notes:
        assert any(
            owner == name and size == length and kind in (None, type_) and desc in (None, data)
            for name, length, type_, data in kinds
        ), (owner, size, kind, desc)
    assert len(image.notes) >= len(notes)
    return len(notes)


@pytest.mark.parametrize(
    "name", ["6.1-cloud", "6.1-full", "6.1-686-pae", "6.12-cloud", "6.12-full"]
)
def test_real_kernels_agree_with_readelf(kernels, tmp_path, name):
    image = images.parse(kernels[name].read_bytes(), name).payload.image
    path = tmp_path / "vmlinux"
    path.write_bytes(image.data)
    assert agree_with_readelf(image, path) >= 10
    assert image.warnings == ()
    assert "PHYS32_ENTRY" in [n.label for n in image.notes]
    sections = re.findall(r"^  \[ *\d+\] (\S+)", readelf(path, "-SW"), re.MULTILINE)
    assert [s.name for s in image.sections] == [s for s in sections if s != "NULL"]


@BITS
def test_made_files_agree_with_readelf(tmp_path, bits):
    path = tmp_path / "k"
    path.write_bytes(maker.pvh_kernel(bits))
    image = parse(path.read_bytes())
    assert agree_with_readelf(image, path) == 2
    assert labels(image) == [("PHYS32_ENTRY", 0x100000), ("GUEST_OS", "test")]
    machine = {32: elf.EM_386, 64: elf.EM_X86_64}[bits]
    assert (image.format, image.entry, image.machine) == ("elf", 0x100000, machine)
    program = shutil.which("file")
    assert program, "file is missing"
    said = subprocess.run([program, "-b", str(path)], capture_output=True, text=True, check=True)
    assert f"ELF {bits}-bit LSB executable" in said.stdout


@BITS
def test_segments_are_views_of_the_file_not_copies(bits):
    data = bytearray(maker.pvh_kernel(bits))
    image = parse(data)
    segment = image.segments[1]
    assert segment.data.obj is data
    assert bytes(segment.data) == b"data" * 8
    assert (segment.paddr, segment.memsz, segment.end) == (0x200000, 0x1000, 0x201000)
    with pytest.raises(TypeError):
        segment.data[0] = 1


def test_other_machines_are_read_and_named():
    image = parse(Elf(machine=183, segments=[Segment(b"x", paddr=0x1000)]).build())
    assert image.machine == 183
    assert ("machine", "AArch64") in image.facts


def test_big_endian_is_refused_with_a_hint():
    data = bytearray(maker.pvh_kernel())
    data[elf.EI_DATA] = elf.ELFDATA2MSB
    with pytest.raises(FormatError, match="big-endian") as caught:
        parse(bytes(data))
    assert "another machine" in caught.value.hint


# --- notes ------------------------------------------------------------------------------------

XEN_NOTES = (("Xen", 18, bytes.fromhex("78563412")), ("Xen", 6, b"odd"), ("Xen", 10, b"!x\0"))


def packed(align):
    return b"".join(note(name, kind, desc, align) for name, kind, desc in XEN_NOTES)


@pytest.mark.parametrize("stated", [0, 1, 4, 8])
@pytest.mark.parametrize("real", [4, 8])
def test_notes_are_found_under_both_alignments(stated, real):
    """PEERS rows 25, 26: osv 1113 and linux-loader 71, notes packed otherwise than they say."""
    segment = notes_segment(packed(real), align=stated)
    image = parse(Elf(segments=[segment]).build())
    assert labels(image) == [("PHYS32_ENTRY", 0x12345678), ("GUEST_OS", "odd"), ("FEATURES", "!x")]
    assert {n.align for n in image.notes} == {real}
    odd = (8 if stated == 8 else 4) != real
    said = f"PT_NOTE segment 0: says alignment {stated}, its notes are packed with {real}"
    assert image.warnings == ((said,) if odd else ())


def gnu_property(align=8):
    return note("GNU", 5, bytes.fromhex("020000c0 04000000 01000000 00000000"), align)


@pytest.mark.parametrize("merged", [True, False])
def test_gnu_property_notes_beside_xen_notes(merged):
    """PEERS rows 8, 10: cloud-hypervisor 3222 and kata 3145, PVH "missing" behind GNU notes."""
    if merged:
        segments = [notes_segment(gnu_property(), packed(4), align=8)]
    else:
        segments = [notes_segment(gnu_property(), align=8), notes_segment(packed(4), align=4)]
    image = parse(Elf(segments=segments).build())
    assert [n.label for n in image.notes] == [
        "PROPERTY_TYPE_0", "PHYS32_ENTRY", "GUEST_OS", "FEATURES",
    ]  # fmt: skip
    assert len(image.warnings) == merged


def test_a_later_note_never_erases_an_earlier_one():
    segments = [
        notes_segment(phys32_entry(0x1000), phys32_entry(0x2000)),
        notes_segment(phys32_entry(0x1000)),
    ]
    image = parse(Elf(segments=segments).build())
    assert labels(image) == [("PHYS32_ENTRY", e) for e in (0x1000, 0x2000, 0x1000)]
    assert [n.where for n in image.notes] == ["PT_NOTE segment 0"] * 2 + ["PT_NOTE segment 1"]


def test_one_note_seen_through_segment_and_section_is_one_note():
    notes = phys32_entry(0x1000) + note("Xen", 6, b"a\0")
    file = Elf(segments=[notes_segment(notes)])
    offset = 64 + 56  # behind the only program header
    offset += -offset % 4
    file.sections = [
        Sect(".notes", type=elf.ShType.NOTE, offset=offset, size=len(notes), align=4),
        Sect(".note.more", note("Xen", 8, b"linux\0"), elf.ShType.NOTE, align=4),
    ]
    image = parse(file.build())
    assert [(n.label, n.where) for n in image.notes] == [
        ("PHYS32_ENTRY", "PT_NOTE segment 0"),
        ("GUEST_OS", "PT_NOTE segment 0"),
        ("LOADER", "section .note.more"),
    ]


def test_notes_in_sections_only():
    file = Elf(sections=[Sect(".notes", phys32_entry(0x4000), elf.ShType.NOTE, align=4)])
    image = parse(file.build())
    assert [(n.label, n.value, n.where) for n in image.notes] == [
        ("PHYS32_ENTRY", 0x4000, "section .notes")
    ]


@pytest.mark.parametrize(
    ("kind", "desc", "value"),
    [
        ("PHYS32_ENTRY", b"\1\2\3\4", 0x04030201),
        ("PHYS32_ENTRY", b"\1\2\3\4\0\0\0\0", 0x04030201),
        ("PHYS32_ENTRY", b"\1\2\3\4\5", None),
        ("PHYS32_ENTRY", b"", None),
        ("PHYS32_RELOC", b"", ()),
        ("PHYS32_RELOC", b"\0\0\x20\0", (0x200000,)),
        ("PHYS32_RELOC", b"\0\0\x20\0" + b"\0\0\0\1", (0x200000, 0x1000000)),
        ("PHYS32_RELOC", b"\0\0\x20\0\0\0\0\1\xff\xff\xff\x3f", (1 << 21, 1 << 24, 0x3FFFFFFF)),
        ("PHYS32_RELOC", b"\0\0\x20\0\0\0\0\1\xff\xff\xff\x3f\1\1\1\1",
         (1 << 21, 1 << 24, 0x3FFFFFFF)),
        ("VIRT_BASE", b"\0\0\0\x80\xff\xff\xff\xff", 0xFFFFFFFF80000000),
        ("L1_MFN_VALID", b"\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0", (1, 1)),
        ("L1_MFN_VALID", b"\1\0\0\0\2\0\0\0", (1, 2)),
        ("GUEST_OS", b"linux\0", "linux"),
        ("GUEST_OS", b"no end", "no end"),
        ("GUEST_OS", b"\xff\x1b\0", "\\xff\x1b"),
        ("CRASH_INFO", b"1234", None),
    ],
)  # fmt: skip
def test_xen_notes_are_decoded(kind, desc, value):
    data = Elf(segments=[notes_segment(note("Xen", xen.ElfNote[kind], desc))]).build()
    (found,) = parse(data).notes
    assert (found.label, found.value, found.desc) == (kind, value, desc)


def test_notes_of_unknown_owners_and_types_are_kept():
    notes = [note("Xen", 99, b"x"), note("Acme", 18, b"1234"), note("", 18, b"1234")]
    image = parse(Elf(segments=[notes_segment(*notes)]).build())
    assert [(n.name, n.type, n.label, n.value) for n in image.notes] == [
        ("Xen", 99, "", None), ("Acme", 18, "", None), ("", 18, "", None),
    ]  # fmt: skip


def test_the_padding_of_the_last_note_may_be_missing():
    data = note("Xen", 6, b"abc")[:-1]
    assert labels(parse(Elf(segments=[notes_segment(data)]).build())) == [("GUEST_OS", "abc")]


def test_zeros_behind_the_last_note_are_padding():
    data = phys32_entry() + bytes(100)
    assert labels(parse(Elf(segments=[notes_segment(data)]).build())) == [
        ("PHYS32_ENTRY", 0x100000)
    ]


def test_a_walk_that_goes_astray_but_ends_well_is_not_believed():
    """With 8-byte steps the second note would be read from its n_descsz on, as a note "linux"."""
    notes = phys32_entry(0x1000) + note("Xen", 6, b"linux\0") + note("Xen", 8, b"generic\0")
    for stated in (4, 8):
        image = parse(Elf(segments=[notes_segment(notes, align=stated)]).build())
        assert [n.label for n in image.notes] == ["PHYS32_ENTRY", "GUEST_OS", "LOADER"]
        assert len(image.warnings) == (stated == 8)


def test_padding_that_is_not_zero_is_told():
    data = bytearray(note("Xen", 6, b"abc\0x") + note("Xen", 8, b"y\0"))
    data[21:24] = b"\x90\x90\x90"
    image = parse(Elf(segments=[notes_segment(bytes(data))]).build())
    assert [n.label for n in image.notes] == ["GUEST_OS", "LOADER"]
    assert image.warnings == (
        "PT_NOTE segment 0: padding that is not zero, or a note without name",
    )


def test_broken_notes_refuse_in_a_segment_and_warn_in_a_section():
    broken = phys32_entry() + elf.Nhdr(n_namesz=4, n_descsz=1000, n_type=1).pack() + b"Xen\0"
    with pytest.raises(FormatError, match="PT_NOTE segment 0: note has a name of 4"):
        parse(Elf(segments=[notes_segment(broken)]).build())
    file = Elf(sections=[Sect(".notes", broken, elf.ShType.NOTE)])
    (warning,) = parse(file.build()).warnings
    assert "section .notes: note has a name of 4" in warning


# --- counts beyond 16 bits, and broken tables -------------------------------------------------


def extended(count, sh_info):
    file = Elf(segments=[Segment(b"x", paddr=0x1000 * (i + 1)) for i in range(count)])
    file.sections = [Sect(".x", b"y")]
    data = bytearray(file.build())
    shoff = elf.Elf64Ehdr.unpack(data).e_shoff
    first = elf.Elf64Shdr.unpack(data, shoff)
    data[shoff : shoff + first.SIZE] = first.replace(sh_info=sh_info).pack()
    return elf.Elf64Ehdr.unpack(data).replace(e_phnum=elf.PN_XNUM).pack() + data[64:]


def test_pn_xnum_takes_the_count_from_section_header_0():
    assert len(parse(extended(3, 3)).segments) == 3


def test_pn_xnum_counts_are_checked():
    with pytest.raises(LimitError) as caught:
        parse(extended(3, 0xFFFFFFFF))
    assert (caught.value.limit, caught.value.allowed) == ("segments", 1024)
    with pytest.raises(FormatError, match="program headers end at"):
        parse(extended(3, 1000))
    header = elf.Elf64Ehdr.unpack(extended(1, 1)).replace(e_shoff=0)
    with pytest.raises(FormatError, match="PN_XNUM and e_shoff 0"):
        parse(header.pack() + extended(1, 1)[64:])


def test_shnum_0_takes_the_count_from_section_header_0():
    data = bytearray(Elf(sections=[Sect(".notes", phys32_entry(), elf.ShType.NOTE)]).build())
    header = elf.Elf64Ehdr.unpack(data)
    first = elf.Elf64Shdr.unpack(data, header.e_shoff)
    count, names = header.e_shnum, header.e_shstrndx
    data[header.e_shoff : header.e_shoff + first.SIZE] = first.replace(
        sh_size=count, sh_link=names
    ).pack()
    data[:64] = header.replace(e_shnum=0, e_shstrndx=elf.SHN_XINDEX).pack()
    image = parse(data)
    assert [s.name for s in image.sections] == [".notes", ".shstrtab"]
    assert labels(image) == [("PHYS32_ENTRY", 0x100000)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"e_shoff": 1 << 40}, "section headers ignored"),
        ({"e_shentsize": 1}, "e_shentsize 1, 64 was needed"),
        ({"e_shnum": 0xFFFF}, "65535 section headers, the limit is 16384"),
        ({"e_shnum": 900}, "they end at"),
        ({"e_shstrndx": 99}, "e_shstrndx 99"),
    ],
)
def test_broken_section_headers_leave_a_bootable_file_readable(change, said):
    file = Elf(segments=[Segment(b"x", paddr=0x1000), notes_segment(phys32_entry())])
    file.sections = [Sect(".x", b"y")]
    file.ehdr = change
    image = parse(file.build())
    assert len(image.segments) == 1
    assert labels(image) == [("PHYS32_ENTRY", 0x100000)]
    assert said in "\n".join(image.warnings)


def test_a_section_beyond_the_file_is_left_out_with_a_warning():
    file = Elf(sections=[Sect(".far", size=1 << 40), Sect(".near", b"y"),
                         Sect(".bss", type=elf.ShType.NOBITS, size=1 << 40)])  # fmt: skip
    image = parse(file.build())
    assert [s.name for s in image.sections] == [".near", ".bss", ".shstrtab"]
    assert "section .far ignored" in image.warnings[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"e_phoff": 1 << 40}, "program headers end at"),
        ({"e_phentsize": 1}, "e_phentsize 1, 56 was needed"),
        ({"e_phnum": 900}, "program headers end at"),
        ({"e_version": 2}, "e_version 2"),
        ({"e_ident": b"\x7fELF\3\1\1"}, "EI_CLASS 3"),
        ({"e_ident": b"\x7fELF\2\0\1"}, "EI_DATA 0"),
        ({"e_ident": b"\x7fELF\2\1\0"}, "EI_VERSION 0"),
    ],
)
def test_broken_program_headers_are_refused(change, said):
    with pytest.raises(FormatError, match=said):
        parse(Elf(segments=[Segment(b"x", paddr=0x1000)], ehdr=change).build())


@BITS
@pytest.mark.parametrize("order", [1, -1])
def test_overlapping_segments_are_refused_by_both_names(bits, order):
    pair = [Segment(bytes(32), paddr=0x1000), Segment(bytes(32), paddr=0x101F)]
    with pytest.raises(FormatError) as caught:
        parse(Elf(bits=bits, segments=pair[::order]).build())
    assert "PT_LOAD segment 0 at" in str(caught.value)
    assert "PT_LOAD segment 1 at" in str(caught.value)
    assert "overlap" in str(caught.value)


@BITS
def test_segments_may_touch_descend_and_end_at_the_top(bits):
    top = (1 << bits) - 32
    loads = [
        Segment(bytes(32), paddr=top), Segment(bytes(32), paddr=0x1020),
        Segment(bytes(32), paddr=0x1000), Segment(paddr=0x1010, memsz=0),
    ]  # fmt: skip
    image = parse(Elf(bits=bits, segments=loads).build())
    assert [s.paddr for s in image.segments] == [top, 0x1020, 0x1000]


def test_a_file_without_segments_or_sections_is_an_image():
    image = parse(Elf().build())
    assert (image.segments, image.notes, image.sections) == ((), (), ())
