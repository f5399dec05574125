"""Bad inputs that others met before us, one named test each.

The list is that of published advisories and fixes in Xen, linux-loader, crosvm, GRUB and Linux:
each file below is of the kind that made a peer crash, hang or exhaust its host.
"""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from hvmlite import images
from hvmlite.errors import FormatError, LimitError
from hvmlite.images import Limits
from hvmlite.spec import elf
from makers import bzimage as maker
from makers import elf as elf_maker
from makers.bzimage import COMPRESSORS, BzImage
from makers.elf import Elf, Sect, Segment, note, notes_segment, phys32_entry

MIB = 1 << 20
SECONDS = 5
SLOW_INPUT = {"bzip2": 16 * MIB, "lzma": 32 * MIB, "xz": 32 * MIB}
ALL = pytest.mark.parametrize("name", sorted(COMPRESSORS))
KERNEL = elf_maker.pvh_kernel(code=bytes(range(256)) * 64)

# Reads a file in a process of its own, so that its peak memory can be told apart from ours.
CHILD = """
import sys, time
from pathlib import Path
from hvmlite import images
from hvmlite.errors import FormatError, LimitError
import bz2, lzma, zlib, lz4.block, lzallright, zstandard
def peak():  # getrusage would count the parent before exec
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) >> 10
data = Path(sys.argv[1]).read_bytes()
before = peak()
start = time.process_time()
try:
    image = images.parse(data, "t")
    image.payload and image.payload.image
    verdict = "read"
except LimitError as error:
    verdict = f"limit {error.limit}"
except FormatError as error:
    verdict = "format"
print(time.process_time() - start, peak() - before, verdict, sep=";")
"""


def parse(data):
    return images.parse(data, "t")


def refused_cheaply(path, data, verdicts=("format",), seconds_allowed=SECONDS):
    """Read a hostile file; it must be refused within the time and memory that we promise."""
    path.write_bytes(data)
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, check=True
    )
    # CPU seconds: the machine may be busy with guests that boot
    seconds, mebibytes, verdict = child.stdout.strip().split(";")
    assert verdict in verdicts
    assert float(seconds) < seconds_allowed
    assert int(mebibytes) <= 512 + 256
    return int(mebibytes)


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


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


# --- decompressors ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "block",
    [
        "f0 ffffffff ffffffff ffffffff ffffffff",  # a literal length that adds up and up
        "ff" * 64,
        "1f 00 0000 ff",  # a match at offset 0
        "10 41 ffff",  # a match before the start of the output
        "0f 0100 " + "ff" * 40,
    ],
)
def test_cve_2014_4611_lz4_underrun_and_overflow_of_lengths(block):
    data = bytes.fromhex(block)
    frame = maker.COMPRESSORS["lz4"](b"\x7fELF" * 9) + len(data).to_bytes(4, "little") + data
    with pytest.raises(FormatError, match="corrupt lz4 block"):
        _ = parse(BzImage(frame + bytes(4)).build()).payload.image


