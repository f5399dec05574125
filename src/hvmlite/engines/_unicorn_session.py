"""A guest that runs in the emulator: one thread executes it, slice by slice."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from hvmlite.engines._console import Console
from hvmlite.engines._session import WatchedSession
from hvmlite.engines._unicorn_emulator import Reason
from hvmlite.errors import EngineError, EngineLost
from hvmlite.model import Ending, Outcome

if TYPE_CHECKING:
    from hvmlite.engines._unicorn_emulator import Emulator, Stop

__all__ = ["UnicornSession"]

_SLICE = 200_000  # instructions, a few milliseconds of them; then the console gets what was written
_UNREAD_INPUT = 1 << 20


class UnicornSession(WatchedSession):
    """Implements :class:`hvmlite.engines.Session`; it owns, and closes, the emulator.

    :param emulator: loaded, and not yet run
    """

    def __init__(self, emulator: Emulator) -> None:
        self.start_time = time.monotonic()
        self.console = Console(self.start_time, self._send, self._taken)
        self._emulator = emulator
        self._stopped: Ending | None = None
        self._wake = threading.Event()  # somebody has read the console, or wants an end
        self._finished = threading.Event()
        self._result: Outcome | EngineError | None = None
        self._thread = threading.Thread(target=self._run, name="unicorn", daemon=True)
        self._thread.start()

    def stop(self, kind: Ending = Ending.INTERRUPTED) -> Outcome:
        """End the guest now; if it has ended by itself already, that outcome stands."""
        self._stopped = self._stopped or kind
        self._wake.set()
        return self.wait()

    def close(self) -> None:
        """End the guest, whatever its state, and give its memory back; safe to call twice."""
        self._stopped = self._stopped or Ending.INTERRUPTED
        self._wake.set()
        self._thread.join()
        self._emulator.close()

    def _send(self, data: bytes) -> None:
        if len(self._emulator.ports.typed) + len(data) > _UNREAD_INPUT:
            raise EngineError("console: the guest does not read its input", engine="unicorn")
        self._emulator.ports.typed.extend(data)

    def _taken(self) -> None:
        self._wake.set()

    # What follows runs in the thread.

    def _run(self) -> None:
        try:
            self._result = self._ending()
        except EngineError as error:
            self._result = error
        except Exception as error:
            self._result = EngineLost(f"unicorn: {error}", engine="unicorn")
            self._result.__cause__ = error
        finally:
            self._finished.set()
            self.console.end()

    def _ending(self) -> Outcome:
        while self._stopped is None:
            stop = self._emulator.run(budget=_SLICE)
            self._show()
            if stop.reason is not Reason.BUDGET:
                return _outcome(stop)
            while self.console.full and self._stopped is None:
                self._wake.wait()
                self._wake.clear()
        return Outcome(self._stopped)

    def _show(self) -> None:
        written = self._emulator.ports.serial
        if written:
            self.console.feed(bytes(written))
            written.clear()


def _outcome(stop: Stop) -> Outcome:
    if stop.outcome is not None:
        return stop.outcome
    if stop.reason is Reason.TRIPLE_FAULT:
        return Outcome(Ending.TRIPLE_FAULT, detail=stop.detail)
    # On another engine it would go on waiting; here it is known that nothing will ever come.
    return Outcome(Ending.TIMEOUT, detail=f"halted at {stop.address:#x}, nothing will wake it")
