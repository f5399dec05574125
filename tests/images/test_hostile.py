"""Truncated, flipped and arbitrary bytes: a value or a FormatError, never anything else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hvmlite import images
from hvmlite.errors import FormatError
from hvmlite.images import Limits
from hvmlite.spec import elf
from makers import bzimage as maker
from makers import elf as elf_maker
from makers.bzimage import COMPRESSORS, BzImage
from makers.elf import Elf, Sect, Segment, note, notes_segment, phys32_entry

LIMITS = Limits(output=4 << 20, dictionary=16 << 20)


def rich_elf(bits):
    """An ELF file with every part that is read."""
    file = Elf(bits=bits)
    file.segments = [
        Segment(b"\xf4" * 64, paddr=0x100000),
        Segment(b"data" * 8, paddr=0x200000, memsz=0x1000, flags=6),
        notes_segment(phys32_entry(), note("GNU", 5, bytes(16), 8), align=8),
        notes_segment(note("Xen", 6, b"linux\0"), note("Xen", 19, bytes(12))),
    ]
    file.sections = [
        Sect(".text", b"\xf4" * 8),
        Sect(".notes", note("Linux", 0x100, b"salt\0"), elf.ShType.NOTE, align=4),
        Sect(".bss", type=elf.ShType.NOBITS, size=0x1000),
    ]
    return file.build()


KERNEL = elf_maker.pvh_kernel(code=bytes(range(256)) * 8)
SAMPLES = {
    "elf32": rich_elf(32),
    "elf64": rich_elf(64),
    **{f"bzimage-{n}": BzImage(maker.payload(n, KERNEL)).build() for n in COMPRESSORS},
    "bzimage-scan": BzImage(maker.gzip(KERNEL), version=0x207).build(),
    **{f"compressed-{n}": pack(KERNEL) for n, pack in COMPRESSORS.items()},
}
# Where flips say most: the headers, and the whole file where it is small.
HEADERS = {name: range(0x1F1, 0x290) if "bzimage" in name else range(len(data))
           for name, data in SAMPLES.items()}  # fmt: skip


def read(data):
    """Read all there is to read; only FormatError may come out, as None."""
    try:
        image = images.parse(data, "t", LIMITS)
        inner = image.payload.image if image.payload else image
    except FormatError:
        return None
    for segment in inner.segments:
        assert len(segment.data) <= segment.memsz
        assert 0 <= segment.paddr < segment.end <= 1 << 64
    for found in inner.notes:
        assert found.offset + 12 + len(found.desc) <= len(inner.data)
    for section in inner.sections:
        if section.type != elf.ShType.NOBITS:
            assert section.offset + section.size <= len(inner.data)
    return inner


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_truncation_at_every_offset(name):
    data = SAMPLES[name]
    assert read(data) is not None
    step = 1 if len(data) < 5000 else 3
    for end in [*range(0x2A0), *range(0x2A0, len(data), step)]:
        read(data[:end])


@pytest.mark.parametrize("bits", [32, 64])
def test_an_elf_file_without_the_end_of_its_segments_is_refused(bits):
    data = elf_maker.pvh_kernel(bits)
    size = max(p.p_offset + p.p_filesz for p in program_headers(data, bits))
    for end in range(size):
        assert read(data[:end]) is None


def program_headers(data, bits):
    ehdr_layout, phdr_layout, _ = Elf(bits=bits).layouts
    ehdr = ehdr_layout.unpack(data)
    table = data[ehdr.e_phoff : ehdr.e_phoff + ehdr.e_phnum * phdr_layout.SIZE]
    return phdr_layout.unpack_all(table)


def test_a_bzimage_without_the_end_of_its_payload_is_refused():
    data = SAMPLES["bzimage-gzip"]
    payload = images.parse(data, "t").payload
    for end in range(payload.offset + payload.length):
        # Without the magic at 0x202, what is left is a boot sector like any other.
        assert (read(data[:end]) is None) == (not 0x200 <= end < 0x206)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_bit_of_the_headers_flipped(name):
    data = bytearray(SAMPLES[name])
    headers = HEADERS[name] if len(HEADERS[name]) < 1000 else range(400)
    for position in headers:
        for bit in range(8):
            data[position] ^= 1 << bit
            read(bytes(data))
            data[position] ^= 1 << bit


# The number of cases of the properties below is the profile's: see tests/conftest.py.


@given(name=st.sampled_from(sorted(SAMPLES)), data=st.data())
def test_truncations(name, data):
    whole = SAMPLES[name]
    # From the end as well: what lies there is the last that is read.
    from_end = st.integers(0, min(200, len(whole))).map(lambda left: len(whole) - left)
    read(whole[: data.draw(st.one_of(st.integers(0, len(whole)), from_end))])


@given(name=st.sampled_from(sorted(SAMPLES)), data=st.data())
def test_bit_flips(name, data):
    hostile = bytearray(SAMPLES[name])
    position = st.one_of(st.sampled_from(HEADERS[name]), st.integers(0, len(hostile) - 1))
    flips = st.lists(st.tuples(position, st.integers(0, 7)), min_size=1, max_size=8)
    for at, bit in data.draw(flips):
        hostile[at] ^= 1 << bit
    read(bytes(hostile))


@given(st.data())
def test_several_flips_and_splices(data):
    name = data.draw(st.sampled_from(sorted(SAMPLES)))
    hostile = bytearray(SAMPLES[name])
    for _ in range(data.draw(st.integers(1, 8))):
        anywhere = st.integers(0, len(hostile) - 1)
        position = data.draw(st.one_of(st.sampled_from(HEADERS[name]), anywhere))
        value = data.draw(st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from(EXTREMES)))
        hostile[position : position + len(value)] = value
    read(bytes(hostile))


EXTREMES = [b"\xff" * 2, b"\xff" * 4, b"\xff" * 8, bytes(8), b"\0\0\0\x80", b"\xff" * 7 + b"\x7f"]


@given(data=st.binary(max_size=4096))
@example(data=b"\x7fELF")
@example(data=b"\x7fELF\2\1\1" + bytes(57))
def test_arbitrary_bytes(data):
    read(data)


STARTS = [b"\x7fELF\1\1\1", b"\x7fELF\2\1\1", *(p(b"")[:12] for p in COMPRESSORS.values())]


@given(start=st.sampled_from(STARTS), data=st.binary(max_size=2000))
def test_arbitrary_bytes_behind_a_magic(start, data):
    read(start + data)


@given(data=st.binary(max_size=500), at=st.integers(0, 600))
def test_arbitrary_bytes_over_a_setup_header(data, at):
    hostile = bytearray(SAMPLES["bzimage-xz"])
    hostile[at : at + len(data)] = data
    hostile[0x202:0x206] = b"HdrS"
    read(bytes(hostile))


@pytest.fixture(scope="module")
def real(kernels):
    return kernels["6.12-cloud"].read_bytes()


def test_every_bit_of_the_header_of_a_real_kernel_flipped(real):
    hostile = bytearray(real)
    for position in range(0x1F1, 0x26C):
        for bit in range(8):
            hostile[position] ^= 1 << bit
            with contextlib.suppress(FormatError):
                images.parse(hostile, "t", LIMITS)
            hostile[position] ^= 1 << bit
    assert images.parse(hostile, "t").payload.found == "header"  # as it was


def test_truncations_of_a_real_kernel(real):
    whole = memoryview(real)
    payload = images.parse(whole, "t").payload
    for end in [*range(0x2A0), *range(0x2A0, payload.offset, 509), payload.offset + 100]:
        with pytest.raises(FormatError):
            images.parse(whole[:end], "t", LIMITS)
