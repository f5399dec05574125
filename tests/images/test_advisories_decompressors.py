"""Bad inputs that broke decompressors before us, one named test each."""

from __future__ import annotations

import subprocess

import pytest

from hvmlite.errors import FormatError, LimitError
from images.hostile import ALL, KERNEL, MIB, noise, parse, refused_cheaply
from makers import bzimage as maker
from makers import elf as elf_maker
from makers.bzimage import COMPRESSORS, BzImage

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
    data = maker.gzip(b"")[:10] + block * (20 * MIB // len(block))
    refused_cheaply(tmp_path / "k", BzImage(data).build())  # takes 70 ns a byte


def test_4b_zstd_magics_that_share_a_stream_of_nothing(tmp_path):
    start, swallow, empty = b"\x28\xb5\x2f\xfd\x00\x58", b"\x30\0\0", bytes(3)
    data = (start + swallow) * 63 + start + empty * 200_000  # each but the last holds the next
    path = tmp_path / "k"
    refused_cheaply(path, BzImage(data, version=0x207).build(), ["read"])


def test_4b_lz4_magics_that_share_a_stream_of_nothing(tmp_path):
    data = bytes.fromhex("02214c18") * 64 + b"\1\0\0\0\0" * 12_000
    path = tmp_path / "k"
    refused_cheaply(path, BzImage(data, version=0x207).build(), ["read"])
