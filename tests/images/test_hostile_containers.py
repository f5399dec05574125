"""PE files and disks, truncated, flipped, spliced and made up: a value or a FormatError."""

from __future__ import annotations

import contextlib
import time
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hvmlite.errors import FormatError
from hvmlite.images import Limits, parse
from images.test_disk import ENTRY, gpt_disk, mbr, part, section, torito, validation
from images.test_uki import BZIMAGE, PROFILES
from makers.pe import STUB, Pe, Sect

BUILD = Path(__file__).resolve().parents[2] / "build"
LIMITS = Limits(output=4 << 20, dictionary=16 << 20)
SAMPLES = {
    "uki": PROFILES,
    "pe": Pe([*STUB, Sect(".compat", b"\1\x08\x4c\x01\x00\x10\x00\x00\0")]).build(),
    "pe32": Pe([*STUB, Sect(".cmdline", b"x")], bits=32).build(),
    "gpt": gpt_disk(),
    "mbr": bytes(mbr(part(0xEF, 1, 4), part(5, 8, 40), part(0x83, 48, 16))),
    "iso": torito(validation() + ENTRY + section(count=2) + ENTRY * 2),
}
# Where flips say most: headers, tables, catalogs.
PLACES = {
    "uki": range(0x400), "pe": range(0x400), "pe32": range(0x400), "gpt": range(510, 1160),
    "mbr": [*range(0x1B8, 0x200), *range(8 * 512, 9 * 512)],
    "iso": [*range(17 * 2048, 17 * 2048 + 75), *range(20 * 2048, 20 * 2048 + 192)],
}  # fmt: skip
EXTREMES = [b"\xff" * 2, b"\xff" * 4, b"\xff" * 8, bytes(8), b"\0\0\0\x80", b"\xff" * 7 + b"\x7f"]


def read(data):
    """Read all there is to read; only FormatError may come out, and soon."""
    started = time.process_time()
    with contextlib.suppress(FormatError):
        _look(parse(data, "t", LIMITS))
    assert time.process_time() - started < 2


def _look(image):
    for part_ in image.parts:
        assert 0 <= part_.offset <= part_.offset + len(part_.data) <= len(image.data)
    if image.pe_headers is not None:
        assert len(image.pe_headers().compat) <= 16
    if image.disk is not None:
        for each in image.disk.partitions:
            assert 0 <= each.start < len(image.data)
        assert len(image.disk.partitions) <= 128
        assert len(image.disk.boot_entries) <= 32
    assert len(image.warnings) <= 20
    if image.payload is not None:
        _look(image.payload.image)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_truncation_at_many_offsets(name):
    data = SAMPLES[name]
    for end in [*range(0x600), *range(0x600, len(data), 61)]:
        read(data[:end])


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_bit_of_the_headers_flipped(name):
    data = bytearray(SAMPLES[name])
    for position in PLACES[name]:
        for bit in range(8):
            data[position] ^= 1 << bit
            read(bytes(data))
            data[position] ^= 1 << bit


@given(st.data())
def test_several_flips_and_splices(data):
    name = data.draw(st.sampled_from(sorted(SAMPLES)))
    hostile = bytearray(SAMPLES[name])
    _change(data, hostile, PLACES[name])
    read(bytes(hostile))


def _change(data, hostile, places):
    for _ in range(data.draw(st.integers(1, 8))):
        anywhere = st.integers(0, len(hostile) - 1)
        position = data.draw(st.one_of(st.sampled_from(places), anywhere))
        value = data.draw(st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from(EXTREMES)))
        hostile[position : position + len(value)] = value


REAL = {
    "images/systemd-boot/linuxx64.efi.stub": range(0x400),
    "images/ipxe/ipxe.iso": [*range(0x1B8, 0x200), *range(0x8800, 0x8850)],
    "images/grub-rescue/rescue.iso": [*range(510, 0x400), *range(0x2800, 0x2A00)],
    "kernels/6.1-cloud/vmlinuz": range(0x200),
}  # fmt: skip


@cache
def real(name):
    # The beginning is enough, and can be copied a thousand times.
    with (BUILD / name).open("rb") as file:
        return file.read(256 << 10)


@given(st.data())
def test_real_files_with_changes(data):
    name = data.draw(st.sampled_from(sorted(REAL)))
    hostile = bytearray(real(name))
    _change(data, hostile, REAL[name])
    read(bytes(hostile))


@given(at=st.integers(0x40, 600), data=st.binary(max_size=1500))
@example(at=0x40, data=b"d\x86\1\0" + bytes(12) + b"\x70\0\x0b\2" + bytes(200))
def test_arbitrary_bytes_behind_a_pe_signature(at, data):
    read(b"MZ" + bytes(0x3A) + at.to_bytes(4, "little") + bytes(at - 0x40) + b"PE\0\0" + data)


@given(data=st.binary(max_size=510))
def test_arbitrary_bytes_before_a_boot_signature(data):
    read(data.ljust(510, b"\0") + b"\x55\xaa" + bytes(4096))


@given(data=st.binary(max_size=2000))
def test_arbitrary_bytes_as_a_boot_catalog(data):
    read(torito(data))
    read(torito(validation() + data))


@given(data=st.binary(max_size=2000))
def test_arbitrary_bytes_as_gpt_entries(data):
    read(gpt_disk(entries=data.ljust(-(-len(data) // 128) * 128 + 128, b"\0")))


def test_a_uki_of_sections_that_all_are_the_same_bytes():
    """Thousands of parts of a whole file each cost nothing: they are not copied."""
    one = Sect(".dtb", b"", virtual_size=0x10000, raw_size=0x10000, offset=0)
    data = Pe([*STUB, Sect(".linux", BZIMAGE), *[one] * 3000]).build()
    started = time.process_time()
    image = parse(data, "t")
    assert len(image.parts) == 3001
    assert time.process_time() - started < 2
