# The process that runs one cell: a job comes on standard input, the answer goes to a descriptor.
# It ends, and its guest with it, when its standard input ends: whoever started it is gone then.
from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

from hvmlite import boot
from hvmlite.errors import FormatError, HvmliteError
from hvmlite.matrix import report
from hvmlite.matrix._job import Job, Ran
from hvmlite.matrix.result import Trouble
from hvmlite.model import Ending, Kind, MemoryType

if TYPE_CHECKING:
    from types import FrameType

    from hvmlite.model import Outcome

__all__ = ["CONSOLE", "main"]

CONSOLE = 64 << 10
"""Bytes of the console, from its end, that go into the answer."""


class _Stopped(BaseException):
    # Not an Exception: only `with` blocks on its way should see it.
    pass


def main(answer: int) -> None:
    # `answer`: the descriptor that the pickled Ran is written to.
    signal.signal(signal.SIGTERM, _stop)
    try:
        job: Job = pickle.load(sys.stdin.buffer)
        threading.Thread(target=_watch_starter, daemon=True).start()
        data = pickle.dumps(_run(job))
    except _Stopped:
        return
    with open(answer, "wb") as file:
        file.write(data)


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the way out is not to be disturbed
    raise _Stopped


def _watch_starter() -> None:
    os.read(0, 1)  # comes back at the end of the stream
    os.kill(os.getpid(), signal.SIGTERM)


def _run(job: Job) -> Ran:
    try:
        with boot.run(
            job.image,
            initrds=job.initrds,
            cmdline=job.cmdline,
            memory=job.memory,
            cpus=job.cpus,
            protocol=job.protocol,
            engine=job.engine,
            limits=job.limits,
        ) as guest:
            return _ended(guest, job)
    except HvmliteError as error:
        return Ran(trouble=Trouble.of(error))


def _ended(guest: boot.Run, job: Job) -> Ran:
    trouble, outcome, matched = None, None, False
    try:
        outcome, matched = _wait(guest, job)
    except HvmliteError as error:  # the engine is lost, its console is not
        trouble = Trouble.of(error)
    said = b"".join(chunk.data for chunk in guest.console.chunks)
    found, problem = (None, "") if outcome is None else _judged(said, job, matched)
    return Ran(
        outcome=outcome,
        prepare_s=guest.timing.prepare_s,
        guest_s=guest.timing.guest_s,
        report=found,
        problem=problem,
        matched=matched,
        trouble=trouble,
        dropped=guest.plan.dropped,
        own=tuple(
            (piece.start, piece.end)
            for piece in guest.plan.pieces
            if piece.kind is not Kind.ACPI and piece.memory_type != MemoryType.RAM
        ),
        console=said[-CONSOLE:],
    )


def _wait(guest: boot.Run, job: Job) -> tuple[Outcome, bool]:
    if job.expect is None:
        return guest.wait(job.timeout), False
    try:
        guest.expect(job.expect, job.timeout)
    except EOFError:
        return guest.wait(), False
    except TimeoutError:
        return guest.ended(guest.session.stop(Ending.TIMEOUT)), False
    # It said what it was to say: what it does next is not waited for.
    return guest.ended(guest.session.stop(Ending.INTERRUPTED)), True


def _judged(said: bytes, job: Job, matched: bool) -> tuple[report.Report | None, str]:
    # The report, and what is wrong with it or its absence.
    if job.payload is None:
        missing = job.expect is not None and not matched
        return None, "console: no match found, one for --expect needed" if missing else ""
    try:
        found = report.parse(said)
    except FormatError as error:
        return None, str(error)
    sums = dict(found.files or ())
    for path, digest in job.payload.items():
        if sums.get(path) != digest:
            return found, f"initrd: {path} is {sums.get(path, 'absent')}, {digest} needed"
    return found, ""
