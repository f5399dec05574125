"""How a run ended: a document, and a line for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.cli._output import escape
from hvmlite.cli.render.plan import dropped
from hvmlite.model import Ending

if TYPE_CHECKING:
    from hvmlite.boot import Run, Timing
    from hvmlite.cli._answer import Document
    from hvmlite.model import Outcome

__all__ = ["GUEST_FAILED", "NO_VERDICT", "document", "end", "ended", "line", "status"]

GUEST_FAILED = 5
NO_VERDICT = 6

_WORDS = {
    Ending.SHUTDOWN: "the guest powered off",
    Ending.RESET: "the guest rebooted",
    Ending.EXITED: "the guest exited",
    Ending.TRIPLE_FAULT: "the guest triple-faulted",
    Ending.PANICKED: "the guest panicked",
    Ending.TIMEOUT: "no verdict in time, the guest was stopped",
    Ending.INTERRUPTED: "stopped",
}


def document(run: Run, image: str, outcome: Outcome) -> Document:
    """Return the run for ``--json``; `image` is the file that the user named."""
    timing = run.timing
    return {
        "image": escape(image),
        "protocol": run.protocol,
        "engine": run.engine,
        "outcome": end(outcome),
        "timing": {
            "prepare_s": round(timing.prepare_s, 6),
            "guest_s": round(timing.guest_s, 6),
            "total_s": round(timing.total_s, 6),
        },
        "dropped": dropped(run.plan.dropped),
    }


def end(outcome: Outcome) -> Document:
    """Return the end for ``--json``."""
    return {
        "kind": str(outcome.kind),
        "status": outcome.status,
        "detail": escape(outcome.detail),
    }


def ended(outcome: Outcome) -> str:
    """Return the end in words."""
    text = _WORDS[outcome.kind]
    if outcome.status is not None:
        text += f" with status {outcome.status}"
    return text + (f" ({escape(outcome.detail)})" if outcome.detail else "")


def line(outcome: Outcome, timing: Timing) -> str:
    """Return one line about the end."""
    return f"{ended(outcome)} after {timing.guest_s:.2f} s, prepared in {timing.prepare_s:.2f} s"


def status(outcome: Outcome) -> int:
    """Return the exit status; that the user ended the guest (Ctrl-A X) is no failure."""
    if outcome.ok or outcome.kind is Ending.INTERRUPTED:
        return 0
    return NO_VERDICT if outcome.kind is Ending.TIMEOUT else GUEST_FAILED
