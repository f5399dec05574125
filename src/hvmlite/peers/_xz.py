# How large a dictionary a compressed kernel asks for, without unpacking it.
# Documents: "The .xz File Format" 1.2, 2.1.1 and 3.1; the header of .lzma files.
from __future__ import annotations

__all__ = ["dictionary"]

_STREAM_HEADER = 12
_LZMA2 = 0x21
_MAX_FILTERS = 4


def dictionary(compression: str, data: memoryview) -> int | None:
    """Return the dictionary's size in bytes; None where there is none, or none can be read."""
    if compression == "lzma":
        return int.from_bytes(bytes(data[1:5]), "little") if len(data) >= 5 else None
    return _xz(bytes(data[_STREAM_HEADER : _STREAM_HEADER + 64])) if compression == "xz" else None


def _xz(block: bytes) -> int | None:
    # Byte 0 is the size of the header, byte 1 how many filters there are and which sizes follow.
    if len(block) < 2:
        return None
    flags = block[1]
    position = 2
    for present in (flags & 0x40, flags & 0x80):
        if present:
            _, position = _number(block, position)
    for _ in range(min((flags & 3) + 1, _MAX_FILTERS)):
        kind, position = _number(block, position)
        length, position = _number(block, position)
        if kind == _LZMA2 and position < len(block):
            return _size(block[position])
        position += length
    return None


def _number(block: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 63, 7):
        byte = block[position] if position < len(block) else 0
        value |= (byte & 0x7F) << shift
        position += 1
        if not byte & 0x80:
            break
    return value, position


def _size(bits: int) -> int | None:
    if bits > 40:
        return None
    return 0xFFFFFFFF if bits == 40 else (2 | bits & 1) << (bits // 2 + 11)
