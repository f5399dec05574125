# Multiboot: where the header is in a file, and what is nearly one.
from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from hvmlite.model import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Search", "find"]

_BEYOND = 4 << 20
"""So far behind the window a header is looked for: where a linker may have pushed it."""
_CANDIDATES = 256
"""So many magics are looked at outside the exact places: hostile files may be full of them."""
_SHOWN = 4


class Search(NamedTuple):
    """What a version's header is.

    `window` bytes of the file hold all of it, at a multiple of `align`. `measure` returns the
    length of a header whose `least` bytes are there, or what is wrong with it.
    """

    what: str
    magic: int
    window: int
    align: int
    least: int
    measure: Callable[[bytes], int | str]


def find(data: memoryview, search: Search) -> int | Reason:
    """Return the offset of the first valid header, or what was found instead of one."""
    near = []
    for offset in _magics(data[: search.window], search.magic):
        found = _measure(data, offset, search)
        if offset % search.align:
            if isinstance(found, int):
                near.append(f"at {offset:#x}, which is no multiple of {search.align}")
        elif isinstance(found, str):
            near.append(f"at {offset:#x} {found}")
        elif offset + found > search.window:
            near.append(f"at {offset:#x}-{offset + found:#x}, not wholly within {search.window:#x}")
        else:
            return offset
    window = search.window - 3  # a magic that begins within the window was seen above
    for offset in islice(_magics(data[window : window + _BEYOND], search.magic), _CANDIDATES):
        at = window + offset
        if at % search.align == 0 and isinstance(_measure(data, at, search), int):
            near.append(f"at {at:#x}, behind the first {search.window} bytes")
            break
    hint = "a linker script must put the header first" if near else None
    shown = [*near[:_SHOWN], *(["..."] if len(near) > _SHOWN else [])]
    nearest = f", nearest: {', '.join(shown)}" if shown else ""
    return Reason(
        search.what,
        f"none in the first {search.window} bytes{nearest}",
        f"magic {search.magic:#x} at a multiple of {search.align} and a sum of 0 needed",
        hint,
    )


def _magics(data: memoryview, magic: int) -> Iterator[int]:
    pattern = re.escape(magic.to_bytes(4, "little"))
    return (match.start() for match in re.finditer(pattern, data))


def _measure(data: memoryview, offset: int, search: Search) -> int | str:
    head = bytes(data[offset : offset + search.least])
    if len(head) < search.least:
        return "is cut off by the end of the file"
    length = search.measure(head)
    if isinstance(length, int) and offset + length > len(data):
        return f"is {length:#x} bytes long, more than the file has"
    return length
