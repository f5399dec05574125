"""What every engine offers: the shapes that boot and cli work with."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Protocol, Self

from hvmlite.errors import RequestError
from hvmlite.model import Ending, Outcome

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from types import TracebackType

    from hvmlite.engines._console import Console
    from hvmlite.errors import EngineError
    from hvmlite.model import Availability, Disk, GuestPlan, Machine, RunOptions

__all__ = ["Closes", "Engine", "Launch", "Session", "WatchedSession", "check_own"]


class Closes(Protocol):
    """A context manager that closes itself at its end, however that comes."""

    def close(self) -> None:
        """Give everything back; safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Session(Closes, Protocol):
    """A guest that runs; a context manager that ends its engine in every case."""

    @property
    def console(self) -> Console:
        """The guest's console."""

    @property
    def start_time(self) -> float:
        """The :func:`time.monotonic` at which the guest's processors began to run."""

    def wait(self, timeout: float | None = None) -> Outcome:
        """Wait for the guest's end; after `timeout` seconds stop it (``Ending.TIMEOUT``).

        :raises EngineLost: the engine died without a verdict about the guest
        """

    def stop(self, kind: Ending = Ending.INTERRUPTED) -> Outcome:
        """End the guest now; if it has ended by itself already, that outcome stands."""

    def close(self) -> None:
        """End the engine's process, whatever its state; safe to call twice."""


class WatchedSession(Closes):
    """A session whose thread notes the guest's end: in `_result` what it was, then `_finished`."""

    _finished: threading.Event
    _result: Outcome | EngineError | None

    def wait(self, timeout: float | None = None) -> Outcome:
        """As :meth:`Session.wait`."""
        if not self._finished.wait(timeout):
            return self.stop(Ending.TIMEOUT)
        if isinstance(self._result, Outcome):
            return self._result
        assert self._result is not None
        raise self._result

    @abstractmethod
    def stop(self, kind: Ending = Ending.INTERRUPTED) -> Outcome:
        """As :meth:`Session.stop`."""


class Launch(Closes, Protocol):
    """An engine that was started and waits for its plan; a context manager, as :class:`Session`."""

    def start(self, plan: GuestPlan) -> Session:
        """Start the guest of `plan`, which must be for the machine that was launched.

        :raises EngineError: the engine refuses, in its own words
        """

    def close(self) -> None:
        """End the engine if it was not started; safe to call twice."""


class Engine(Protocol):
    """A module that runs plans."""

    NAME: str

    def available(self) -> Availability:
        """Say whether the engine can run here, and if not, why and what to do about it."""

    def machine(
        self, memory: int, cpus: int, disks: tuple[Disk, ...] = (), firmware: str = ""
    ) -> Machine:
        """Describe the machine that the engine makes.

        :param firmware: what runs first and starts the first disk (`Machine.firmware`)

        :raises RequestError: it makes none like that
        """

    def launch(self, wanted: Machine, options: RunOptions) -> Launch:
        """Start the engine's program, which makes the machine while the plan is still being made.

        :raises EngineUnavailable: the engine cannot run here
        :raises EngineError: the engine refuses, in its own words
        """


def check_own(machine: Callable[..., Machine], wanted: Machine) -> None:
    """Raise RequestError if `wanted` is not as the engine's `machine` describes it."""
    if machine(wanted.memory, wanted.cpus, wanted.disks, wanted.firmware) != wanted:
        raise RequestError(
            f"machine: {wanted.name} planned for, this engine's own needed", field="machine"
        )
