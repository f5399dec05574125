# From what a worker tells to a verdict, and from cells to a row that is compared.
from __future__ import annotations

import re
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from hvmlite.matrix.compare import Seen, differences
from hvmlite.matrix.result import Baseline, Cell, GuestKind, Row, Trouble, Verdict
from hvmlite.model import Ending
from hvmlite.protocols import PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hvmlite.matrix._job import Job, Ran
    from hvmlite.model import Refusal

__all__ = ["TAIL", "judged", "refused", "row"]

TAIL = 4096
"""Bytes of the console that a cell keeps, from its end, where the guest did not pass."""

_NOISE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
_WORD = re.compile(r"\w+")


def refused(engine: str, refusal: Refusal) -> Cell:
    return Cell(refusal.protocol, engine, Verdict.REFUSED, reasons=refusal.reasons)


def judged(job: Job, ran: Ran) -> Cell:
    verdict = _verdict(ran)
    return Cell(
        protocol=job.protocol,
        engine=job.engine,
        verdict=verdict,
        outcome=ran.outcome,
        prepare_s=ran.prepare_s,
        guest_s=ran.guest_s,
        report=ran.report,
        problem=ran.problem,
        trouble=ran.trouble,
        dropped=ran.dropped,
        console=b"" if verdict is Verdict.PASSED else ran.console[-TAIL:],
    )


def _verdict(ran: Ran) -> Verdict:
    if ran.outcome is None:
        return Verdict.ERROR
    if ran.matched:
        return Verdict.PASSED
    if ran.outcome.kind is Ending.TIMEOUT:
        return Verdict.NO_ANSWER
    return Verdict.FAILED if ran.problem or not ran.outcome.ok else Verdict.PASSED


def row(
    image: str,
    guest: GuestKind,
    seen: Sequence[tuple[Cell, Ran | None]],
    trouble: Trouble | None,
) -> Row:
    # `seen`: the cells in order; those that ran with what their worker told.
    passed = [(cell, ran) for cell, ran in seen if ran and cell.verdict is Verdict.PASSED]
    cells = tuple(cell for cell, _ in seen)
    if not passed:
        return Row(image, guest, cells, None, trouble)
    first, told = passed[0]
    compare = _hinted if guest is GuestKind.OTHER else _compared
    cells = tuple(
        compare(first, told, cell, ran)
        if ran is not None and cell is not first and cell.verdict is Verdict.PASSED
        else cell
        for cell, ran in seen
    )
    return Row(image, guest, cells, Baseline(first.protocol, first.engine), trouble)


def _compared(first: Cell, told: Ran, cell: Cell, ran: Ran) -> Cell:
    found = differences(_seen(first, told), _seen(cell, ran))
    if not found:
        return cell
    tail = ran.console[-TAIL:]
    return replace(cell, verdict=Verdict.DIFFERENT, differences=found, console=tail)


def _seen(cell: Cell, ran: Ran) -> Seen:
    assert cell.report is not None  # a Linux guest without one has not passed
    (carries,) = (each.carries for each in PROTOCOLS if cell.protocol == each.NAME)
    return Seen(cell.report, carries, ran.own)


def _hinted(first: Cell, told: Ran, cell: Cell, ran: Ran) -> Cell:
    # Where nobody reports, ends and consoles that are not alike are worth a look and no more.
    hints = []
    if first.outcome != cell.outcome and not (told.matched and ran.matched):
        hints.append(f"ended otherwise than by {first.protocol} on {first.engine}")
    for one, two in zip_longest(_plain(told.console), _plain(ran.console)):
        if one != two:
            hints.append(f"console: {_quoted(two)} where {first.protocol} has {_quoted(one)}")
            break
    return replace(cell, hints=tuple(hints))


def _plain(console: bytes) -> list[str]:
    # Lines without control sequences; numbers (times, addresses, sizes) are all alike.
    text = _NOISE.sub("", console.decode("utf-8", "backslashreplace"))
    lines = [_WORD.sub(_number, line).strip() for line in text.split("\n")]
    return [line for line in lines if line]


def _number(word: re.Match[str]) -> str:
    return "#" if any(character.isdigit() for character in word[0]) else word[0]


def _quoted(line: str | None) -> str:
    return "nothing" if line is None else f"'{line[:100]}'"
