"""From what workers tell to cells, rows and verdicts."""

from __future__ import annotations

import time

import pytest

from hvmlite.matrix import Baseline, Trouble, Verdict
from hvmlite.matrix._job import Job, Ran
from hvmlite.matrix._judge import TAIL, _plain, judged, row
from hvmlite.matrix.report import parse
from hvmlite.matrix.result import GuestKind
from hvmlite.model import Ending, Outcome
from matrix.reports import line, zero_page

OFF = Outcome(Ending.SHUTDOWN)
LINUX, OTHER = GuestKind.LINUX_AMD64, GuestKind.OTHER


def job(engine="qemu"):
    return Job("image", "pvh", engine, (), "", None, 1, 1.0, None, None, None)


@pytest.mark.parametrize(
    ("ran", "verdict"),
    [
        (Ran(OFF), Verdict.PASSED),
        (Ran(Outcome(Ending.RESET)), Verdict.PASSED),
        (Ran(Outcome(Ending.EXITED, 0)), Verdict.PASSED),
        (Ran(Outcome(Ending.EXITED, 3)), Verdict.FAILED),
        (Ran(Outcome(Ending.TRIPLE_FAULT)), Verdict.FAILED),
        (Ran(Outcome(Ending.PANICKED)), Verdict.FAILED),
        (Ran(Outcome(Ending.INTERRUPTED)), Verdict.FAILED),
        (Ran(Outcome(Ending.INTERRUPTED), matched=True), Verdict.PASSED),
        (Ran(Outcome(Ending.TIMEOUT), problem="no report"), Verdict.NO_ANSWER),
        (Ran(OFF, problem="no report"), Verdict.FAILED),
        (Ran(trouble=Trouble("EngineLost", "gone")), Verdict.ERROR),
    ],
)
def test_verdicts(ran, verdict):
    assert judged(job(), ran).verdict is verdict


def test_the_consoles_end_is_kept_where_it_did_not_pass():
    said = bytes(TAIL) + b"the end"
    assert judged(job(), Ran(OFF, console=said)).console == b""
    assert judged(job(), Ran(OFF, problem="x", console=said)).console == said[-TAIL:]


def row_of(guest, *rans):
    seen = [(judged(job(f"engine{number}"), ran), ran) for number, ran in enumerate(rans)]
    return row("image", guest, seen, None)


def linux(**changes):
    return Ran(OFF, report=parse(line(**changes)), console=b"said")


def test_the_first_that_passed_is_the_baseline():
    failed = Ran(OFF, problem="no report")
    found = row_of(LINUX, failed, linux(), linux(cpus=2), linux(), Ran(Outcome(Ending.TIMEOUT)))
    assert [cell.verdict for cell in found.cells] == [
        Verdict.FAILED, Verdict.PASSED, Verdict.DIFFERENT, Verdict.PASSED, Verdict.NO_ANSWER,
    ]  # fmt: skip
    assert found.baseline == Baseline("pvh", "engine1")
    assert [len(cell.differences) for cell in found.cells] == [0, 0, 1, 0, 0]
    assert found.cells[2].differences[0].field == "processors"
    assert [cell.console for cell in found.cells[1:4]] == [b"", b"said", b""]


def test_none_passed_none_is_compared():
    found = row_of(LINUX, Ran(OFF, problem="x"), Ran(OFF, problem="y"))
    assert found.baseline is None
    assert {cell.verdict for cell in found.cells} == {Verdict.FAILED}


def test_what_a_protocol_reserved_is_known():
    page = zero_page([(0, 0x9E000, 1), (0x9E000, 0x1000, 2), (0x9F000, 0x1000, 3),
                      (0x100000, 0x700000, 1)]).hex()  # fmt: skip
    report = parse(line(boot_params=page))
    own = Ran(OFF, report=report, own=((0x9E000, 0x9F000),))
    assert row_of(LINUX, linux(), own).cells[1].verdict is Verdict.PASSED
    assert row_of(LINUX, linux(), Ran(OFF, report=report)).cells[1].verdict is Verdict.DIFFERENT


def test_other_guests_are_not_judged_by_their_consoles():
    one = Ran(OFF, console=b"\x1b[31mRAM 0x1000\x1b[0m\x1b[=3h\x1b[?25l\r\n[  0.12] hello\r\n\r\n")
    same = Ran(OFF, console=b"RAM 0x2000\n[  7.99] hello")
    other = Ran(Outcome(Ending.RESET), console=b"RAM 0x2000\n[  1.00] bye\x07")
    found = row_of(OTHER, one, same, other)
    assert {cell.verdict for cell in found.cells} == {Verdict.PASSED}
    assert found.cells[1].hints == ()
    assert found.cells[2].hints == (
        "ended otherwise than by pvh on engine0",
        "console: '[  #.#] bye' where pvh has '[  #.#] hello'",
    )
    short = row_of(OTHER, one, Ran(OFF, console=b"RAM 1\n")).cells[1]
    assert short.hints == ("console: nothing where pvh has '[  #.#] hello'",)


@pytest.mark.parametrize("unit", [b"\x1b[", b"0x", b"\x1b[0;", b"dead0", b"\x1b[ "])
def test_a_hostile_console_is_made_plain_at_once(unit):
    start = time.monotonic()
    _plain(unit * (65536 // len(unit)) + b"z")
    assert time.monotonic() - start < 5
