"""bzImages: the header of every protocol version, finding the payload, what is refused."""

from __future__ import annotations

import dataclasses
import mmap
import shutil
import subprocess
import time

import pytest

from hvmlite import images
from hvmlite.errors import FormatError
from hvmlite.spec import linux
from makers import bzimage as maker
from makers import elf as elf_maker
from makers.bzimage import COMPRESSORS, BzImage

KERNEL = elf_maker.pvh_kernel(code=bytes(range(256)) * 64)
NAMES = ["6.1-cloud", "6.1-full", "6.1-686-pae", "6.12-cloud", "6.12-full"]


def parse(data):
    return images.parse(data, "t")


def made(name="gzip", **fields):
    return BzImage(maker.payload(name, KERNEL), **fields)


@pytest.mark.parametrize("name", sorted(COMPRESSORS))
def test_every_compression_is_found_by_the_header(name):
    image = parse(made(name).build())
    assert image.format == "bzimage"
    assert image.warnings == ()
    assert (image.payload.compression, image.payload.found) == (name, "header")
    inner = image.payload.image
    assert bytes(inner.data) == KERNEL
    assert inner.warnings == ()
    assert inner.source == "t:payload"
    assert image.payload.image is inner


def test_an_uncompressed_payload():
    image = parse(BzImage(KERNEL).build())
    assert image.payload.compression == "none"
    assert bytes(image.payload.image.data) == KERNEL


def test_nothing_is_decompressed_before_it_is_needed():
    image = parse(BzImage(b"\x1f\x8b\x08 this is no gzip").build())
    with pytest.raises(FormatError, match=r"^t:payload: corrupt gzip data"):
        _ = image.payload.image


@pytest.mark.parametrize("name", NAMES)
def test_real_kernels(kernels, name):
    path = kernels[name]
    image = images.parse(path.read_bytes(), name)
    facts = dict(image.facts)
    assert image.warnings == ()
    assert image.payload.found == "header"
    program = shutil.which("file")
    assert program, "file is missing"
    said = subprocess.run([program, "-bL", str(path)], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("Linux kernel x86 boot executable bzImage, version ")
    assert facts["kernel version"].split(" ", 1)[0] in said.stdout
    assert image.header.version == 0x20F
    config = kernels.config(name)
    algorithm = {"lz4": "LZ4", "xz": "XZ", "zstd": "ZSTD"}[image.payload.compression]
    assert f"CONFIG_KERNEL_{algorithm}=y\n" in config
    assert f"CONFIG_PHYSICAL_START={image.header.pref_address:#x}\n" in config
    assert f"CONFIG_PHYSICAL_ALIGN={image.header.kernel_alignment:#x}\n" in config
    sixty_four = bool(image.header.xloadflags & linux.XLoadFlags.XLF_KERNEL_64)
    assert sixty_four == ("CONFIG_64BIT=y\n" in config)
    inner = image.payload.image
    stated = int.from_bytes(
        image.data[image.payload.offset + image.payload.length - 4 :][:4], "little"
    )
    assert len(inner.data) == stated
    assert inner.warnings == ()


# --- the header -------------------------------------------------------------------------------

# Where the header ended in kernels of each version: the end of the last field it brought.
ENDS = {
    0x200: 0x224, 0x201: 0x226, 0x202: 0x22C, 0x203: 0x230, 0x204: 0x230, 0x205: 0x235,
    0x206: 0x23C, 0x207: 0x248, 0x208: 0x250, 0x209: 0x258, 0x20A: 0x264, 0x20B: 0x268,
    0x20C: 0x268, 0x20D: 0x268, 0x20E: 0x268, 0x20F: 0x26C,
}  # fmt: skip


@pytest.mark.parametrize("version", sorted(ENDS))
def test_every_version_of_the_header(version):
    image = parse(made(version=version, header_end=ENDS[version], setup=b"\xee" * 64).build())
    header, end = image.header, ENDS[version] - 0x1F1
    assert header.version == version
    assert dict(image.facts)["protocol"] == f"2.{version & 0xFF:02}"
    for name, field in linux.SetupHeader.FIELDS.items():
        if field.offset >= end:
            assert getattr(header, name) == 0, f"{name} was read from code"
    assert image.payload.found == ("header" if version >= 0x208 else "scan")
    assert bytes(image.payload.image.data[: len(KERNEL)]) == KERNEL
    mistaken = [w for w in image.warnings if "2.14" in w]
    assert len(mistaken) == (version == 0x20E)


@pytest.mark.parametrize("length", [0, 0x14, 0x8F, 0xFF])
def test_the_header_must_end_within_its_bounds(length):
    data = bytearray(made(setup_sects=5).build())
    data[0x201] = length
    with pytest.raises(FormatError, match="setup header ends at"):
        parse(data)


@pytest.mark.parametrize("length", [0x15, 0x8E])
def test_the_bounds_of_the_header_are_allowed(length):
    data = bytearray(made(setup_sects=5).build())
    data[0x201] = length
    assert parse(data).format == "bzimage"


def test_setup_sects_0_means_4():
    image = parse(made(setup_sects=0).build())
    assert image.header.setup_sects == 0
    assert bytes(image.payload.image.data) == KERNEL


def test_a_header_longer_than_ours_is_readable():
    assert parse(made(header_end=0x290).build()).header.version == 0x20F


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (0x1FE, b"\0\0", "boot signature 0x0000, 0xaa55 was needed"),
        (0x206, b"\xff\1", "boot protocol 1.255, 2.00 or later was needed"),
        (0x1F1, b"\x41", "65 setup sectors, at most 64 were needed"),
        (0x1F1, b"\x40", "setup needs 0x8200 bytes"),
    ],
)
def test_what_is_refused(at, value, said):
    data = bytearray(made().build())
    data[at : at + len(value)] = value
    with pytest.raises(FormatError, match=said):
        parse(data)


