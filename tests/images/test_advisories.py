"""Bad inputs that others met before us, one named test each.

The list is that of published advisories and fixes in Xen, linux-loader, crosvm, GRUB and Linux:
each file below is of the kind that made a peer crash, hang or exhaust its host.
"""

from __future__ import annotations

import pytest

from hvmlite import images
from hvmlite.errors import FormatError, LimitError
from hvmlite.images import Limits
from hvmlite.spec import elf
from images.hostile import ALL, KERNEL, MIB, SECONDS, SLOW_INPUT, noise, parse, refused_cheaply
from makers import bzimage as maker
from makers.bzimage import COMPRESSORS, BzImage
from makers.elf import Elf, Sect, Segment, note, notes_segment, phys32_entry

# --- CVE-2011-1583: Xen libxc, sizes of a kernel's payload ------------------------------------


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (0, 0xFFFFFFFF), (0xFFFFFFFF, 1), (0xFFFFFFFF, 0xFFFFFFFF), (64, 0xFFFFFFC0),
        (0x7FFFFFFF, 0x80000001), (-1, 1), (-1, 2), (0, "all+1"), ("all", 1), ("all+1", 1),
    ],
)  # fmt: skip
def test_cve_2011_1583_payload_at_and_past_the_end_of_the_file(offset, length):
    image = BzImage(maker.payload("gzip", KERNEL))
    size = len(image.build()) - 5 * 512

    def number(what):
        if what == -1:
            return size - 1
        return {"all": size, "all+1": size + 1}.get(what, what)

    end = number(offset) + number(length)
    image.header = {"payload_offset": number(offset), "payload_length": number(length)}
    if end <= size:
        assert parse(image.build()).payload.found == "scan"
    else:
        with pytest.raises(FormatError, match=f"payload ends at {end + 5 * 512:#x}, only"):
            parse(image.build())


