"""The guest's memory as a picture: every piece and hole in order, and a strip to scale."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from hvmlite.cli._output import escape
from hvmlite.cli.render._text import address, size
from hvmlite.model import Kind
from hvmlite.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hvmlite.cli._style import Style
    from hvmlite.model import GuestPlan

__all__ = ["Region", "draw", "regions", "strip"]

FREE, RESERVED, NOTHING = "free RAM", "reserved", "no RAM"

_LOW_END, _4G = 1 << 20, 1 << 32  # the borders of the PC's address space that people know
_ZONES = ((0, "below 1 MiB"), (_LOW_END, "below 4 GiB"), (_4G, "above 4 GiB"))
_PADDING = 1 << 12  # less free space than this between two pieces is not worth a line
_BOX = 12  # columns
_TALLEST = 6  # lines

# how a region is drawn: in Unicode, in ASCII, its colour
_LOOKS: dict[str, tuple[str, str, str]] = {
    Kind.KERNEL: ("█", "#", "green"),
    Kind.MODULE: ("▓", "%", "cyan"),
    Kind.ACPI: ("▒", "a", "yellow"),
    Kind.PAGE_TABLES: ("▒", "p", "magenta"),
    RESERVED: ("░", "x", "red"),
    FREE: (" ", " ", "dim"),
    NOTHING: ("·", ".", "dim"),
}
_OTHER = ("▒", "=", "blue")


class Region(Value):
    """A run of guest-physical addresses; `kind` is a piece's kind, or says why there is none."""

    start: int
    end: int
    name: str
    kind: str

    @property
    def size(self) -> int:
        """Bytes in the region."""
        return self.end - self.start


def regions(plan: GuestPlan) -> list[Region]:
    """Return all pieces and everything between them, from 0 to the last known address."""
    ranges = _known(plan) + [(piece.start, piece.end) for piece in plan.pieces]
    top = max((end for _, end in ranges), default=0)
    found: list[Region] = []
    here = 0
    for piece in plan.pieces:
        found += _gaps(plan, here, piece.start)
        found.append(Region(piece.start, piece.end, piece.name, piece.kind))
        here = max(here, piece.end)
    found += _gaps(plan, here, top)
    return found


def _gaps(plan: GuestPlan, start: int, end: int) -> Iterator[Region]:
    # What no piece covers, cut where RAM, reserved ranges and zones begin or end.
    cuts = {start, end, _LOW_END, _4G}.union(*_known(plan))
    inside = sorted(cut for cut in cuts if start <= cut <= end)
    pending: Region | None = None
    for low, high in itertools.pairwise(inside):
        kind = _kind(plan, low)
        if pending and pending.kind == kind and low not in (_LOW_END, _4G):
            pending = Region(pending.start, high, kind, kind)
            continue
        if pending:
            yield pending
        pending = Region(low, high, kind, kind)
    if pending:
        yield pending


def _known(plan: GuestPlan) -> list[tuple[int, int]]:
    ranges = [(block.start, block.end) for block in plan.machine.ram]
    return ranges + [(each.start, each.end) for each in plan.machine.reserved]


def _kind(plan: GuestPlan, at: int) -> str:
    if any(each.start <= at < each.end for each in plan.machine.reserved):
        return RESERVED
    return FREE if any(each.start <= at < each.end for each in plan.machine.ram) else NOTHING


def draw(plan: GuestPlan, style: Style) -> Iterator[str]:
    """Yield the picture: an address, a box as high as the size's logarithm, size, name, kind."""
    shown = [r for r in regions(plan) if r.kind != FREE or r.size >= _PADDING]
    across, left, right = ("─", "├", "┤") if style.unicode else ("-", "+", "+")
    side = "│" if style.unicode else "|"
    corners = ("┌", "┐", "└", "┘") if style.unicode else ("+",) * 4
    digits = max((len(address(r.end)) for r in shown), default=0)
    wide = max((len(escape(r.name)) for r in shown), default=0)
    zone = ""
    for region in shown:
        if (name := _zone(region.start)) != zone:
            ends = (left, right) if zone else corners[:2]
            yield f"  {'':{digits}} {ends[0]}{across * _BOX}{ends[1]} {style.paint(name, 'bold')}"
            zone = name
        box = style.paint(_glyph(region.kind, style) * _BOX, _look(region.kind)[2])
        kind = style.paint(region.kind, "dim") if region.kind != region.name else ""
        label = f"{size(region.size):>10}  {escape(region.name):{wide}}  {kind}".rstrip()
        yield f"  {address(region.start):>{digits}} {side}{box}{side} {label}"
        for _ in range(_height(region) - 1):
            yield f"  {'':{digits}} {side}{box}{side}"
    if shown:
        foot = f"{corners[2]}{across * _BOX}{corners[3]}"
        yield f"  {address(shown[-1].end):>{digits}} {foot}"


def strip(plan: GuestPlan, style: Style) -> Iterator[str]:
    """Yield RAM as one line that is true to scale; a cell shows the largest piece in it."""
    top = max((block.end for block in plan.machine.ram), default=0)
    cells = style.width - 20
    if not top or cells < 20:
        return
    found = [region for region in regions(plan) if region.start < top]
    kinds = [_largest(found, top * n // cells, top * (n + 1) // cells) for n in range(cells)]
    line = "".join(
        style.paint(_glyph(kind, style) * len(list(run)), _look(kind)[2])
        for kind, run in itertools.groupby(kinds)
    )
    left, right = ("▕", "▏") if style.unicode else ("|", "|")
    yield f"  0 {left}{line}{right} {size(top)}"


def _largest(found: list[Region], low: int, high: int) -> str:
    # The kind that has the most bytes there; a piece, however small, before what has none.
    here = [(min(r.end, high) - max(r.start, low), r.kind) for r in found]
    inside = [(bytes_, kind) for bytes_, kind in here if bytes_ > 0]
    pieces = [each for each in inside if each[1] not in (FREE, NOTHING, RESERVED)]
    return max(pieces or inside, default=(0, NOTHING))[1]


def _zone(start: int) -> str:
    return [name for base, name in _ZONES if start >= base][-1]


def _height(region: Region) -> int:
    unit = 16 << 10 if region.start < _LOW_END else 4 << 20
    tallest = 2 if region.kind in (NOTHING, RESERVED) else _TALLEST
    return min(max((region.size // unit).bit_length() // 2, 1), tallest)


def _look(kind: str) -> tuple[str, str, str]:
    return _LOOKS.get(kind, _OTHER)


def _glyph(kind: str, style: Style) -> str:
    return _look(kind)[0 if style.unicode else 1]
