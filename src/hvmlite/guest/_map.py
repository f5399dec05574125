"""The memory map that the guest is told."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from hvmlite.model import Machine, MemoryRange, MemoryType

if TYPE_CHECKING:
    from collections.abc import Iterable


def memory_map(machine: Machine, carved: Iterable[MemoryRange]) -> tuple[MemoryRange, ...]:
    """Return RAM minus reserved and `carved` ranges, and these, sorted, merged, without overlap.

    Ends are exact: E820 and its descendants count bytes, and kernels round RAM inwards to pages
    themselves. Where ranges overlap the larger type number wins, as in Linux's
    ``e820__update_table``; RAM is the smallest, so that whatever is named takes it away.
    """
    ranges = [MemoryRange(b.start, b.end) for b in machine.ram]
    ranges += machine.reserved
    ranges += carved
    bounds = sorted({edge for r in ranges for edge in (r.start, r.end)})
    merged: list[MemoryRange] = []
    for start, end in itertools.pairwise(bounds):
        type_ = max((r.type for r in ranges if r.start <= start and end <= r.end), default=0)
        if not type_:
            continue
        if merged and merged[-1].end == start and merged[-1].type == type_:
            start = merged.pop().start
        merged.append(MemoryRange(start, end, known(type_)))
    return tuple(merged)


def known(type_: int) -> int:
    """Return the enum's member where there is one, so that maps show names."""
    return MemoryType(type_) if type_ in MemoryType.__members__.values() else type_
