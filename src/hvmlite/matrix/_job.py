# What goes to a worker and what comes back; the only two kinds of value between the processes.
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hvmlite.images import Limits
    from hvmlite.matrix.report import Report
    from hvmlite.matrix.result import Trouble
    from hvmlite.model import Dropped, Outcome

__all__ = ["Job", "Ran"]


@dataclass(frozen=True, slots=True)
class Job:
    # One cell. `expect` is a regular expression for the console of a guest that is no Linux;
    # `payload` are the files that a Linux guest must report, by path, with their sums.
    image: str
    protocol: str
    engine: str
    initrds: tuple[str, ...]
    cmdline: str | bytes
    memory: int | None
    cpus: int
    timeout: float
    limits: Limits | None
    expect: bytes | None
    payload: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class Ran:
    # `own`: ranges of guest memory that the protocol reserved; `console`: the end of what was said.
    outcome: Outcome | None = None
    prepare_s: float | None = None
    guest_s: float | None = None
    report: Report | None = None
    problem: str = ""
    matched: bool = False
    trouble: Trouble | None = None
    dropped: tuple[Dropped, ...] = ()
    own: tuple[tuple[int, int], ...] = ()
    console: bytes = b""
