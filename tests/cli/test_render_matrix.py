"""A matrix for people, as JSON and as JUnit XML; and the exit status."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from cli.json_tables import complaints
from cli.matrices import OFF, cell, evil, junit_complaints, passed
from cli.values import EVIL
from hvmlite.cli._answer import dumps
from hvmlite.cli._output import escape
from hvmlite.cli._style import Style
from hvmlite.cli.render import _junit
from hvmlite.cli.render import matrix as view
from hvmlite.matrix import GuestKind, Matrix, Row, Trouble, Verdict

KINDS = {
    "passed": passed(),
    "different": cell(Verdict.DIFFERENT, outcome=OFF),
    "failed": cell(Verdict.FAILED, outcome=OFF, problem="x"),
    "no-answer": cell(Verdict.NO_ANSWER, outcome=OFF),
    "error": cell(Verdict.ERROR, trouble=Trouble("EngineLost", "x")),
    "refused": cell(Verdict.REFUSED),
}


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        ((), 0),
        (("passed", "refused"), 0),
        (("passed", "no-answer"), 6),
        (("failed", "no-answer", "passed"), 5),
        (("different", "passed"), 5),
        (("no-answer", "different"), 5),
        (("error", "failed", "no-answer"), 4),
    ],
)
def test_statuses(kinds, status):
    cells = tuple(KINDS[kind] for kind in kinds)
    row = Row("image", GuestKind.OTHER, cells)
    assert view.status(Matrix((row,))) == status
    broken = Row("broken", GuestKind.OTHER, trouble=Trouble("FormatError", "x"))
    assert view.status(Matrix((row, broken))) == 4


def test_the_document_is_as_documented():
    document = json.loads(dumps(view.document(evil())))
    assert complaints(document, "matrix") == []
    first = document["images"][0]
    assert first["image"] == escape(EVIL)
    verdicts = [each["verdict"] for each in first["cells"]]
    assert verdicts == ["passed", "different", "failed", "no-answer", "error", "refused"]
    assert first["cells"][0]["explanation"] is None
    assert all(each["explanation"] for each in first["cells"][1:])
    assert first["cells"][2]["console"][0] == "first"
    assert first["cells"][0]["report"]["setup_data"] == [{"type": 9, "data": "0102"}]


@pytest.mark.parametrize("style", [Style(), Style(colour=True, unicode=True)])
def test_the_lines_are_safe_and_tell_all(style):
    lines = list(view.lines(evil(), style))
    text = "\n".join(lines)
    for code in ("1", "2", "31", "32", "33", "1;31", "1;33"):
        text = text.replace(f"\x1b[{code}m", "").replace("\x1b[0m", "")
    assert text.replace("\n", "").isprintable()
    for words in (
        "1 differ 1.0 s", "failed 1.0 s", "no answer 60.0 s",
        "ok 4.3 s", "the guest exited with status 3", "no verdict in time", "  | first",
        "differs from pvh on qemu: command line", "other on xen",
        "3 passed, 1 different, 1 failed, 1 no-answer, 1 error, 2 refused",
    ):  # fmt: skip
        assert words in text, words


def test_the_table_is_aligned():
    cells = (passed(), passed(protocol="linux64", guest_s=123.0))
    rows = (
        Row("a", GuestKind.OTHER, cells),
        Row("x" * 60, GuestKind.OTHER, (cell(Verdict.REFUSED),)),
    )
    head, first, second, *_ = view.lines(Matrix(rows), Style())
    assert head.split() == ["pvh", "linux64"]
    assert head.index("pvh") == first.index("ok") == second.index("-")
    assert head.index("linux64") == first.index("ok 123.0 s")
    assert second.split()[0] == f"...{'x' * 37}"


def test_nothing_to_run():
    assert list(view.lines(Matrix(()), Style()))[-1] == "nothing to run"


def test_junit_is_valid_and_has_a_case_for_each_cell():
    data = _junit.document(evil())
    root = ElementTree.fromstring(data)
    assert junit_complaints(root) == []
    linux, missing, other, closed = root
    names = [case.get("name") for case in linux]
    doors = ("pvh", "linux64", "linux32", "linux16", "multiboot1", "multiboot2")
    assert names == [f"{each} on qemu" for each in doors]
    results = [[part.tag for part in case if part.tag != "system-out"] for case in linux]
    assert results == [[], ["failure"], ["failure"], ["failure"], ["error"], ["skipped"]]
    assert "first" in linux.find("testcase[3]/system-out").text
    assert escape(EVIL) in linux.find("testcase[2]/failure").text
    assert linux.find("testcase[6]/skipped").get("message").endswith("; a: b, c")
    assert missing.find("testcase/error").get("type") == "RequestError"
    assert [case.get("name") for case in other] == ["pvh on qemu", "pvh on xen"]
    assert len(closed) == 2


def test_a_junit_file_that_is_wrong_is_seen():
    """The schema here is a table; it sees what the real one would."""
    root = ElementTree.fromstring(_junit.document(evil()))
    root[0].set("failures", "7")
    del root[1].attrib["tests"]
    root[1].set("tests", "1")
    root[2][0].set("colour", "red")
    ElementTree.SubElement(root[3], "failure")
    assert junit_complaints(root) == [
        "failures of " + root[0].get("name"), "testcase has colour", "failure in testsuite",
    ]  # fmt: skip
