"""What a run on the emulator ends with, and what happened on its way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hvmlite.model import Outcome

__all__ = ["Fault", "Reason", "Stop"]


class Reason(StrEnum):
    """Why a run stopped."""

    UNTIL = "until"
    """The next instruction is at an address where the run was to stop."""
    OUTSIDE = "outside"
    """The next instruction is outside the ranges that were to be executed."""
    WRITE = "write"
    """Memory outside the ranges that may be written was written; to go on writes it again."""
    HALTED = "halted"
    """HLT: no interrupt will come."""
    ENDED = "ended"
    """The guest ended itself: `outcome` says how."""
    TRIPLE_FAULT = "triple-fault"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class Stop:
    """Where and why a run stopped.

    `address` is the linear address of the next instruction or, of WRITE, the physical address that
    was written. `outcome` is that of a guest that has ENDED.
    """

    reason: Reason
    address: int
    outcome: Outcome | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """An exception or software interrupt that was delivered to the guest.

    `rip` is what the handler finds on its stack; `error` is None where there is no error code.
    """

    vector: int
    rip: int
    error: int | None = None
    cr2: int | None = None
