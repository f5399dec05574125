"""A matrix: the table, what is behind the cells that did not pass, the document, the status."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hvmlite.cli._output import escape
from hvmlite.cli.render._text import reasons, table
from hvmlite.cli.render.plan import dropped
from hvmlite.cli.render.run import GUEST_FAILED, NO_VERDICT, end, ended
from hvmlite.matrix import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hvmlite.cli._answer import Document
    from hvmlite.cli._style import Style
    from hvmlite.matrix import Cell, Matrix, Row, Trouble
    from hvmlite.matrix.report import Report

__all__ = ["console", "document", "explanation", "lines", "status"]

_ERROR = 4

_COLOURS = {
    Verdict.PASSED: "green",
    Verdict.DIFFERENT: "red",
    Verdict.FAILED: "red",
    Verdict.NO_ANSWER: "yellow",
    Verdict.ERROR: "red",
    Verdict.REFUSED: "dim",
}
_SHOWN = 10  # lines of a console


def status(matrix: Matrix) -> int:
    """Return the exit status: the gravest of what the cells came to."""
    verdicts = {cell.verdict for cell in matrix.cells}
    if Verdict.ERROR in verdicts or any(row.trouble for row in matrix.rows):
        return _ERROR
    if verdicts & {Verdict.FAILED, Verdict.DIFFERENT}:
        return GUEST_FAILED
    return NO_VERDICT if Verdict.NO_ANSWER in verdicts else 0


def explanation(row: Row, cell: Cell) -> str:
    """Return in one line why a cell did not pass."""
    if cell.trouble is not None:
        return escape(cell.trouble.message)
    if cell.verdict is Verdict.REFUSED:
        return "; ".join(escape(str(reason)) for reason in cell.reasons)
    if cell.differences and row.baseline is not None:
        names = ", ".join(each.field for each in cell.differences)
        return f"differs from {row.baseline.protocol} on {row.baseline.engine}: {names}"
    parts = [] if cell.outcome is None else [ended(cell.outcome)]
    if cell.problem:
        parts.append(escape(cell.problem))
    return "; ".join(parts)


def console(cell: Cell) -> list[str]:
    """Return the lines that are kept of a console, without empty ones."""
    found = [line.rstrip(b"\r") for line in cell.console.split(b"\n")]
    return [escape(line) for line in found if line]


def lines(matrix: Matrix, style: Style) -> Iterator[str]:
    """Yield the table, then what needs words."""
    yield from _table(matrix, style)
    for row in matrix.rows:
        if row.trouble is not None:
            yield from ("", *_trouble(row.trouble, style))
        for cell in row.cells:
            yield from _details(row, cell, style)
    counts = Counter(cell.verdict for cell in matrix.cells)
    total = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    yield from ("", f"{total or 'nothing to run'}")


def _table(matrix: Matrix, style: Style) -> Iterator[str]:
    protocols = list(dict.fromkeys(cell.protocol for cell in matrix.cells))
    engines = list(dict.fromkeys(cell.engine for cell in matrix.cells))
    rows: list[list[tuple[str, str]]] = [[("", ""), *((name, "bold") for name in protocols)]]
    for row in matrix.rows:
        for engine in engines or [""]:
            cells = {cell.protocol: cell for cell in row.cells if cell.engine == engine}
            name = _short(row.image) + (f" on {engine}" if len(engines) > 1 else "")
            rows.append([(name, "bold"), *(_cell(cells.get(each)) for each in protocols)])
    texts = [[text for text, _ in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row_ in rows:
        padded = (
            style.paint(text.ljust(width), *([colour] if colour else []))
            for (text, colour), width in zip(row_, widths, strict=True)
        )
        yield "  ".join(padded).rstrip()


def _short(image: str) -> str:
    text = escape(image)
    return text if len(text) <= 40 else f"...{text[-37:]}"


def _cell(cell: Cell | None) -> tuple[str, str]:
    if cell is None:
        return "error", "red"  # the image could not be read
    time = "" if cell.guest_s is None else f" {cell.guest_s:.1f} s"
    words = {
        Verdict.PASSED: f"ok{time}",
        Verdict.DIFFERENT: f"{len(cell.differences)} differ{time}",
        Verdict.FAILED: f"failed{time}",
        Verdict.NO_ANSWER: f"no answer{time}",
        Verdict.ERROR: "error",
        Verdict.REFUSED: "-",
    }
    return words[cell.verdict], _COLOURS[cell.verdict]


def _details(row: Row, cell: Cell, style: Style) -> Iterator[str]:
    where = f"{escape(row.image)} by {cell.protocol} on {cell.engine}"
    for hint in cell.hints:
        yield f"{where}: hint: {escape(hint)}"
    if cell.verdict in (Verdict.PASSED, Verdict.REFUSED):
        return
    word = style.paint(cell.verdict, "bold", _COLOURS[cell.verdict])
    yield from ("", f"{where}: {word}: {explanation(row, cell)}")
    if cell.trouble is not None and cell.trouble.hint:
        yield f"  {style.paint(escape(cell.trouble.hint), 'dim')}"
    for each in cell.differences:
        assert row.baseline is not None
        one, two = (escape(text) for text in (each.baseline, each.found))
        sides = ((row.baseline.protocol, one), (cell.protocol, two))
        yield f"  {each.field}"
        yield from table(sides, indent=4)
    for line in console(cell)[-_SHOWN:]:
        yield f"  | {line}"


def _trouble(trouble: Trouble, style: Style) -> Iterator[str]:
    yield f"{style.paint('error', 'bold', 'red')}: {escape(trouble.message)}"
    if trouble.hint:
        yield f"  {style.paint(escape(trouble.hint), 'dim')}"


def document(matrix: Matrix) -> Document:
    """Return the matrix for ``--json``."""
    return {"images": [_row(row) for row in matrix.rows]}


def _row(row: Row) -> Document:
    return {
        "image": escape(row.image),
        "guest": str(row.guest),
        "baseline": row.baseline
        and {"protocol": row.baseline.protocol, "engine": row.baseline.engine},
        "error": _error(row.trouble),
        "cells": [_cell_document(row, cell) for cell in row.cells],
    }


def _error(trouble: Trouble | None) -> Document | None:
    if trouble is None:
        return None
    return {
        "kind": trouble.kind,
        "message": escape(trouble.message),
        "hint": trouble.hint and escape(trouble.hint),
    }


def _cell_document(row: Row, cell: Cell) -> Document:
    outcome, timing = cell.outcome, None
    if cell.prepare_s is not None and cell.guest_s is not None:
        timing = {"prepare_s": round(cell.prepare_s, 6), "guest_s": round(cell.guest_s, 6)}
    passed = cell.verdict is Verdict.PASSED
    return {
        "protocol": cell.protocol,
        "engine": cell.engine,
        "verdict": str(cell.verdict),
        "explanation": None if passed else explanation(row, cell),
        "outcome": outcome and end(outcome),
        "timing": timing,
        "error": _error(cell.trouble),
        "reasons": reasons(cell.reasons),
        "dropped": dropped(cell.dropped),
        "differences": [
            {
                "field": each.field,
                "baseline": escape(each.baseline),
                "found": escape(each.found),
            }
            for each in cell.differences
        ],
        "hints": [escape(hint) for hint in cell.hints],
        "report": cell.report and _report(cell.report),
        "console": console(cell),
    }


def _report(report: Report) -> Document:
    return {
        "release": _text(report.release),
        "machine": _text(report.machine),
        "cmdline": _text(report.cmdline),
        "memory_map": report.memory_map
        and [{"start": r.start, "end": r.end, "type": int(r.type)} for r in report.memory_map],
        "iomem": report.iomem
        and [
            {"depth": r.depth, "start": r.start, "end": r.end, "name": _text(r.name)}
            for r in report.iomem
        ],
        "memory_kib": report.memory_kib,
        "cpus": report.cpus,
        "rsdp": report.rsdp,
        "files": _sums(report.files),
        "acpi": _sums(report.acpi),
        "boot_params": None if report.boot_params is None else report.boot_params.hex(),
        "setup_data": report.setup_data
        and [{"type": node.type, "data": node.data.hex()} for node in report.setup_data],
        "efi": report.efi,
        "framebuffer": report.framebuffer
        and [{"name": _text(name), "value": _text(value)} for name, value in report.framebuffer],
        "hypervisor": _text(report.hypervisor),
        "uptime_ms": report.uptime_ms,
    }


def _text(value: str | None) -> str | None:
    return None if value is None else escape(value.encode("latin-1"))


def _sums(sums: tuple[tuple[str, str], ...] | None) -> list[Document] | None:
    if sums is None:
        return None
    return [{"name": escape(name.encode("latin-1")), "sha256": digest} for name, digest in sums]