@pytest.mark.parametrize("size", [0, 0x80000000, 0xFFFFFFFF, 8 * MIB + 8 * MIB // 255 + 17])
def test_cve_2014_4611_lz4_block_sizes(size):
    frame = maker.COMPRESSORS["lz4"](b"\x7fELF" * 9) + size.to_bytes(4, "little") + bytes(100)
    with pytest.raises(FormatError, match=f"lz4 block of {size} bytes"):
        _ = parse(BzImage(frame).build()).payload.image


@pytest.mark.parametrize(
    "block", ["00" * 60, "00" * 59 + "ff", "ff" * 60, "12 61 ffff ffff", "20" + "00" * 50 + "01"]
)
def test_cve_2014_4607_lzo_overflow_of_run_lengths(block):
    data = bytes.fromhex(block)
    sizes = (4096).to_bytes(4, "big") + len(data).to_bytes(4, "big") + bytes(4)
    with pytest.raises(FormatError, match=r"corrupt lzo block|lzo block holds"):
        _ = parse(BzImage(maker.lzo_header() + sizes + data + bytes(4)).build()).payload.image


@pytest.mark.parametrize(
    ("size", "packed"),
    [(0xFFFFFFFF, 1), (1, 0xFFFFFFFF), (1, 2), (1, 0), (0x40001, 5), (0x80000000, 0x80000000)],
)
def test_cve_2014_4607_lzo_block_sizes(size, packed):
    sizes = size.to_bytes(4, "big") + packed.to_bytes(4, "big") + bytes(100)
    with pytest.raises(FormatError, match=f"lzop block of {packed} bytes for {size}"):
        _ = parse(BzImage(maker.lzo_header() + sizes).build()).payload.image


def test_lzo_a_block_that_expands_beyond_what_it_says(tmp_path):
    from lzallright import LZOCompressor

    data = LZOCompressor().compress(bytes(60 * MIB))[: 256 << 10]
    sizes = (256 << 10).to_bytes(4, "big") + len(data).to_bytes(4, "big") + bytes(4)
    image = BzImage((maker.lzo_header() + sizes + data).ljust(60 * MIB, b"\1"))
    refused_cheaply(tmp_path / "k", image.build())


def test_xz_dictionary_above_the_limit_and_the_one_of_linux_6_12_below():
    for mebibytes, fine in ((128, True), (192, True), (256, False), (1024, False)):
        packed = bytearray(maker.xz(KERNEL, mebibytes * MIB)) + len(KERNEL).to_bytes(4, "little")
        image = parse(BzImage(bytes(packed)).build())
        if fine:
            assert bytes(image.payload.image.data) == KERNEL
        else:
            with pytest.raises(LimitError) as caught:
                _ = image.payload.image
            assert caught.value.limit == "dictionary"


@pytest.mark.parametrize("bcj", ["x86", "arm", "armthumb", "powerpc", "ia64", "sparc"])
def test_4b_xz_with_a_bcj_filter(bcj, tmp_path):
    # Linux uses the one of its architecture; calls and jumps give it something to do.
    code = b"".join(b"\xe8" + at.to_bytes(4, "little") for at in range(0, 1 << 16, 7))
    kernel = tmp_path / "vmlinux"
    kernel.write_bytes(elf_maker.pvh_kernel(code=code))
    command = ["xz", "-c", "--check=crc32", f"--{bcj}", "--lzma2=dict=1MiB", str(kernel)]
    packed = subprocess.run(command, capture_output=True, check=True).stdout
    size = kernel.stat().st_size.to_bytes(4, "little")
    inner = parse(BzImage(packed + size).build()).payload.image
    assert bytes(inner.data) == kernel.read_bytes()
    assert inner.warnings == ()


@ALL
def test_4b_the_size_word_after_the_stream_is_tolerated(name):
    inner = parse(BzImage(maker.payload(name, KERNEL)).build()).payload.image
    assert bytes(inner.data) == KERNEL
    assert inner.warnings == ()


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz", "zstd", "lzma", "lzo"])
def test_4b_of_concatenated_streams_the_first_is_the_kernel_as_the_kernel_has_it(name):
    packed = COMPRESSORS[name](KERNEL)
    word = len(KERNEL).to_bytes(4, "little")
    inner = parse(BzImage(packed + packed + word).build()).payload.image
    assert bytes(inner.data) == KERNEL
    assert f"bytes after the {name} stream are ignored" in inner.warnings[-1]


def test_4b_concatenated_lz4_legacy_frames_are_one_as_the_kernel_has_it():
    half = len(KERNEL) // 2
    packed = COMPRESSORS["lz4"](KERNEL[:half]) + COMPRESSORS["lz4"](KERNEL[half:])
    image = BzImage(packed + len(KERNEL).to_bytes(4, "little"))
    assert bytes(parse(image.build()).payload.image.data) == KERNEL


def test_4b_bogus_gzip_magics_in_the_setup_code_and_before_the_payload():
    bogus = b"\x1f\x8b\x08\0" + bytes(6)
    real_but_no_elf = maker.gzip(b"this is not the kernel that you are looking for")
    image = BzImage(
        maker.gzip(KERNEL),
        version=0x207,
        header_end=0x248,
        setup=bogus,
        before=bogus + real_but_no_elf + b"BZh9" + b"\xfd7zXZ\0" + bogus,
    )
    found = parse(image.build()).payload
    assert (found.compression, found.found) == ("gzip", "scan")
    assert bytes(found.image.data) == KERNEL


@ALL
def test_4b_a_file_full_of_magics_is_given_up_soon(name, tmp_path):
    packed = COMPRESSORS[name](noise(900_000))
    data = BzImage(packed * (60 * MIB // len(packed)), version=0x207)
    path = tmp_path / "k"
    refused_cheaply(path, data.build(), ["read"])
    assert parse(path.read_bytes()).payload is None


def gzip_headers_in_each_other(count=64):
    """Each is skipped by the ones before it as their extra field: all share what follows."""
    size = 12
    start = b"\x1f\x8b\x08\x04" + bytes(6)
    left = range((count - 1) * size, -1, -size)
    return b"".join(start + extra.to_bytes(2, "little") for extra in left)


def empty_dynamic_blocks():
    """The dearest way to say nothing in DEFLATE (RFC 1951, 3.2.7): two tables and an end mark."""
    fields = [(0, 1), (2, 2), (0, 5), (0, 5), (14, 4)]  # not final, dynamic, 257, 1, 18 lengths
    order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1]
    fields += [(symbol in (18, 1), 3) for symbol in order]
    fields += [(1, 1), (138 - 11, 7), (1, 1), (117 - 11, 7)]  # 255 symbols without a code
    fields += [(0, 1)] * 3 + [(1, 1)]  # 255, 256 and a distance have one; 256 is the end mark
    value = width = 0
    for number, bits in fields * 8:
        value, width = value | int(number) << width, width + bits
    return value.to_bytes(width // 8, "little")


def test_4b_empty_dynamic_blocks_are_what_they_should_be():
    import zlib

    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    assert inflate.decompress(empty_dynamic_blocks() * 9 + b"\3\0") == b""
    assert inflate.eof


@pytest.mark.parametrize(
    "block", [bytes.fromhex("000000ffff"), empty_dynamic_blocks()], ids=["stored", "dynamic"]
)
def test_4b_gzip_magics_that_share_a_stream_of_nothing(block, tmp_path):
    data = gzip_headers_in_each_other() + block * (60 * MIB // len(block))
    path = tmp_path / "k"
    refused_cheaply(path, BzImage(data, version=0x207).build(), ["read"])


def test_4b_a_gzip_stream_of_nothing(tmp_path):
    block = empty_dynamic_blocks()
    data = maker.gzip(b"")[:10] + block * (30 * MIB // len(block))
    refused_cheaply(tmp_path / "k", BzImage(data).build())  # takes 70 ns a byte


def test_4b_zstd_magics_that_share_a_stream_of_nothing(tmp_path):
    start, swallow, empty = b"\x28\xb5\x2f\xfd\x00\x58", b"\x30\0\0", bytes(3)
    data = (start + swallow) * 63 + start + empty * 270_000  # each but the last holds the next
    path = tmp_path / "k"
    refused_cheaply(path, BzImage(data, version=0x207).build(), ["read"], seconds_allowed=3)


def test_4b_lz4_magics_that_share_a_stream_of_nothing(tmp_path):
    data = bytes.fromhex("02214c18") * 64 + b"\1\0\0\0\0" * 20_000
    path = tmp_path / "k"
    refused_cheaply(path, BzImage(data, version=0x207).build(), ["read"])
