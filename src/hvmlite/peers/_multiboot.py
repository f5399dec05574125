# Multiboot headers as QEMU and GRUB look for them: the first that fits, and nothing of its content.
from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["headers", "nearest", "word"]

_BEYOND = 16 << 20


def word(data: memoryview, offset: int) -> int:
    """Return the 32-bit word at `offset`; bytes that are not there are 0."""
    return int.from_bytes(bytes(data[offset : offset + 4]).ljust(4, b"\0"), "little")


def headers(data: memoryview, magic: int, *, words: int, end: int, align: int) -> Iterator[int]:
    """Yield the offsets below `end`, multiples of `align`, of headers whose `words` words sum to 0.

    The magic is the first of the words.
    """
    head = bytes(data[: end + 4 * words])
    needle = magic.to_bytes(4, "little")
    at = head.find(needle)
    while 0 <= at < end:
        if at % align == 0 and at + 4 * words <= len(head) and _sum(head, at, words) == 0:
            yield at
        at = head.find(needle, at + 1)


def nearest(data: memoryview, magic: int, *, words: int, align: int) -> str:
    """Return where a header is that lies outside the window or at a wrong place, for people."""
    head = bytes(data[:_BEYOND])
    needle = magic.to_bytes(4, "little")
    at = head.find(needle)
    while at >= 0:
        if at + 4 * words <= len(head) and _sum(head, at, words) == 0:
            odd = f", which is no multiple of {align}" if at % align else ""
            return f"; nearest: at {at:#x}{odd}"
        at = head.find(needle, at + 1)
    return ""


def _sum(head: bytes, at: int, words: int) -> int:
    values = (int.from_bytes(head[at + 4 * n : at + 4 * n + 4], "little") for n in range(words))
    return sum(values) & 0xFFFFFFFF
