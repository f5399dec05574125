"""Every image by every entry ABI on every engine: which cells there are, and what they came to."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hvmlite import boot
from hvmlite.engines import record, unicorn
from hvmlite.errors import EngineUnavailable, HvmliteError, RequestError
from hvmlite.matrix import _guest, _initrd, _pool
from hvmlite.matrix._job import Job
from hvmlite.matrix._judge import judged, refused, row
from hvmlite.matrix.result import Cell, GuestKind, Matrix, Row, Trouble
from hvmlite.model import Offer
from hvmlite.protocols import PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hvmlite.images import Limits
    from hvmlite.matrix._job import Ran

__all__ = ["LINUX_CMDLINE", "TIMEOUT", "run_matrix"]

LINUX_CMDLINE = "console=ttyS0 panic=-1"
"""What Linux gets when nothing else is asked for: it is heard, and one that panics ends at once."""

TIMEOUT = 60.0
"""Seconds that a guest has by default."""


def run_matrix(
    images: Sequence[boot.Path],
    *,
    initrds: Sequence[boot.Path] = (),
    cmdline: str | bytes | None = None,
    memory: int | None = None,
    cpus: int = 1,
    protocols: Sequence[str] | None = None,
    engines: Sequence[str] | None = None,
    jobs: int | None = None,
    timeout: float = TIMEOUT,
    expect: str | bytes | None = None,
    limits: Limits | None = None,
    on_cell: Callable[[str, Cell, int], None] | None = None,
) -> Matrix:
    """Run every entry ABI that each image offers on each engine, and compare what the guests saw.

    A Linux guest gets `initrds` as one and behind them a small /init, which reports what the kernel
    was told and powers off. Another guest gets them as modules; it passes if it ends well by
    itself, or as soon as `expect` is on its console. Each cell runs in a process of its own. What
    goes wrong with an image or in a cell is in the result; only a wrong request is raised.

    :param cmdline: None: :data:`LINUX_CMDLINE` for Linux, nothing for others
    :param memory: RAM in bytes
    :param protocols: only these entry ABIs
    :param engines: only these engines; by default all that can run guests here but `unicorn`
    :param jobs: how many guests run at a time; by default as many as there are processors
    :param timeout: seconds that each guest has
    :param expect: a regular expression, for guests that are no Linux
    :param on_cell: called with an image, its cell as soon as that is there, not yet compared, and
        the number of guests that are still to come
    :raises RequestError: something asked for does not exist or cannot be read
    :raises EngineUnavailable: an engine asked for cannot run here, or none can
    :raises UnsupportedError: the reporter was not built
    """
    if jobs is not None and jobs < 1:
        raise RequestError(f"jobs: {jobs} found, at least 1 needed", field="jobs")
    if not 0 < timeout < 1e9:  # false for NaN too
        raise RequestError(f"timeout: {timeout} s found, more than 0 needed", field="timeout")
    names = None if protocols is None else _known(protocols)
    usable = _usable(engines)
    with contextlib.ExitStack() as stack:
        wanted = _Wanted(
            initrds=_Initrds(initrds, stack),
            cmdline=cmdline,
            memory=memory,
            cpus=cpus,
            timeout=timeout,
            expect=_pattern(expect),
            limits=limits,
        )
        sheets = [_sheet(os.fspath(path), wanted, names, usable) for path in images]
        at_once = len(os.sched_getaffinity(0)) if jobs is None else jobs
        _run(sheets, at_once, on_cell or (lambda *_: None))
    return Matrix(tuple(sheet.row() for sheet in sheets))


class _Initrds:
    # For Linux one anonymous file for each kind of reporter, made when it is first needed.

    def __init__(self, paths: Sequence[boot.Path], stack: contextlib.ExitStack) -> None:
        self._paths = paths
        self._stack = stack
        self._made: dict[GuestKind, int] = {}

    def of(self, guest: GuestKind) -> tuple[tuple[int, ...], tuple[str, ...]]:
        # The descriptors that a worker inherits, and the paths by which it knows what to load.
        if guest is GuestKind.OTHER:
            return (), tuple(os.fspath(path) for path in self._paths)
        if guest not in self._made:
            self._made[guest] = _initrd.make(self._paths, _initrd.reporter(guest))
            self._stack.callback(os.close, self._made[guest])
        return (self._made[guest],), (f"/proc/self/fd/{self._made[guest]}",)


@dataclass(frozen=True, slots=True)
class _Wanted:
    # What is the same for all cells.
    initrds: _Initrds
    cmdline: str | bytes | None
    memory: int | None
    cpus: int
    timeout: float
    expect: bytes | None
    limits: Limits | None

    def task(self, image: str, guest: GuestKind, protocol: str, engine: str) -> _Task:
        linux = guest is not GuestKind.OTHER
        descriptors, initrds = self.initrds.of(guest)
        cmdline = (LINUX_CMDLINE if linux else "") if self.cmdline is None else self.cmdline
        job = Job(
            image=image,
            protocol=protocol,
            engine=engine,
            initrds=initrds,
            cmdline=cmdline,
            memory=self.memory,
            cpus=self.cpus,
            timeout=self.timeout,
            limits=self.limits,
            expect=None if linux else self.expect,
            payload=_initrd.PAYLOAD if linux else None,
        )
        return _Task(job, descriptors)


@dataclass
class _Task:
    # What becomes a cell by running a guest.
    job: Job
    descriptors: tuple[int, ...]
    ran: Ran | None = None
    cell: Cell | None = None


@dataclass
class _Sheet:
    # What becomes a row: cells that are there already, and tasks.
    image: str
    guest: GuestKind = GuestKind.OTHER
    slots: list[Cell | _Task] = field(default_factory=list)
    trouble: Trouble | None = None

    def row(self) -> Row:
        seen: list[tuple[Cell, Ran | None]] = []
        for slot in self.slots:
            if isinstance(slot, Cell):
                seen.append((slot, None))
            elif slot.cell is not None:
                seen.append((slot.cell, slot.ran))
        return row(self.image, self.guest, seen, self.trouble)


def _sheet(
    path: str, wanted: _Wanted, names: frozenset[str] | None, engines: tuple[str, ...]
) -> _Sheet:
    # The image is not kept: workers open it for themselves.
    try:
        image = boot.open_image(path, wanted.limits)
        answers = [each for each in boot.offers(image) if names is None or each.protocol in names]
    except HvmliteError as error:
        return _Sheet(path, trouble=Trouble.of(error))
    sheet = _Sheet(path, _guest.kind(image))
    for answer in answers:
        for engine in engines:
            if isinstance(answer, Offer):
                sheet.slots.append(wanted.task(path, sheet.guest, answer.protocol, engine))
            else:
                sheet.slots.append(refused(engine, answer))
    if not any(isinstance(answer, Offer) for answer in answers):
        by = f" by {', '.join(sorted(names))}" if names else ""
        sheet.trouble = Trouble(
            "RequestError",
            f"{path}: no way in{by} found, one needed",
            f"hvmlite inspect {path} says why",
        )
    return sheet


def _run(sheets: Sequence[_Sheet], at_once: int, on_cell: Callable[[str, Cell, int], None]) -> None:
    known, tasks = [], []
    for sheet in sheets:
        for slot in sheet.slots:
            if isinstance(slot, Cell):
                known.append((sheet.image, slot))
            else:
                tasks.append((sheet.image, slot))
    left = len(tasks)
    for image, cell in known:
        on_cell(image, cell, left)
    work = [(task.job, task.descriptors) for _, task in tasks]
    with contextlib.closing(_pool.run(work, at_once)) as answers:
        for number, ran in answers:
            image, task = tasks[number]
            task.ran, task.cell = ran, judged(task.job, ran)
            left -= 1
            on_cell(image, task.cell, left)


def _known(names: Sequence[str]) -> frozenset[str]:
    known = [each.NAME for each in PROTOCOLS]
    for name in names:
        if name not in known:
            raise RequestError(
                f"protocol {name}: not known, one of {', '.join(known)} needed", field="protocol"
            )
    return frozenset(names)


def _usable(names: Sequence[str] | None) -> tuple[str, ...]:
    # `record` only writes plans down.
    found = {each.engine: each for each in boot.available_engines() if each.engine != record.NAME}
    for name in names or ():
        if name not in found:
            raise RequestError(
                f"engine {name}: not known or runs no guests, one of {', '.join(found)} needed",
                field="engine",
            )
    # The emulator is for looking at boot code: it runs systems only if somebody wants that.
    wanted = names or [name for name in found if name != unicorn.NAME]
    lacking = [each for each in found.values() if not each.ok and each.engine in wanted]
    usable = tuple(name for name in found if name in wanted and found[name].ok)
    if lacking and (names or not usable):
        raise EngineUnavailable(
            f"{lacking[0].engine}: {lacking[0].reason}",
            engine=lacking[0].engine,
            hint=lacking[0].hint,
        )
    return usable


def _pattern(expect: str | bytes | None) -> bytes | None:
    if expect is None:
        return None
    pattern = os.fsencode(expect)
    try:
        re.compile(pattern)
    except re.error as cause:
        raise RequestError(
            f"expect: {cause}, a regular expression needed", field="expect"
        ) from cause
    return pattern
