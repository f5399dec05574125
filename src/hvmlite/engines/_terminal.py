"""The guest's console on the user's terminal.

Every key goes to the guest, but for Ctrl-A: Ctrl-A X ends the guest, Ctrl-A Ctrl-A sends one
Ctrl-A, Ctrl-A H shows a line of help, as with QEMU's own ``-nographic``.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import termios
import time
import tty
from typing import TYPE_CHECKING

from hvmlite.errors import EngineError
from hvmlite.model import Ending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from hvmlite.engines._session import Session
    from hvmlite.model import Outcome

__all__ = ["attach"]

_ESCAPE = b"\x01"
_HELP = b"\r\nCtrl-A X ends the guest, Ctrl-A Ctrl-A sends Ctrl-A, Ctrl-A H shows this\r\n"
_RETRY = 0.05


def attach(
    session: Session, *, stdin: int = 0, stdout: int = 1, timeout: float | None = None
) -> Outcome:
    """Connect the guest's console with `stdin` and `stdout` until the guest ends or the user does.

    A terminal is in raw mode meanwhile, and is restored however this ends. If `stdin` is none, its
    bytes go to the guest as they are, Ctrl-A too; a closed one is simply not read.

    :param timeout: after so many seconds the guest is stopped (``Ending.TIMEOUT``)
    :raises EngineLost: the engine died
    :raises OSError: `stdout` cannot be written any more; the guest still runs then
    """
    end = None if timeout is None else time.monotonic() + timeout
    with _raw(stdin) as terminal:
        attachment = _Attachment(session, stdin, stdout, terminal=terminal, end=end)
        try:
            return attachment.run()
        except TimeoutError:
            return session.stop(Ending.TIMEOUT)


class _Attachment:
    def __init__(
        self, session: Session, stdin: int, stdout: int, *, terminal: bool, end: float | None
    ) -> None:
        self._session = session
        self._console = session.console
        self._stdin: int | None = stdin if _is_open(stdin) else None
        self._stdout = stdout
        self._terminal = terminal
        self._end = end
        self._escaped = False
        self._held = b""  # typed, but the guest's input is full

    def run(self) -> Outcome:
        wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._console.lossless = True
        self._console.listen(lambda: os.eventfd_write(wake, 1))
        try:
            while True:
                ended = self._console.ended  # asked first: what is read next is then the rest
                self._show()
                if ended:
                    return self._session.wait()
                if self._left() == 0:
                    return self._stop(Ending.TIMEOUT)
                ready = self._wait(wake)
                if wake in ready:
                    os.eventfd_read(wake)
                if not self._type(readable=self._stdin in ready):
                    return self._stop(Ending.INTERRUPTED)
        finally:
            self._console.listen(None)
            self._console.lossless = False
            os.close(wake)

    def _stop(self, kind: Ending) -> Outcome:
        outcome = self._session.stop(kind)
        self._show()
        return outcome

    def _left(self) -> float | None:
        # Seconds until the guest is to be stopped.
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def _wait(self, wake: int) -> list[int]:
        sources = [wake]
        if self._stdin is not None and not self._held:
            sources.append(self._stdin)
        times = [
            time for time in (_RETRY if self._held else None, self._left()) if time is not None
        ]
        return select.select(sources, [], [], min(times, default=None))[0]

    def _show(self) -> None:
        with contextlib.suppress(TimeoutError):
            self._put(self._console.read(0))

    def _put(self, data: bytes) -> None:
        # What can be written takes PIPE_BUF bytes without waiting; a reader that stands still
        # (Ctrl-S, a stalled pipe) must not keep the guest beyond its time.
        view = memoryview(data)
        while view:
            if not select.select([], [self._stdout], [], self._left())[1]:
                raise TimeoutError("console: its reader stands still")
            with contextlib.suppress(BlockingIOError):  # somebody else made the terminal so
                view = view[os.write(self._stdout, view[: select.PIPE_BUF]) :]

    def _type(self, *, readable: bool) -> bool:
        # Pass on what was typed; False when the user wants to leave.
        data, stay = self._held, True
        if readable and self._stdin is not None:
            data = self._read(self._stdin)
            if self._terminal:
                data, stay = self._keys(data)
        if data:
            try:
                self._console.write(data)
                self._held = b""
            except EngineError:
                self._held = data
        return stay

    def _read(self, fd: int) -> bytes:
        try:
            data = os.read(fd, 4096)
        except BlockingIOError:
            return b""
        except OSError:  # the terminal hung up
            data = b""
        if not data:
            self._stdin = None
        return data

    def _keys(self, data: bytes) -> tuple[bytes, bool]:
        # Take the escapes out of what was typed.
        sent = bytearray()
        for key in (data[i : i + 1] for i in range(len(data))):
            if not self._escaped:
                self._escaped = key == _ESCAPE
                if not self._escaped:
                    sent += key
                continue
            self._escaped = False
            if key in (b"x", b"X"):
                return bytes(sent), False
            if key in (b"h", b"H", b"?"):
                self._put(_HELP)
            elif key == _ESCAPE:
                sent += key
        return bytes(sent), True


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _raw(fd: int) -> Iterator[bool]:
    # A terminal in raw mode, and back; whether `fd` is one.
    try:
        before = termios.tcgetattr(fd)
    except (termios.error, OSError, ValueError):
        yield False
        return

    def restore() -> None:
        with contextlib.suppress(termios.error, OSError):
            termios.tcsetattr(fd, termios.TCSADRAIN, before)

    with _restoring_signals(restore):
        try:
            tty.setraw(fd, termios.TCSADRAIN)
            yield True
        finally:
            restore()


@contextlib.contextmanager
def _restoring_signals(restore: Callable[[], None]) -> Iterator[None]:
    # A signal that would end the process at once ends it after `restore`; handlers of the caller
    # stay as they are (they raise, or return). Only the main thread may do this, or needs to.
    def handler(number: int, _frame: FrameType | None) -> None:
        restore()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    changed: list[signal.Signals] = []
    try:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            if signal.getsignal(number) is signal.SIG_DFL:
                with contextlib.suppress(ValueError):  # not the main thread
                    signal.signal(number, handler)
                    changed.append(number)
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)