@ALL
def test_cve_2011_1583_a_stream_that_stops_in_the_middle_ends_with_an_error(name):
    packed = COMPRESSORS[name](KERNEL)
    image = parse(BzImage(packed[: len(packed) // 2]).build())
    with pytest.raises(FormatError):
        _ = image.payload.image


# --- XSA-25 / CVE-2012-4544: decompression bombs ----------------------------------------------


def quickly(name, data):
    """Compress much in little time."""
    quick = {
        "bzip2": (maker.bzip2, 1), "gzip": (maker.gzip, 1), "lzma": (maker.lzma_alone, 0)
    }  # fmt: skip
    if name == "xz":
        return maker.xz(data, 1 << 18, 0)
    compress, *level = quick.get(name, (COMPRESSORS[name],))
    return compress(data, *level)


def bomb(name):
    """What begins as an ELF file and goes on with 600 MiB of zeros, in little space."""
    if name == "lz4":
        return COMPRESSORS[name](b"\x7fELF") + maker.lz4_block(bytes(8 * MIB)) * 75
    if name == "lzo":
        block = maker.lzo_block(bytes(256 << 10))
        return maker.lzo_header() + maker.lzo_block(b"\x7fELF" * 9) + block * 2400 + bytes(4)
    return quickly(name, b"\x7fELF" + bytes(600 * MIB))


@ALL
def test_xsa_25_cve_2012_4544_a_bomb_is_stopped_at_the_cap(name, tmp_path):
    packed = bomb(name)
    fill = bytes(SLOW_INPUT.get(name, 63 * MIB) - MIB)
    peak = refused_cheaply(tmp_path / "k", BzImage(packed + fill).build(), ["limit output"])
    assert peak >= 500  # it went up to the cap, and this measure can tell


@ALL
def test_xsa_25_cve_2012_4544_64_mib_that_are_wrong_at_the_very_end(name, tmp_path):
    kept = MIB if name in SLOW_INPUT else 60 * MIB  # the rest is never looked at
    data = bytearray(quickly(name, b"\x7fELF" + noise(kept)).ljust(60 * MIB, b"\0"))
    data[-9 if name in ("lz4", "lzo") else -1] ^= 0xFF
    slow = "limit slow_input" if name in SLOW_INPUT else "format"
    refused_cheaply(tmp_path / "k", BzImage(bytes(data)).build(), [slow])


@pytest.mark.parametrize("name", ["bzip2", "lzma", "xz"])
def test_xsa_25_cve_2012_4544_as_much_as_the_slow_decoders_take(name, tmp_path, nightly):
    part = 1 if nightly else 8  # to make this much takes longer than to read it
    data = quickly(name, b"\x7fELF" + noise(SLOW_INPUT[name] // part - MIB))
    path = tmp_path / "k"
    refused_cheaply(path, BzImage(data[:-40]).build(), seconds_allowed=SECONDS / part)


def tiny_blocks(name):
    size = 60 * MIB
    if name == "lz4":
        block = maker.lz4_block(b"x")
        return COMPRESSORS[name](b"\x7fELF") + block * (size // len(block))
    if name == "lzo":
        block = maker.lzo_block(b"x")
        return maker.lzo_header() + maker.lzo_block(b"\x7fELF") + block * (size // len(block))
    if name == "zstd":  # raw blocks of no bytes
        start = b"\x28\xb5\x2f\xfd\x00\x58" + b"\x20\0\0\x7fELF"
        return start + bytes(3) * (size // 3)
    if name == "xz":  # a stream of empty blocks: header, end mark of LZMA2, padding, check
        header, block = xz_empty_block()
        return header + block * (size // 2 // len(block))
    assert name == "gzip"  # stored blocks of no bytes
    return COMPRESSORS[name](b"")[:10] + bytes.fromhex("000000ffff") * (size // 5)


def xz_empty_block():
    import lzma
    import zlib

    whole = lzma.compress(b"", lzma.FORMAT_XZ, lzma.CHECK_CRC32)
    header = bytes.fromhex("0200 2101 16 000000")  # 12 bytes, LZMA2, dictionary of 8 MiB
    header += zlib.crc32(header).to_bytes(4, "little")
    return whole[:12], header + b"\0\0\0\0" + bytes(4)


@pytest.mark.parametrize("name", ["gzip", "lz4", "lzo", "xz", "zstd"])
def test_xsa_25_cve_2012_4544_millions_of_tiny_blocks(name, tmp_path):
    refused_cheaply(tmp_path / "k", BzImage(tiny_blocks(name)).build(), ["format", "limit blocks"])


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz", "lzma", "zstd"])
def test_xsa_25_cve_2012_4544_millions_of_empty_streams(name, tmp_path):
    empty = COMPRESSORS[name](b"")
    size = SLOW_INPUT.get(name, 60 * MIB) - MIB
    data = COMPRESSORS[name](KERNEL) + empty * (size // len(empty))
    refused_cheaply(tmp_path / "k", data, ["limit streams"])


def test_xsa_25_cve_2012_4544_the_cap_is_an_option_and_another_limit_than_the_dictionary():
    packed = maker.payload("xz", KERNEL)
    for limits, name in (
        (Limits(output=len(KERNEL) - 1), "output"),
        (Limits(dictionary=64 << 10), "dictionary"),
    ):
        image = images.parse(BzImage(packed).build(), "t", limits)
        with pytest.raises(LimitError) as caught:
            _ = image.payload.image
        assert caught.value.limit == name


# --- XSA-55 (CVE-2013-2194, -2195, -2196): Xen libelf -----------------------------------------


@pytest.mark.parametrize("bits", [32, 64])
def test_xsa_55_e_phnum_65535(bits):
    file = Elf(bits=bits, segments=[Segment(b"x")], ehdr={"e_phnum": 0xFFFF})
    with pytest.raises(FormatError):
        parse(file.build())


def test_xsa_55_65535_real_program_headers(tmp_path):
    phdr = elf.Elf64Phdr(p_type=elf.PType.LOAD, p_memsz=1).pack()
    shdr = elf.Elf64Shdr(sh_info=1_000_000).pack()
    file = Elf(ehdr={"e_phnum": 0xFFFF, "e_phoff": 128, "e_shoff": 64, "e_shnum": 1})
    data = file.build() + shdr + phdr * 1_000_000
    refused_cheaply(tmp_path / "k", data, ["limit segments"])


@pytest.mark.parametrize("bits", [32, 64])
def test_xsa_55_e_shnum_0xffff(bits):
    file = Elf(bits=bits, segments=[Segment(b"x", paddr=0x1000)], sections=[Sect(".x", b"y")])
    file.ehdr = {"e_shnum": 0xFFFF}
    image = parse(file.build())
    assert len(image.segments) == 1
    assert "section headers ignored" in image.warnings[0]


@pytest.mark.parametrize(
    ("namesz", "descsz"),
    [
        (0xFFFFFFFF, 0), (0xFFFFFFFC, 0), (0xFFFFFFF0, 0x10), (4, 0xFFFFFFFF),
        (4, 0xFFFFFFFC), (0x80000000, 0x80000000), (0xFFFFFFFF, 0xFFFFFFFF), (5, 4), (4, 5),
    ],
)  # fmt: skip
def test_xsa_55_note_sizes_that_wrap_or_overrun(namesz, descsz):
    broken = elf.Nhdr(n_namesz=namesz, n_descsz=descsz, n_type=18).pack() + b"Xen\0" + b"1234"
    with pytest.raises(FormatError, match="PT_NOTE segment 0"):
        parse(Elf(segments=[notes_segment(broken)]).build())


def test_xsa_55_no_nul_in_the_name_of_a_note():
    broken = elf.Nhdr(n_namesz=4, n_descsz=4, n_type=18).pack() + b"Xen!" + b"1234"
    with pytest.raises(FormatError, match="a name without end, a NUL was needed"):
        parse(Elf(segments=[notes_segment(broken)]).build())


def test_xsa_55_no_nul_in_the_name_of_a_section():
    sections = [Sect(".notes", b"x"), Sect(".endless", b"A" * 5000)]
    data = bytearray(Elf(sections=sections).build())
    header = elf.Elf64Ehdr.unpack(data)
    names = header.e_shoff + header.e_shstrndx * elf.Elf64Shdr.SIZE
    table = elf.Elf64Shdr.unpack(data, names)
    endless = elf.Elf64Shdr.unpack(data, header.e_shoff + 2 * elf.Elf64Shdr.SIZE)
    data[names : names + table.SIZE] = table.replace(
        sh_offset=endless.sh_offset, sh_size=5000
    ).pack()
    assert [s.name for s in parse(data).sections] == ["A" * 256] * 3


def test_xsa_55_many_sections_share_one_endless_name(tmp_path):
    count, size = 16000, 60 * MIB
    file = Elf(ehdr={"e_shoff": 64, "e_shnum": count, "e_shstrndx": 1})
    shdr = elf.Elf64Shdr(sh_type=1, sh_offset=64, sh_size=size).pack()
    path = tmp_path / "k"
    refused_cheaply(path, file.build() + shdr * count + b"A" * size, ["read"])


@pytest.mark.parametrize("bits", [32, 64])
def test_xsa_55_p_filesz_beyond_p_memsz(bits):
    file = Elf(bits=bits, segments=[Segment(bytes(32), paddr=0x1000, memsz=31)])
    with pytest.raises(FormatError, match="p_filesz 0x20, at most p_memsz 0x1f was needed"):
        parse(file.build())


@pytest.mark.parametrize(
    ("offset", "filesz"),
    [(1 << 40, 1), (0, 1 << 40), ((1 << 64) - 1, 2), (2, (1 << 64) - 1), ((1 << 64) - 1,) * 2],
)
@pytest.mark.parametrize("kind", [elf.PType.LOAD, elf.PType.NOTE])
def test_xsa_55_segments_outside_the_file(offset, filesz, kind):
    segment = Segment(type=kind, offset=offset, filesz=filesz, memsz=filesz)
    with pytest.raises(FormatError, match="ends at file offset"):
        parse(Elf(segments=[segment]).build())


def test_xsa_55_overlapping_and_descending_segments():
    descending = [Segment(b"a" * 16, paddr=0x2000), Segment(b"b" * 16, paddr=0x1000)]
    assert [s.paddr for s in parse(Elf(segments=descending).build()).segments] == [0x2000, 0x1000]
    around = [Segment(b"a", paddr=0x1000, memsz=0x1000), Segment(b"b", paddr=0x1800)]
    with pytest.raises(FormatError, match=r"segment 0 .* and PT_LOAD segment 1 .* overlap"):
        parse(Elf(segments=around).build())


def test_xsa_55_a_budget_for_notes():
    file = Elf(segments=[notes_segment(note("", 1) * 5000 + phys32_entry())])
    with pytest.raises(LimitError) as caught:
        parse(file.build())
    assert (caught.value.limit, caught.value.allowed) == ("notes", 4096)


def test_xsa_55_many_segments_over_the_same_notes(tmp_path):
    file = Elf(segments=[Segment(type=elf.PType.NOTE, offset=0x20000, filesz=60 * MIB)] * 1000)
    data = file.build().ljust(0x20000, b"\0") + note("Xen", 1, bytes(60 * MIB))
    refused_cheaply(tmp_path / "k", data, ["limit note bytes"])


@pytest.mark.parametrize("last", [note("X", 1), note("", 1) + b"\1\0\0\0"])
def test_xsa_55_many_segments_over_the_same_small_notes(last, tmp_path):
    # The sum of their bytes is within the budget; each note is seen a thousand times. The second
    # one sends each walk to the end, and then back for another alignment.
    blob = note("X", 1) * 1020 + last
    file = Elf(segments=[Segment(type=elf.PType.NOTE, offset=0x20000, filesz=len(blob))] * 1000)
    data = file.build().ljust(0x20000, b"\0") + blob
    verdicts = ["limit note reads", "format"]
    refused_cheaply(tmp_path / "k", data, verdicts, seconds_allowed=1)


def test_xsa_55_many_sections_over_the_same_small_notes(tmp_path):
    blob, count = note("X", 1) * 60, 16000
    shdr = elf.Elf64Shdr(sh_type=elf.ShType.NOTE, sh_offset=64, sh_size=len(blob), sh_addralign=4)
    file = Elf(ehdr={"e_shoff": 64 + len(blob), "e_shnum": count, "e_shstrndx": 0})
    data = file.build()[:64] + blob + shdr.pack() * count
    refused_cheaply(tmp_path / "k", data, ["read"], seconds_allowed=2)
    image = parse(data)
    assert len(image.notes) == 60
    assert 0 < len(image.warnings) <= 16


def test_xsa_55_zeros_instead_of_notes(tmp_path):
    segment = Segment(type=elf.PType.NOTE, offset=0x1000, filesz=15 * MIB)
    data = Elf(segments=[segment]).build().ljust(0x1000, b"\0") + bytes(15 * MIB - 1) + b"\1"
    refused_cheaply(tmp_path / "k", data.ljust(60 * MIB, b"\0"), ["format", "limit notes"])


@pytest.mark.parametrize("size", range(7))
def test_xsa_55_a_gzip_blob_under_6_bytes(size):
    image = parse(BzImage(maker.gzip(KERNEL)[:size]).build())
    if size < 3:  # not even a magic
        assert image.payload is None
        return
    with pytest.raises(FormatError):
        _ = image.payload.image


# --- XSA-95: size of what is appended, and limits of segments ---------------------------------


@pytest.mark.parametrize("name", ["bzip2", "lzma", "xz", "lzo", "zstd"])
@pytest.mark.parametrize("word", [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_xsa_95_the_appended_size_is_a_hint_and_never_believed(name, word):
    packed = COMPRESSORS[name](KERNEL) + word.to_bytes(4, "little")
    inner = parse(BzImage(packed).build()).payload.image
    assert bytes(inner.data) == KERNEL
    assert len(inner.warnings) == 1


# --- linux-loader and crosvm ------------------------------------------------------------------


@pytest.mark.parametrize("field", ["e_phoff", "e_shoff"])
@pytest.mark.parametrize("value", ["end", "end+1", 1 << 63, (1 << 64) - 1])
def test_ghsa_52h2_m2cf_9jh6_cve_2022_23523_header_offsets_past_the_end(field, value):
    file = Elf(segments=[Segment(b"x", paddr=0x1000)], sections=[Sect(".x", b"y")])
    size = len(file.build())
    file.ehdr = {field: {"end": size, "end+1": size + 1}.get(value, value)}
    if field == "e_phoff":
        with pytest.raises(FormatError, match="program headers end at"):
            parse(file.build())
    else:
        assert "section headers ignored" in parse(file.build()).warnings[0]


def test_linux_loader_0_3_0_setup_sects_larger_than_the_file():
    data = BzImage(b"", setup_sects=64, version=0x207).build()
    for size in range(0x400, 65 * 512, 512):
        with pytest.raises(FormatError, match="setup needs 0x8200 bytes"):
            parse(data[:size])


@pytest.mark.parametrize("align", [3, 0x1001, 0xFFFFFFFFFFFFFFFF])
def test_linux_loader_0_3_0_alignment_that_is_no_power_of_two(align):
    with pytest.raises(FormatError, match="a power of two was needed"):
        parse(Elf(segments=[Segment(b"x", paddr=0x1000, align=align)]).build())


@pytest.mark.parametrize("align", [3, 16, 0xFFFFFFFFFFFFFFFF])
def test_linux_loader_0_3_0_alignment_of_notes_that_is_neither_4_nor_8(align):
    data = bytearray(Elf(segments=[notes_segment(phys32_entry())]).build())
    header = elf.Elf64Phdr.unpack(data, 64)
    data[64:120] = header.replace(p_align=align).pack()
    image = parse(data)
    assert [n.label for n in image.notes] == ["PHYS32_ENTRY"]
    assert f"alignment {align:#x}, 4 or 8 was needed" in image.warnings[0]


@pytest.mark.parametrize(("bits", "top"), [(32, 1 << 32), (64, 1 << 64)])
def test_crosvm_76199b4a0_p_paddr_plus_p_memsz_beyond_the_address_space(bits, top):
    for paddr, memsz in ((top - 1, 2), (2, top - 1), (top - 1, top - 1)):
        file = Elf(bits=bits, segments=[Segment(b"x", paddr=paddr, memsz=memsz)])
        with pytest.raises(FormatError, match=f"goes beyond {bits} bits"):
            parse(file.build())


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("e_ident", b"\x7fELF\0\1\1"), ("e_ident", b"\x7fELF\3\1\1"), ("e_ident", b"\x7fELF\2\2\1"),
        ("e_ident", b"\x7fELF\2\1\0"), ("e_version", 0), ("e_phentsize", 0),
        ("e_phentsize", 31), ("e_phentsize", 0xFFFF), ("e_phoff", 0xFFFFFFFF),
    ],
)  # fmt: skip
def test_limine_5a7052d1_and_5dd725db_sanity_of_the_elf_header(field, value, bits):
    file = Elf(bits=bits, segments=[Segment(b"x", paddr=0x1000)], ehdr={field: value})
    with pytest.raises(FormatError, match=r"was needed|bytes are there"):
        parse(file.build())


# --- CVE-2020-15705: GRUB, a signature that was not checked and nobody was told ---------------


def test_cve_2020_15705_nothing_is_verified_and_nothing_says_so():
    good = BzImage(maker.payload("xz", KERNEL)).build()
    forged = bytearray(good + b"a signature")  # as sbsign appends one
    forged[0x400] ^= 1  # the checksum of the file is wrong now
    for data in (good, bytes(forged)):
        image = parse(data)
        assert bytes(image.payload.image.data) == KERNEL
        said = " ".join((*(name + value for name, value in image.facts), *image.warnings)).lower()
        for claim in ("sign", "secure", "trust", "verif", "authentic"):
            assert claim not in said
    assert "nothing is verified" in images.__doc__
