"""What a matrix found: a row for each image, in it a cell for each entry ABI and engine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hvmlite.errors import HvmliteError
    from hvmlite.matrix.report import Report
    from hvmlite.model import Dropped, Outcome, Reason

__all__ = [
    "Baseline",
    "Cell",
    "Difference",
    "GuestKind",
    "Matrix",
    "Row",
    "Trouble",
    "Verdict",
]


class GuestKind(StrEnum):
    """What an image starts, as far as it decides how its guest is asked what it found."""

    LINUX_AMD64 = "linux-amd64"
    LINUX_I386 = "linux-i386"
    OTHER = "other"
    """No Linux: it gets no reporter, only its end and its console are seen."""


class Verdict(StrEnum):
    """What a cell came to."""

    PASSED = "passed"
    DIFFERENT = "different"
    """It ran, but learnt something else than through the row's first door."""
    FAILED = "failed"
    """The guest crashed, or did not do what shows that it works."""
    NO_ANSWER = "no-answer"
    """It was stopped when its time was over."""
    ERROR = "error"
    """Something went wrong on our side: no verdict about the guest."""
    REFUSED = "refused"
    """The image does not offer this entry ABI."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """An error as a value: `kind` is a class of :mod:`hvmlite.errors`, or "WorkerLost"."""

    kind: str
    message: str
    hint: str | None = None

    @classmethod
    def of(cls, error: HvmliteError) -> Trouble:
        """Describe an error that was caught."""
        return cls(type(error).__name__, str(error), error.hint)


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that the guest found otherwise than through the row's baseline; texts for people."""

    field: str
    baseline: str
    found: str


@dataclass(frozen=True, slots=True)
class Baseline:
    """The cell that the others of a row are compared with: its first one that passed."""

    protocol: str
    engine: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One image by one entry ABI on one engine.

    `outcome` is None if no guest ended; then `trouble` says why, or `reasons` (REFUSED). `problem`
    says why a guest that ended did not pass. The times are seconds: until the guest began to run,
    and from then to its end. `console` is the end of what it wrote, kept where it did not pass.
    `hints` are remarks that make no verdict.
    """

    protocol: str
    engine: str
    verdict: Verdict
    outcome: Outcome | None = None
    prepare_s: float | None = None
    guest_s: float | None = None
    report: Report | None = None
    problem: str = ""
    trouble: Trouble | None = None
    reasons: tuple[Reason, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    differences: tuple[Difference, ...] = ()
    hints: tuple[str, ...] = ()
    console: bytes = b""


@dataclass(frozen=True, slots=True)
class Row:
    """All cells of one image; `trouble` if it cannot be opened or offers none of the ways asked."""

    image: str
    guest: GuestKind
    cells: tuple[Cell, ...] = ()
    baseline: Baseline | None = None
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class Matrix:
    """The rows, in the order in which the images were named."""

    rows: tuple[Row, ...]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of all rows."""
        return tuple(cell for row in self.rows for cell in row.cells)
