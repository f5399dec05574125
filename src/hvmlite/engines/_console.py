"""The guest's console: what it wrote, when, and a way to answer."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from hvmlite.model import ConsoleChunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Console"]

_KEPT = 8 << 20
"""How many bytes are kept for `chunks`, and how many of the unread ones; the oldest go first."""
_OVERHEAD = 128  # what a chunk costs besides its bytes
_BACKLOG = 1 << 20
_WINDOW = 64 << 10


class Console:
    """The stream from and to the guest's first serial port; safe to use from any thread.

    :meth:`read`, iteration and :meth:`expect` share one place in the stream: what one has taken,
    the others do not see again. What nobody takes does not stop the guest, and of an output without
    end only the last 8 MiB are kept, unless somebody iterates or :attr:`lossless` is set: then the
    guest waits for its reader, as it would at a slow terminal.

    :param started: the :func:`time.monotonic` that times count from
    :param send: takes bytes for the guest
    :param taken: called when a full console (see :attr:`full`) has been read
    """

    def __init__(
        self, started: float, send: Callable[[bytes], None], taken: Callable[[], None]
    ) -> None:
        self.lossless = False
        self.lost = 0
        """Bytes that were dropped before they were read."""
        self._started = started
        self._send = send
        self._changed = threading.Condition()
        self._chunks: deque[ConsoleChunk] = deque()
        self._kept = 0
        self._unread = bytearray()
        self._searched = 0  # of the unread bytes, by an expect that goes on
        self._ended = False
        self._listener: Callable[[], None] | None = None
        self._taken = taken

    @property
    def chunks(self) -> list[ConsoleChunk]:
        """What the guest has written, with the times of its arrival; the last 8 MiB."""
        with self._changed:
            return list(self._chunks)

    @property
    def ended(self) -> bool:
        """Whether nothing more can come."""
        return self._ended

    def text(self) -> str:
        """Return what the guest has written so far as text (the last 8 MiB)."""
        return b"".join(chunk.data for chunk in self.chunks).decode(errors="replace")

    def read(self, timeout: float | None = None) -> bytes:
        """Return all that came and was not taken yet, after waiting for some; b"" at the end.

        :raises TimeoutError: nothing came in `timeout` seconds
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._unread or self._ended, timeout):
                raise TimeoutError(f"console: nothing came in {timeout} s")
            return self._take(len(self._unread))

    def __iter__(self) -> Iterator[bytes]:
        self.lossless = True
        while data := self.read():
            yield data

    def expect(self, pattern: str | bytes, timeout: float | None = None) -> re.Match[bytes]:
        """Wait until the regular expression `pattern` matches, and take everything up to its end.

        A match may be up to 64 KiB long.

        :raises TimeoutError: it did not match in `timeout` seconds
        :raises EOFError: the guest ended without a match
        """
        wanted = re.compile(pattern.encode() if isinstance(pattern, str) else pattern)
        end = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            self._searched = 0
            while True:
                size = len(self._unread)
                start = max(0, self._searched - _WINDOW)
                if match := wanted.search(bytes(memoryview(self._unread)[start:])):
                    self._take(start + match.end())
                    return match
                if self._ended:
                    raise EOFError(f"console: the guest ended without {pattern!r}")
                self._searched = size
                left = None if end is None else end - time.monotonic()
                if (left is not None and left <= 0) or not self._changed.wait(left):
                    raise TimeoutError(f"console: {pattern!r} did not come in {timeout} s")

    def write(self, data: bytes) -> None:
        """Send `data` to the guest as if it were typed.

        :raises EngineError: the guest has not read the last mebibyte yet
        """
        self._send(data)

    def listen(self, listener: Callable[[], None] | None) -> None:
        """Call `listener`, in the engine's thread, when there is something to read or an end.

        It is called with a lock held and must not wait; once this returns, the one before is not
        called any more.
        """
        with self._changed:
            self._listener = listener

    # What follows is for the engine.

    @property
    def full(self) -> bool:
        """Whether the guest has to wait for its reader."""
        return self.lossless and len(self._unread) >= _BACKLOG

    def feed(self, data: bytes) -> None:
        """Add bytes that the guest wrote."""
        chunk = ConsoleChunk(time.monotonic() - self._started, data)
        with self._changed:
            self._chunks.append(chunk)
            self._kept += len(data) + _OVERHEAD
            while self._kept > _KEPT and len(self._chunks) > 1:
                self._kept -= len(self._chunks.popleft().data) + _OVERHEAD
            self._unread += data
            if not self.lossless and len(self._unread) > _KEPT:
                self.lost += len(self._take(len(self._unread) - _KEPT))
            self._notify()

    def end(self) -> None:
        """Note that nothing more will come."""
        with self._changed:
            self._ended = True
            self._notify()

    def _notify(self) -> None:
        self._changed.notify_all()
        if listener := self._listener:
            listener()

    def _take(self, size: int) -> bytes:
        was_full = self.full
        data = bytes(memoryview(self._unread)[:size])
        del self._unread[:size]
        if was_full and not self.full:
            self._taken()
        self._searched = max(0, self._searched - size)
        return data
