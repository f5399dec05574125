# Memory maps in one form, so that two ways to write the same map are equal.
from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from hvmlite.model import MemoryType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hvmlite.matrix.report import Resource
    from hvmlite.model import MemoryRange

__all__ = ["Named", "resources", "settled"]

_IOMEM = {
    "System RAM",
    "Reserved",
    "ACPI Tables",
    "ACPI Non-volatile Storage",
    "Unusable memory",
    "Persistent Memory",
    "Persistent Memory (legacy)",
    "Soft Reserved",
}
"""The names that memory map records have in /proc/iomem (e820_type_to_string, e820.c)."""

_RAM = "System RAM"
_OWN = 1 << 64  # above every type and every depth


@dataclass(frozen=True, slots=True)
class Named:
    start: int
    end: int
    name: str

    def __str__(self) -> str:
        return f"{self.start:#x}-{self.end:#x} {self.name}"


class _Layer(NamedTuple):
    # Where layers overlap the one of the highest rank is seen.
    start: int
    end: int
    rank: int
    name: str


def settled(
    ranges: Iterable[MemoryRange], own: Iterable[tuple[int, int]] = ()
) -> tuple[Named, ...]:
    # Where records overlap the highest type is meant, as Linux has it (e820__update_table).
    # `own`: what a protocol reserved for itself, which counts as the RAM that it is taken from.
    layers = [_Layer(each.start, each.end, each.type, _type(each.type)) for each in ranges]
    layers += [_Layer(start, end, _OWN, MemoryType.RAM.name) for start, end in own]
    return _flattened(layers)


def resources(rows: Iterable[Resource], own: Iterable[tuple[int, int]] = ()) -> tuple[Named, ...]:
    # The memory map's records among all resources; what the kernel or a device has in them is not.
    layers = [_Layer(row.start, row.end, row.depth, row.name) for row in rows if row.name in _IOMEM]
    layers += [_Layer(start, end, _OWN, _RAM) for start, end in own]
    return _flattened(layers)


def _flattened(layers: list[_Layer]) -> tuple[Named, ...]:
    waiting = sorted((each for each in layers if each.end > each.start), reverse=True)
    found: list[Named] = []
    open_: list[tuple[int, int, str]] = []  # (-rank, end, name)
    edges = sorted({edge for each in waiting for edge in (each.start, each.end)})
    for low, high in pairwise(edges):
        while waiting and waiting[-1].start <= low:
            layer = waiting.pop()
            heapq.heappush(open_, (-layer.rank, layer.end, layer.name))
        while open_ and open_[0][1] <= low:
            heapq.heappop(open_)
        if not open_:
            continue
        name = open_[0][2]
        if found and (found[-1].end, found[-1].name) == (low, name):
            found[-1] = Named(found[-1].start, high, name)
        else:
            found.append(Named(low, high, name))
    return tuple(found)


def _type(number: int) -> str:
    try:
        return MemoryType(number).name
    except ValueError:
        return f"type {number}"
