"""Matrices as values, evil texts in every place, and the schema of the JUnit file."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from cli.values import EVIL
from hvmlite import model as m
from hvmlite.matrix import Baseline, Cell, Difference, GuestKind, Matrix, Row, Trouble, Verdict
from hvmlite.matrix.report import Report, parse
from matrix.reports import line

TEXT = EVIL.encode(errors="surrogateescape").decode("latin-1")
OFF = m.Outcome(m.Ending.SHUTDOWN)


def report(**changes) -> Report:
    iomem = [[0, 0, 0xFFF, TEXT]]
    nodes = [{"type": 9, "data": "0102"}]
    return parse(
        line(
            cmdline=TEXT,
            iomem=iomem,
            setup_data=nodes,
            framebuffer={"name": TEXT, "stride": None},
            **changes,
        )
    )


def cell(verdict, **changes) -> Cell:
    values = {"protocol": "pvh", "engine": "qemu"} | changes
    return Cell(verdict=verdict, **values)


def passed(**changes) -> Cell:
    return cell(Verdict.PASSED, **{"outcome": OFF, "prepare_s": 0.25, "guest_s": 4.31} | changes)


def evil() -> Matrix:
    ended = {"outcome": m.Outcome(m.Ending.EXITED, 3, EVIL), "prepare_s": 0.1, "guest_s": 1.0}
    reasons = (m.Reason(EVIL, EVIL, EVIL, EVIL), m.Reason("a", "b", "c"))
    cells = (
        passed(report=report(), hints=(EVIL,)),
        cell(Verdict.DIFFERENT, protocol="linux64", report=report(files={}), console=b"",
             differences=(Difference("command line", EVIL, EVIL * 9),), **ended),
        cell(Verdict.FAILED, protocol="linux32", problem=EVIL, dropped=(m.Dropped("x", EVIL),),
             console=b"first\r\n\r\n" + EVIL.encode(errors="surrogateescape") + b"\xff\0", **ended),
        cell(Verdict.NO_ANSWER, protocol="linux16", outcome=m.Outcome(m.Ending.TIMEOUT),
             prepare_s=0.1, guest_s=60.0),
        cell(Verdict.ERROR, protocol="multiboot1", trouble=Trouble("EngineLost", EVIL, EVIL)),
        cell(Verdict.REFUSED, protocol="multiboot2", reasons=reasons),
    )  # fmt: skip
    rows = (
        Row(EVIL, GuestKind.LINUX_AMD64, cells, Baseline("pvh", "qemu")),
        Row("/missing", GuestKind.OTHER, trouble=Trouble("RequestError", EVIL)),
        Row("other", GuestKind.OTHER, (passed(), passed(engine="xen")), Baseline("pvh", "qemu")),
        Row("closed", GuestKind.OTHER, cells[-1:], trouble=Trouble("RequestError", "x", EVIL)),
    )
    return Matrix(rows)


# xunit-plugin's junit-10.xsd: element -> (children, attributes that must be, others that may be)
_RESULT = ((), (), ("type", "message"))
_JUNIT = {
    "testsuites": (("testsuite",), (), ("name", "time", "tests", "failures", "errors")),
    "testsuite": (
        ("testsuite", "properties", "testcase", "system-out", "system-err"),
        ("name", "tests", "failures", "errors"),
        (
            "group",
            "time",
            "skipped",
            "timestamp",
            "hostname",
            "id",
            "package",
            "file",
            "log",
            "url",
        ),
    ),
    "testcase": (
        ("skipped", "error", "failure", "system-out", "system-err"),
        ("name",),
        ("time", "classname", "group"),
    ),
    "failure": _RESULT,
    "error": _RESULT,
    "skipped": _RESULT,
    "system-out": ((), (), ()),
}
_TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")


def junit_complaints(element: ElementTree.Element) -> list[str]:
    """Every way in which a file breaks the schema, and numbers that do not add up."""
    children, needed, allowed = _JUNIT[element.tag]
    found = [f"{element.tag} lacks {name}" for name in needed if name not in element.attrib]
    found += [
        f"{element.tag} has {name}" for name in element.attrib if name not in needed + allowed
    ]
    found += [f"{each.tag} in {element.tag}" for each in element if each.tag not in children]
    if children and (element.text or "").strip():
        found.append(f"text in {element.tag}")
    if element.tag == "testsuite" and not _TIME.fullmatch(element.get("time", "")):
        found.append(f"time {element.get('time')}")
    if element.tag == "testsuite":
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            if int(element.get(name)) != len(element.findall(f"testcase/{tag}")):
                found.append(f"{name} of {element.get('name')}")
        if int(element.get("tests")) != len(element.findall("testcase")):
            found.append(f"tests of {element.get('name')}")
    for each in element:
        if each.tag in children:
            found += junit_complaints(each)
    return found
