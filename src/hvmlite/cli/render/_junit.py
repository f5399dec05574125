"""A matrix as JUnit XML: a test suite for each image, a test case for each entry ABI and engine.

The form is what Jenkins and GitLab read (xunit-plugin's ``junit-10.xsd``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from hvmlite.cli._output import escape
from hvmlite.cli.render.matrix import console, explanation
from hvmlite.matrix import Verdict

if TYPE_CHECKING:
    from hvmlite.matrix import Cell, Matrix, Row

__all__ = ["document"]

_ELEMENTS = {
    Verdict.DIFFERENT: "failure",
    Verdict.FAILED: "failure",
    Verdict.NO_ANSWER: "failure",
    Verdict.ERROR: "error",
    Verdict.REFUSED: "skipped",
}


def document(matrix: Matrix) -> bytes:
    """Return the file; all texts are escaped, since XML cannot hold control characters."""
    root = ElementTree.Element("testsuites", name="hvmlite matrix")
    for row in matrix.rows:
        root.append(_suite(row))
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def _suite(row: Row) -> ElementTree.Element:
    cases = [_case(row, cell) for cell in row.cells]
    if row.trouble is not None:
        case = ElementTree.Element("testcase", name="image", classname=escape(row.image))
        message = escape(row.trouble.message)
        ElementTree.SubElement(case, "error", type=row.trouble.kind, message=message)
        cases.insert(0, case)
    counts = {
        name: str(sum(case.find(name) is not None for case in cases))
        for name in ("failure", "error", "skipped")
    }
    suite = ElementTree.Element(
        "testsuite",
        name=escape(row.image),
        tests=str(len(cases)),
        failures=counts["failure"],
        errors=counts["error"],
        skipped=counts["skipped"],
        time=f"{sum(map(_seconds, row.cells)):.3f}",
    )
    suite.extend(cases)
    return suite


def _case(row: Row, cell: Cell) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase",
        name=f"{cell.protocol} on {cell.engine}",
        classname=escape(row.image),
        time=f"{_seconds(cell):.3f}",
    )
    if cell.verdict in _ELEMENTS:
        result = ElementTree.SubElement(
            case, _ELEMENTS[cell.verdict], type=cell.verdict, message=explanation(row, cell)
        )
        found = [
            f"{each.field}: {escape(each.baseline)} became {escape(each.found)}"
            for each in cell.differences
        ]
        result.text = "\n".join(found) or None
    if lines := [*(f"hint: {escape(hint)}" for hint in cell.hints), *console(cell)]:
        ElementTree.SubElement(case, "system-out").text = "\n".join(lines)
    return case


def _seconds(cell: Cell) -> float:
    return (cell.prepare_s or 0.0) + (cell.guest_s or 0.0)
