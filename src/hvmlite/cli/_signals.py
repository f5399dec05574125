"""SIGINT, SIGTERM and SIGHUP as an exception, so that every way of ending cleans up."""

from __future__ import annotations

import contextlib
import signal
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["Stop", "ignore", "stops"]

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE = 5.0  # seconds in which an impatient second Ctrl-C does not disturb the clean-up


class Stop(KeyboardInterrupt):
    """The user, or whoever supervises us, wants the program to end.

    :param number: the signal
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def status(self) -> int:
        """The exit status that shells give a program that died of the signal."""
        return 128 + self.number

    @property
    def text(self) -> str:
        """One line about it."""
        return "interrupted" if self.number == signal.SIGINT else f"ended by {self.name}"

    @property
    def name(self) -> str:
        """The signal's name."""
        return signal.Signals(self.number).name


def ignore() -> None:
    """Let no signal spoil the program's last steps: its work is done and has been shown."""
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def stops(*, last: bool = False) -> Iterator[None]:
    """Raise :class:`Stop` in the main thread for the three signals, as long as the block runs.

    A signal that was ignored when the program started (nohup) stays ignored.

    :param last: the block is the program's last work; a signal after it just ends the program
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets only the main thread have handlers
        return
    taken = -_GRACE

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal taken
        if time.monotonic() - taken >= _GRACE:
            taken = time.monotonic()
            raise Stop(number)

    kept = {number: signal.getsignal(number) for number in _NUMBERS}
    kept = {number: old for number, old in kept.items() if old not in (signal.SIG_IGN, None)}
    try:
        for number in kept:
            signal.signal(number, handle)
        yield
    finally:
        for number, old in kept.items():
            signal.signal(number, signal.SIG_DFL if last else old)
