"""From what QEMU left behind to a verdict about the guest."""

from __future__ import annotations

import re
import signal

from hvmlite.errors import EngineError, EngineLost
from hvmlite.model import Ending, Outcome

__all__ = ["Verdict"]

_TAIL = 16 << 10
_ENDINGS = {
    "guest-shutdown": Ending.SHUTDOWN,
    "guest-reset": Ending.RESET,
    "subsystem-reset": Ending.RESET,
    "guest-panic": Ending.PANICKED,
}
"""QAPI ShutdownCause (qapi/run-state.json), as far as the guest is the cause."""


class Verdict:
    """Collects facts while QEMU runs; :meth:`outcome` weighs them when it has ended."""

    def __init__(self, accelerator: str) -> None:
        self.running = False
        """Whether the guest was started."""
        self.reason = ""
        """Of QMP's SHUTDOWN event."""
        self.stopped: Ending | None = None
        """Why we ended QEMU."""
        self.registers = ""
        """What the monitor says after a triple fault."""
        self._accelerator = accelerator
        self._log = b""
        self._errors = b""
        self._quiet = 0  # length of what QEMU had said when the guest was started

    def log(self, data: bytes) -> None:
        """Add bytes of the `-d cpu_reset` log."""
        self._log = (self._log + data)[-_TAIL:]

    def error(self, data: bytes) -> None:
        """Add bytes of QEMU's standard error."""
        self._errors = (self._errors + data)[-_TAIL:]

    def started(self) -> None:
        """Note that the guest runs from now on."""
        self.running = True
        self._quiet = len(self._errors)

    @property
    def triple_fault(self) -> bool:
        """Whether the reset that stopped the guest was a triple fault."""
        return self.reason == "guest-reset" and b"Triple fault" in self._log

    @property
    def words(self) -> str:
        """The last line that QEMU said, without its name."""
        text = self._errors.decode(errors="replace").strip()
        return re.sub(r"^\S*qemu\S*: ", "", text.rpartition("\n")[2])

    def outcome(self, status: int) -> Outcome:
        """Return how the guest ended, `status` being QEMU's (negative: a signal).

        :raises EngineError: QEMU did not start the guest
        :raises EngineLost: QEMU ended, but not because of the guest
        """
        # isa-debug-exit ends QEMU with (value << 1 | 1); so does QEMU's own failure, with words.
        exited = status > 0 and status & 1 and self.running and len(self._errors) == self._quiet
        if exited and self.reason in ("", "guest-shutdown"):
            return Outcome(Ending.EXITED, status >> 1)
        if self.triple_fault:
            return Outcome(Ending.TRIPLE_FAULT, detail=self._place())
        if self.reason in _ENDINGS:
            # KVM reports a triple fault as a reset.
            vague = self._accelerator == "kvm" and self.reason == "guest-reset"
            return Outcome(_ENDINGS[self.reason], detail="or a triple fault" if vague else "")
        if self.stopped is not None:
            return Outcome(self.stopped)
        if not self.running and status > 0:
            raise EngineError(f"qemu: {self.words or f'exit status {status}'}", engine="qemu")
        said = f": {self.words}" if self.words else ""
        raise EngineLost(f"qemu: {_died(status)} before the guest ended{said}", engine="qemu")

    def _place(self) -> str:
        found = dict(re.findall(r"\b([ER]IP|CR[0234]|EFER)=([0-9a-f]+)", self.registers))
        if not found:
            return ""
        return ", ".join(f"{name.lower()} {int(value, 16):#x}" for name, value in found.items())


def _died(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
