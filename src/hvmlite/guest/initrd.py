"""How several archives are joined to the one initrd that a Linux guest has."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from hvmlite.wire import Buffer

__all__ = ["archives"]

_ALIGN = 4


def archives(data: Iterable[Buffer]) -> list[Buffer]:
    """Return all that is not empty, in order, and the zeros between.

    Each begins at a multiple of 4 (Linux, Documentation/driver-api/early-userspace,
    buffer-format.rst) and has at least 4 zero bytes before it: LZ4 has no end mark, the kernel's
    decompressor stops at a block of length 0, and takes whatever else follows for a block.
    """
    pieces: list[Buffer] = []
    for each in data:
        if not len(each):
            continue
        if pieces:
            # Before this one, all others end at a multiple of 4.
            pieces.append(bytes(-len(pieces[-1]) % _ALIGN + _ALIGN))
        pieces.append(each)
    return pieces
