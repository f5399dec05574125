"""Just enough of an AML encoder: ACPI 6.5, chapter 20 (terms) and 6.4 (resource descriptors)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_ZERO, _ONE, _NAME = b"\x00", b"\x01", b"\x08"
_SCOPE, _BUFFER, _PACKAGE, _DEVICE = b"\x10", b"\x11", b"\x12", b"\x5b\x82"
_CONSUMER = 1  # of an address space descriptor's general flags; 0 is a bridge's producer
_FIXED = 0x0C  # minimum and maximum are fixed


def _little(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")


def _sized(op: bytes, body: bytes) -> bytes:
    # PkgLength (20.2.4) counts itself: 6 bits in one byte, else 4 bits and 1 to 3 bytes.
    if len(body) + 1 < 1 << 6:
        return op + bytes([len(body) + 1]) + body
    for more in (1, 2, 3):
        total = len(body) + 1 + more
        if total < 1 << (4 + 8 * more):
            return op + bytes([more << 6 | total & 0xF]) + _little(total >> 4, more) + body
    raise AssertionError("a package of 256 MiB or more")


def _segment(text: str) -> bytes:
    # NameSeg (20.2.2), filled up to four characters.
    return text.ljust(4, "_").encode("ascii")


def integer(value: int) -> bytes:
    """Encode a constant in its shortest form (ConstObj or ComputationalData of 20.2.3)."""
    if value in (0, 1):
        return (_ZERO, _ONE)[value]
    for op, size in ((b"\x0a", 1), (b"\x0b", 2), (b"\x0c", 4)):
        if value < 1 << 8 * size:
            return op + _little(value, size)
    return b"\x0e" + _little(value, 8)


def package(*elements: bytes) -> bytes:
    """Encode a Package of encoded terms, at most 255."""
    return _sized(_PACKAGE, bytes([len(elements)]) + b"".join(elements))


def buffer(data: bytes) -> bytes:
    """Encode a Buffer with its exact size."""
    return _sized(_BUFFER, integer(len(data)) + data)


def name(segment: str, value: bytes) -> bytes:
    """Encode ``Name (segment, value)``."""
    return _NAME + _segment(segment) + value


def scope(segment: str, *terms: bytes) -> bytes:
    """Encode ``Scope (segment) { terms }``."""
    return _sized(_SCOPE, _segment(segment) + b"".join(terms))


def device(segment: str, *terms: bytes) -> bytes:
    """Encode ``Device (segment) { terms }``."""
    return _sized(_DEVICE, _segment(segment) + b"".join(terms))


def eisa_id(text: str) -> bytes:
    """Encode ``EisaId ("PNP0501")`` (19.3.4): three letters of 5 bits, four digits, big-endian."""
    letters = 0
    for letter in text[:3]:
        letters = letters << 5 | ord(letter) - 0x40
    return integer(int.from_bytes(_big(letters) + bytes.fromhex(text[3:]), "little"))


def _big(value: int) -> bytes:
    return value.to_bytes(2, "big")


def resources(*descriptors: bytes) -> bytes:
    """Encode ``ResourceTemplate () { descriptors }``; the end tag's checksum 0 means "not used"."""
    return buffer(b"".join(descriptors) + b"\x79\x00")


def io(port: int, length: int) -> bytes:
    """Encode ``IO (Decode16, port, port, 1, length)`` (6.4.2.5)."""
    return b"\x47\x01" + _little(port, 2) * 2 + bytes([1, length])


def irq(number: int) -> bytes:
    """Encode ``IRQNoFlags () {number}``: edge triggered, active high (6.4.2.1)."""
    return b"\x22" + _little(1 << number, 2)


def memory32(base: int, length: int, *, writable: bool) -> bytes:
    """Encode ``Memory32Fixed (base, length)`` (6.4.3.4)."""
    return b"\x86\x09\x00" + bytes([writable]) + _little(base, 4) + _little(length, 4)


def bus_window(first: int, last: int) -> bytes:
    """Encode a producer's ``WordBusNumber`` (6.4.3.5.3)."""
    return _address_space(0x88, 2, 2, 0, first, last)


def io_window(first: int, last: int) -> bytes:
    """Encode a producer's ``WordIO``, ISA and non-ISA ranges."""
    return _address_space(0x88, 2, 1, 3, first, last)


def memory_window(first: int, last: int) -> bytes:
    """Encode a producer's ``DWordMemory``, above 4 GiB ``QWordMemory``: read-write, uncached."""
    if last < 1 << 32:
        return _address_space(0x87, 4, 0, 1, first, last)
    return _address_space(0x8A, 8, 0, 1, first, last)


def reserved_memory(first: int, last: int) -> bytes:
    """Encode a consumer's ``QWordMemory``: what a motherboard device keeps for itself."""
    return _address_space(0x8A, 8, 0, 1, first, last, _CONSUMER)


def _address_space(
    tag: int, size: int, kind: int, specific: int, first: int, last: int, general: int = 0
) -> bytes:
    # Granularity, minimum, maximum, translation offset, length (6.4.3.5).
    numbers: Sequence[int] = (0, first, last, 0, last - first + 1)
    body = bytes([kind, general | _FIXED, specific])
    body += b"".join(_little(number, size) for number in numbers)
    return bytes([tag]) + _little(len(body), 2) + body
