"""Free address intervals of a machine's RAM, and who took which."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from hvmlite.guest import layout

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hvmlite.model import Machine

Interval = tuple[int, int]  # start and end, end not included


def align_up(value: int, align: int) -> int:
    """Round `value` up to a multiple of `align`."""
    return -(-value // align) * align


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """Sort intervals and join those that touch or overlap; empty ones vanish."""
    merged: list[Interval] = []
    for start, end in sorted(i for i in intervals if i[0] < i[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def subtract(interval: Interval, holes: Iterable[Interval]) -> list[Interval]:
    """Return what the sorted, disjoint `holes` leave of `interval`."""
    left, (start, end) = [], interval
    for hole_start, hole_end in holes:
        if hole_start >= end:
            break
        if hole_start > start:
            left.append((start, hole_start))
        start = max(start, hole_end)
    if start < end:
        left.append((start, end))
    return left


def usable_ram(machine: Machine) -> list[Interval]:
    """Return the RAM of `machine` without its reserved ranges, sorted and merged."""
    holes = merge((r.start, r.end) for r in machine.reserved)
    blocks = merge((b.start, b.end) for b in machine.ram)
    return [part for block in blocks for part in subtract(block, holes)]


def find(intervals: list[Interval], start: int, end: int) -> int | None:
    """Return the index of the interval that holds all of `start` to `end`, None without one."""
    index = bisect_right(intervals, start, key=lambda i: i[0]) - 1
    return index if index >= 0 and end <= intervals[index][1] else None


class Space:
    """Free RAM. An empty run (`start` equal to `end`) is free everywhere and takes nothing."""

    def __init__(self, free: Iterable[Interval]) -> None:
        self._free = merge(free)
        self.taken: list[tuple[int, int, str]] = []

    def is_free(self, start: int, end: int) -> bool:
        """Whether all of `start` to `end` is RAM that nobody took."""
        return start == end or find(self._free, start, end) is not None

    def take(self, start: int, end: int, name: str) -> None:
        """Take free RAM for `name`."""
        if start == end:
            return
        index = find(self._free, start, end)
        assert index is not None, f"{name} takes what is not free"
        self._free[index : index + 1] = subtract(self._free[index], [(start, end)])
        self.taken.append((start, end, name))

    def lowest(self, length: int, align: int, low: int, high: int) -> int | None:
        """Return the lowest free multiple of `align` for `length` bytes in `low` to `high`."""
        for start, end in self._free:
            at = align_up(max(start, low), align)
            if at + length <= min(end, high):
                return at
        return None

    def highest(self, length: int, align: int, low: int, high: int) -> int | None:
        """Return the highest free multiple of `align` for `length` bytes in `low` to `high`."""
        for start, end in reversed(self._free):
            at = (min(end, high) - length) // align * align
            if at >= max(start, low):
                return at
        return None


def grown(machine: Machine) -> list[Interval]:
    """Return the usable RAM if the highest block were as large as the addresses after it allow.

    It ends at the next reserved range above 1 MiB, and at 4 GiB if it starts below: PCs keep a hole
    there for devices, and RAM that does not fit below it continues above 4 GiB.
    """
    last = max(machine.ram, key=lambda block: block.end)
    limit = layout.FOUR_GIB if last.end <= layout.FOUR_GIB else 1 << 52
    beyond = max(last.end, layout.HIGH_MEMORY)
    limit = min([limit, *(r.start for r in machine.reserved if r.start >= beyond)])
    more = last.replace(size=limit - last.start)
    return usable_ram(machine.replace(ram=(*machine.ram, more)))