def test_a_file_that_is_shorter_than_syssize_is_told():
    (warning,) = parse(made(header={"syssize": 0x10000}).build()).warnings
    assert "syssize says" in warning
    assert parse(made(header={"syssize": 0x10000}, version=0x203).build()).warnings == ()


def test_zimage_is_named_as_such():
    assert ("kind", "zImage (loaded low)") in parse(made(header={"loadflags": 0}).build()).facts


def test_a_byte_that_is_no_jump_is_told():
    data = bytearray(made().build())
    data[0x200] = 0xE9
    assert "short jump" in parse(data).warnings[0]


@pytest.mark.parametrize(
    ("offset", "text", "said"),
    [(0x900, "x", "outside the setup"), (0x100, "y" * 300, "has no end")],
)
def test_a_version_string_that_cannot_be_read(offset, text, said):
    image = parse(made(kernel_version=text, header={"kernel_version": offset}).build())
    assert said in image.warnings[0]
    assert "kernel version" not in dict(image.facts)


def test_a_version_string_cannot_send_escapes_to_the_terminal():
    facts = dict(parse(made(kernel_version="6.1\x1b[2J").build()).facts)
    assert facts["kernel version"] == "6.1?[2J"


def test_kernel_info():
    info = linux.KernelInfo(header=linux.KERNEL_INFO_MAGIC, size=16, setup_type_max=0x80000009)
    good = made(before=bytes(32) + info.pack(), header={"kernel_info_offset": 32})
    assert ("setup_type_max", "0x80000009") in parse(good.build()).facts
    bad = dataclasses.replace(good, before=bytes(64))
    assert "has magic 0x0" in parse(bad.build()).warnings[0]
    far = dataclasses.replace(good, header={"kernel_info_offset": 0xFFFFFFFF})
    assert "outside the file" in parse(far.build()).warnings[0]


# --- the payload ------------------------------------------------------------------------------


def test_without_a_header_that_says_where_the_payload_is_searched_for():
    image = parse(made("xz", header={"payload_offset": 0, "payload_length": 0}).build())
    assert (image.payload.compression, image.payload.found) == ("xz", "scan")
    assert "found by its magic" in dict(image.facts)["payload"]
    assert bytes(image.payload.image.data) == KERNEL


@pytest.mark.parametrize("name", sorted(COMPRESSORS))
def test_the_search_finds_every_compression(name):
    image = parse(made(name, version=0x207).build())
    assert (image.payload.compression, image.payload.found) == (name, "scan")
    assert bytes(image.payload.image.data) == KERNEL


def test_the_search_is_a_fallback_too_when_the_header_points_at_something_else():
    data = made(header={"payload_offset": 0}).build()
    image = parse(data)
    assert image.payload.found == "scan"
    assert "payload begins with 90 90" in image.warnings[0]


def test_the_search_ends_where_no_payload_begins_any_more(tmp_path):
    # A disk image with a kernel's setup header: 10 GiB were searched for minutes.
    path = tmp_path / "large"
    path.write_bytes(BzImage(b"", header={"version": 0x207}).build())
    with path.open("r+b") as file:
        file.truncate(10 << 30)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            started = time.process_time()
            warnings = parse(data).warnings
            assert time.process_time() - started < 5
    assert warnings == ("no payload found: neither by the header nor by a search for magics",)


def test_no_payload_at_all_is_told():
    image = parse(BzImage(b"", version=0x207).build())
    assert image.payload is None
    assert "no payload found" in image.warnings[0]


def test_a_size_word_that_is_wrong_is_told_but_not_believed():
    for wrong in (0, 5, len(KERNEL) - 1, len(KERNEL) + 1, 0xFFFFFFFF):
        for name in ("zstd", "xz", "bzip2", "lzma", "lzo"):
            packed = COMPRESSORS[name](KERNEL) + wrong.to_bytes(4, "little")
            inner = parse(BzImage(packed).build()).payload.image
            assert bytes(inner.data) == KERNEL
            assert f"{wrong} are stated" in inner.warnings[0]


def test_with_lz4_the_size_word_is_all_that_shows_a_missing_block():
    packed = COMPRESSORS["lz4"](KERNEL) + (len(KERNEL) + 1).to_bytes(4, "little")
    with pytest.raises(FormatError, match="are stated at its end"):
        _ = parse(BzImage(packed).build()).payload.image


def test_the_inner_image_must_be_an_elf_file():
    packed = maker.payload("zstd", b"no ELF file at all")
    with pytest.raises(FormatError, match="begins with 6e 6f 20 45 once decompressed"):
        _ = parse(BzImage(packed).build()).payload.image
