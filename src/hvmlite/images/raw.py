"""Plain binaries with a multiboot header that says where they are to be loaded (address fields).

Only recognised here: magic, place, checksum. What the header asks for is read by the protocols
multiboot1 and multiboot2, from the file's bytes. Documents: Multiboot 0.6.96, 3.1.1; Multiboot2
2.0, 3.1.1.
"""

from __future__ import annotations

from hvmlite.model import Image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hvmlite.images._limits import Limits
    from hvmlite.wire import Buffer

__all__ = ["NAME", "parse", "recognises"]

NAME = "raw"
_MAGIC1, _WINDOW1, _SIZE1, _LEAST1 = 0x1BADB002, 8192, 32, 12
_AOUT_KLUDGE = 1 << 16
_MAGIC2, _WINDOW2, _SIZE2 = 0xE85250D6, 32768, 16
_I386 = 0
_ADDRESS_TAG, _ADDRESS_TAG_SIZE = 2, 24


def recognises(data: Buffer) -> bool:
    """Return whether a multiboot header with load addresses is where boot loaders look for it."""
    return any(_headers(memoryview(data)))


def parse(data: Buffer, source: str, limits: Limits) -> Image:
    """Hand the bytes on; the headers that were found are facts."""
    view = memoryview(data).toreadonly()
    return Image(format=NAME, source=source, data=view, facts=tuple(_headers(view)))


def _headers(data: memoryview) -> Iterator[tuple[str, str]]:
    for name, magic, window, align, complete in (
        ("multiboot1 header", _MAGIC1, _WINDOW1, 4, _multiboot1),
        ("multiboot2 header", _MAGIC2, _WINDOW2, 8, _multiboot2),
    ):
        head = bytes(data[:window])
        needle = magic.to_bytes(4, "little")
        at = head.find(needle)
        while at >= 0:
            found = complete(head, at) if at % align == 0 else None
            if found:
                yield name, f"at {at:#x}, with load addresses"
            if found is not None:
                break
            at = head.find(needle, at + 1)


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


# Whether the header at `at` has load addresses; None if it is none. The first that is one counts,
# as for the protocols; besides, whoever looked into all of them would need quadratic time.


def _multiboot1(head: bytes, at: int) -> bool | None:
    flags = _word(head, at + 4)
    size = _SIZE1 if flags & _AOUT_KLUDGE else _LEAST1
    if (_MAGIC1 + flags + _word(head, at + 8)) & 0xFFFFFFFF or at + size > len(head):
        return None
    return bool(flags & _AOUT_KLUDGE)


def _multiboot2(head: bytes, at: int) -> bool | None:
    architecture, length, checksum = (_word(head, at + offset) for offset in (4, 8, 12))
    end = at + length
    if (_MAGIC2 + architecture + length + checksum) & 0xFFFFFFFF or end > len(head):
        return None
    if architecture != _I386 or length < _SIZE2:
        return None
    tag = at + _SIZE2
    while tag + 8 <= end:
        size = _word(head, tag + 4)
        if head[tag : tag + 2] == _ADDRESS_TAG.to_bytes(2, "little"):
            return size >= _ADDRESS_TAG_SIZE and tag + size <= end
        if size < 8:
            return False
        tag += -(-size // 8) * 8
    return False
