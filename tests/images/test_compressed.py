"""Files that are compressed as a whole, and what is said about files that are no kernel."""

from __future__ import annotations

import pytest

from hvmlite import images
from hvmlite.errors import FormatError
from makers import elf as elf_maker
from makers.bzimage import COMPRESSORS

KERNEL = elf_maker.pvh_kernel()


def parse(data):
    return images.parse(data, "t")


@pytest.mark.parametrize("name", sorted(COMPRESSORS))
def test_a_compressed_elf_file_is_an_image_with_a_payload(name):
    image = parse(COMPRESSORS[name](KERNEL))
    assert (image.format, image.payload.compression) == ("compressed", name)
    assert bytes(image.payload.image.data) == KERNEL
    assert image.payload.image.warnings == ()


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz", "zstd", "lz4", "lzo", "lzma"])
def test_concatenated_streams_are_read_as_the_tools_do(name):
    half = len(KERNEL) // 2
    data = COMPRESSORS[name](KERNEL[:half]) + COMPRESSORS[name](KERNEL[half:])
    assert bytes(parse(data).payload.image.data) == KERNEL


def test_what_follows_the_stream_is_told():
    (warning,) = parse(COMPRESSORS["gzip"](KERNEL) + b"signature").payload.image.warnings
    assert warning == "9 bytes after the gzip stream are ignored"


@pytest.mark.parametrize("name", sorted(COMPRESSORS))
def test_a_compressed_something_else_is_refused_by_what_it_is(name):
    with pytest.raises(FormatError, match=f"{name} data that holds a cpio archive"):
        parse(COMPRESSORS[name](b"070701" + b"0" * 3000))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"QFI\xfb" + bytes(600), "qcow2"),
        (b"\xeb\x3c" + bytes(508) + b"\x55\xaa", "before boot protocol 2.00"),
        (b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0", "a PE .* program"),
    ],
)
def test_a_compressed_disk_or_program_is_described(data, said):
    with pytest.raises(FormatError, match=f"gzip data that holds .*{said}"):
        parse(COMPRESSORS["gzip"](data))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "nothing at all"),
        (bytes(1000), "zeros"),
        (b"root=/dev/sda1 quiet\n", "text"),
        ("größer\n".encode(), "text"),
        (b"#!/bin/sh\n", "a script"),
        (b"MZ" + bytes(1000), "a DOS program, 1002 bytes long"),
        (b"070701", "cpio"),
        (b"\x04\x22\x4d\x18" + bytes(20), "lz4 -l"),
        (bytes(257) + b"ustar" + bytes(300), "a tar archive"),
        (b"\x01\x02\xff\xfe" * 10, r"unknown kind \(01 02 ff fe 01 02 ff fe\)"),
        (bytes(56) + b"ARMd" + bytes(100), "AArch64"),
    ],
)
def test_a_file_that_is_no_kernel_is_described(data, said):
    with pytest.raises(FormatError, match=said) as caught:
        parse(data)
    assert str(caught.value).endswith("was needed")
