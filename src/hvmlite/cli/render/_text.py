"""Small parts that all views share: sizes, addresses, tables."""

from __future__ import annotations

from hvmlite.cli._output import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hvmlite.cli._answer import Document
    from hvmlite.model import Reason

__all__ = ["address", "pairs", "reasons", "size", "table", "text"]


def size(count: int) -> str:
    """Return a number of bytes for people: exact up to KiB, then with one decimal if need be."""
    unit, shift = "B", 0
    for name, bits in (("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)):
        if count >> bits:
            unit, shift = name, bits
    whole, rest = divmod(count, 1 << shift)
    return f"{whole} {unit}" if not rest else f"{count / (1 << shift):.1f} {unit}"


def address(value: int) -> str:
    """Return an address as people read it: eight digits or, above 4 GiB, as many as it takes."""
    return f"0x{value:08x}"


def text(value: object) -> str:
    """Return any value that came from a file or a guest, safe to show."""
    if isinstance(value, bytes):
        return escape(value)
    if isinstance(value, tuple):
        return " ".join(text(item) for item in value)
    return hex(value) if isinstance(value, int) else escape(str(value))


def pairs(facts: Iterable[tuple[str, str]]) -> list[Document]:
    """Return (name, value) pairs for JSON; a list, since the order means something."""
    return [{"name": escape(name), "value": escape(value)} for name, value in facts]


def reasons(found: Iterable[Reason]) -> list[Document]:
    """Return why something is refused, for JSON."""
    return [
        {
            "what": escape(reason.what),
            "found": escape(reason.found),
            "needed": escape(reason.needed),
            "hint": reason.hint and escape(reason.hint),
        }
        for reason in found
    ]


def table(rows: Iterable[Sequence[str]], align: str = "", indent: int = 2) -> list[str]:
    """Return the rows as lines with aligned columns; `align` has < or > for each column."""
    kept = list(rows)
    columns = max((len(row) for row in kept), default=0)
    widths = [max((len(row[i]) for row in kept if i < len(row)), default=0) for i in range(columns)]
    sides = align.ljust(columns, "<")
    lines = []
    for row in kept:
        cells = (
            cell.rjust(width) if side == ">" else cell.ljust(width)
            for cell, width, side in zip(row, widths, sides, strict=False)
        )
        lines.append(" " * indent + "  ".join(cells).rstrip())
    return lines
