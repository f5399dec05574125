# A guest that runs, and how long it takes.
from __future__ import annotations

import time

from hvmlite.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from types import TracebackType
    from typing import Self

    from hvmlite.engines import Console, Session
    from hvmlite.model import GuestPlan, Outcome

__all__ = ["Run", "Timing"]


class Timing(Value):
    """Seconds from the call until the guest began to run, from then to its end, and together."""

    prepare_s: float
    guest_s: float
    total_s: float


class Run:
    """A guest that runs: its plan, its console, and in the end its :class:`Outcome`."""

    def __init__(self, made: GuestPlan, session: Session, engine: str, started: float) -> None:
        self.plan = made
        self.session = session
        self.engine = engine
        self.protocol = made.protocol
        self._started = started
        self._ended: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def console(self) -> Console:
        """What the guest writes, as a stream; what is written to it, the guest reads."""
        return self.session.console

    def expect(self, pattern: str | bytes, timeout: float | None = None) -> re.Match[bytes]:
        """Wait until `pattern` (a regular expression) appears on the console.

        :raises TimeoutError: it did not in `timeout` seconds
        :raises EOFError: the guest ended without it
        """
        return self.console.expect(pattern, timeout)

    def wait(self, timeout: float | None = None) -> Outcome:
        """Wait for the end; after `timeout` seconds the guest is stopped, which is an outcome."""
        return self.ended(self.session.wait(timeout))

    def ended(self, outcome: Outcome) -> Outcome:
        """Note that the guest has ended now, for :attr:`timing`."""
        if self._ended is None:
            self._ended = time.monotonic()
        return outcome

    @property
    def timing(self) -> Timing:
        """How long it took, up to the end or up to now."""
        now = time.monotonic() if self._ended is None else self._ended
        began = self.session.start_time
        return Timing(began - self._started, now - began, now - self._started)

    def close(self) -> None:
        """End the engine, if it still runs; safe to call twice."""
        self.session.close()
