"""Plain binaries with a multiboot header: recognised where boot loaders look for it."""

from __future__ import annotations

import time

import pytest

from hvmlite.errors import FormatError
from hvmlite.images import parse as parse_image

MAGIC1, MAGIC2 = 0x1BADB002, 0xE85250D6


def words(*values):
    return b"".join((value & 0xFFFFFFFF).to_bytes(4, "little") for value in values)


def multiboot1(flags=1 << 16, checksum=None):
    checksum = -(MAGIC1 + flags) if checksum is None else checksum
    return words(MAGIC1, flags, checksum, 0x100000, 0x100000, 0, 0, 0x100020)


def tag(kind, *values):
    data = words(kind, 8 + 4 * len(values), *values)
    return data + bytes(-len(data) % 8)


ADDRESS = tag(2, 0x100000, 0x100000, 0, 0)
END = tag(0)


def multiboot2(*tags, length=None, checksum=None):
    body = b"".join(tags)
    length = 16 + len(body) if length is None else length
    checksum = -(MAGIC2 + length) if checksum is None else checksum
    return words(MAGIC2, 0, length, checksum) + body


def file(header, at):
    return b"\x90" * at + header + b"\x90" * 64


@pytest.mark.parametrize(
    ("header", "at", "name"),
    [
        (multiboot1(), 0, "multiboot1 header"),
        (multiboot1(), 4, "multiboot1 header"),
        (multiboot1(), 8192 - 32, "multiboot1 header"),
        (multiboot2(ADDRESS, END), 0, "multiboot2 header"),
        (multiboot2(tag(4, 0), ADDRESS, END), 8, "multiboot2 header"),
        (multiboot2(tag(1, 6), ADDRESS, END), 32768 - 64, "multiboot2 header"),
    ],
)
def test_a_header_in_its_window(header, at, name):
    image = parse_image(file(header, at), "t")
    assert image.format == "raw"
    assert dict(image.facts) == {name: f"at {at:#x}, with load addresses"}


@pytest.mark.parametrize(
    ("header", "at"),
    [
        (multiboot1(), 2),
        (multiboot1(), 8192 - 28),
        (multiboot1(flags=0), 0),  # without addresses only an ELF file can be loaded
        (multiboot1(checksum=0), 0),
        (multiboot1()[:16], 1 << 13),
        (multiboot2(ADDRESS, END), 4),
        (multiboot2(ADDRESS, END), 32768 - 32),
        (multiboot2(END), 0),
        (multiboot2(ADDRESS, END, checksum=0), 0),
        (multiboot2(ADDRESS, END, length=0xFFFFFFF0), 0),
        (multiboot2(words(9, 0), ADDRESS), 0),  # a tag of size 0 would go round for ever
        (multiboot2(words(2, 8), END), 0),
    ],
)
def test_no_header_in_its_window(header, at):
    with pytest.raises(FormatError, match="a bzImage, a UKI, an ELF file or a disk was needed"):
        parse_image(file(header, at), "t")


def test_a_false_magic_does_not_hide_the_true_one():
    image = parse_image(file(words(MAGIC1, 0) * 100 + multiboot1(), 0), "t")
    assert dict(image.facts) == {"multiboot1 header": "at 0x320, with load addresses"}


def test_the_first_header_counts_as_for_the_protocols():
    both = multiboot2(tag(4, 0), END) + multiboot2(ADDRESS, END)
    with pytest.raises(FormatError):
        parse_image(file(both, 0), "t")
    other = words(MAGIC2, 4, 16, -(MAGIC2 + 4 + 16))  # of MIPS: none for a PC
    assert parse_image(file(other + multiboot2(ADDRESS, END), 0), "t").format == "raw"
    plain = words(MAGIC1, 0, -MAGIC1)
    with pytest.raises(FormatError):
        parse_image(file(plain + multiboot1(), 0), "t")


def test_headers_in_headers_cost_no_quadratic_time():
    # Each is a valid tag of the one before it, so that every chain of tags is as long as the rest.
    data = b"".join(words(MAGIC2, 16, left, -(MAGIC2 + 16 + left)) for left in range(32768, 0, -16))
    started = time.process_time()
    with pytest.raises(FormatError, match="looks like"):
        parse_image(data, "t")
    assert time.process_time() - started < 0.5
