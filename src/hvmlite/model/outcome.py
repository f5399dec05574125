"""How a run ended, as a value; only losing the engine is an exception."""

from __future__ import annotations

from enum import StrEnum

from hvmlite.values import Value

__all__ = ["Ending", "Outcome"]


class Ending(StrEnum):
    """The ways in which a guest's run can end."""

    SHUTDOWN = "shutdown"
    """The guest powered the machine off."""
    RESET = "reset"
    """The guest reset the machine (a reboot: hvmlite does not start it again)."""
    EXITED = "exited"
    """The guest wrote a status to the exit port (isa-debug-exit, 0xF4)."""
    TRIPLE_FAULT = "triple-fault"
    PANICKED = "panicked"
    """The guest reported its own crash (pvpanic)."""
    TIMEOUT = "timeout"
    """No verdict within the time allowed."""
    INTERRUPTED = "interrupted"
    """The user ended it (Ctrl-A X, Ctrl-C, SIGTERM)."""


class Outcome(Value):
    """`status` is the value of an EXITED guest; `detail` says more for people, if it is known."""

    kind: Ending
    status: int | None = None
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the guest came to an end of its own that is no failure."""
        return self.kind in (Ending.SHUTDOWN, Ending.RESET) or (
            self.kind is Ending.EXITED and self.status == 0
        )
