"""A running QEMU: one thread moves the console's bytes and listens for the end."""

from __future__ import annotations

import os
import selectors
import threading
import time
from typing import TYPE_CHECKING

from hvmlite.engines._console import Console
from hvmlite.engines._process import drain
from hvmlite.engines._qmp import Qmp
from hvmlite.engines._session import WatchedSession
from hvmlite.engines._verdict import Verdict
from hvmlite.errors import EngineError
from hvmlite.model import Ending, Outcome

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from hvmlite.engines._process import Process

__all__ = ["QemuSession"]

_NAP = 0.002  # QEMU writes one character at a time; so many of them are read together
_GRACE = 2.0
_UNREAD_INPUT = 1 << 20


class QemuSession(WatchedSession):
    """Implements :class:`hvmlite.engines.Session`; it owns, and closes, all that it is given.

    :param process: QEMU, started with its processors stopped
    :param qmp: our end of the machine protocol's socket
    :param log: the read end of the pipe that QEMU logs to
    """

    def __init__(
        self, process: Process, qmp: socket.socket, log: int, accelerator: str, exec_time: float
    ) -> None:
        self.start_time = exec_time  # until resume() knows better
        self.console = Console(exec_time, self._send, self._notify)
        self._process, self._socket, self._log = process, qmp, log
        self._qmp = Qmp(qmp.fileno())
        self._verdict = Verdict(accelerator)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        self._input = bytearray()
        self._deadline: float | None = None  # when QEMU is killed
        self._ready = threading.Event()  # QEMU has made the machine
        self._resumed = threading.Event()
        self._finished = threading.Event()
        self._result: Outcome | EngineError | None = None
        self._closed = False
        self._dry: set[int] = set()  # descriptors that nothing more will come from
        self._selector = selectors.DefaultSelector()
        for fd in (process.stdout, process.stderr, log, qmp.fileno(), process.pidfd, self._wake):
            self._selector.register(fd, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="qemu", daemon=True)
        self._thread.start()
        self._qmp.send("qmp_capabilities")

    def resume(self, *, paused: bool) -> None:
        """Start the guest's processors (or, `paused`, leave that to a debugger); return when done.

        :raises EngineError: QEMU refuses its command line, in its own words
        """
        if not paused:
            self._qmp.send("cont")
        (self._ready if paused else self._resumed).wait()
        if self._finished.is_set() and isinstance(self._result, EngineError):
            raise self._result
        self.start_time = time.monotonic()
        if paused:
            self._verdict.started()

    def stop(self, kind: Ending = Ending.INTERRUPTED) -> Outcome:
        """End the guest now; if it has ended by itself already, that outcome stands."""
        with self._lock:
            if self._verdict.stopped is None and not self._verdict.reason:
                self._verdict.stopped = kind
        self._quit()
        return self.wait()

    def close(self) -> None:
        """End QEMU, whatever its state, and give everything back; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._verdict.stopped = self._verdict.stopped or Ending.INTERRUPTED
        if not self._finished.is_set():
            self._process.kill()
        self._thread.join()
        self._selector.close()
        self._process.close()
        self._socket.close()
        os.close(self._log)
        os.close(self._wake)

    def _send(self, data: bytes) -> None:
        with self._lock:
            if len(self._input) + len(data) > _UNREAD_INPUT:
                raise EngineError("console: the guest does not read its input", engine="qemu")
            self._input += data
        self._notify()

    def _notify(self) -> None:
        if not self._closed:
            os.eventfd_write(self._wake, 1)

    def _quit(self) -> None:
        # Ask first, so that writable disks are flushed.
        self._deadline = time.monotonic() + _GRACE
        self._qmp.send("quit")
        self._notify()

    # What follows runs in the thread.

    def _run(self) -> None:
        status = -9
        try:
            while not self._turn():
                pass
            status = self._process.end()
            self._collect()
        finally:
            try:
                self._result = self._verdict.outcome(status)
            except EngineError as error:
                self._result = error
            self._finished.set()
            self._ready.set()
            self._resumed.set()
            self.console.end()

    def _turn(self) -> bool:
        # One round of waiting; True when QEMU has ended.
        timeout = None
        if self._deadline is not None:
            timeout = max(0.0, self._deadline - time.monotonic())
        self._watch()
        ready = {key.fd for key, _ in self._selector.select(timeout)}
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self._process.kill()
        if self._wake in ready:
            os.eventfd_read(self._wake)
        if self._process.stdin in ready:
            self._type()
        if self._log in ready:
            self._read(self._log, self._verdict.log)
        if self._process.stderr in ready:
            self._read(self._process.stderr, self._verdict.error)
        if self._socket.fileno() in ready:
            self._read(self._socket.fileno(), self._events)
        if self._process.pidfd in ready:
            return True
        if self._process.stdout in ready:
            self._read(self._process.stdout, self.console.feed)
            time.sleep(_NAP)
        return False

    def _watch(self) -> None:
        # Input only while there is some, output only while its reader keeps up.
        with self._lock:
            self._toggle(self._process.stdin, selectors.EVENT_WRITE, wanted=bool(self._input))
        full = self.console.full
        self._toggle(self._process.stdout, selectors.EVENT_READ, wanted=not full)

    def _toggle(self, fd: int, events: int, *, wanted: bool) -> None:
        watched = fd in self._selector.get_map()
        if wanted and not watched and fd not in self._dry:
            self._selector.register(fd, events)
        elif watched and not wanted:
            self._selector.unregister(fd)

    def _read(self, fd: int, sink: Callable[[bytes], None]) -> None:
        if not drain(fd, sink):
            self._dry.add(fd)
            self._selector.unregister(fd)

    def _type(self) -> None:
        with self._lock:
            try:
                del self._input[: os.write(self._process.stdin, self._input[:4096])]
            except BlockingIOError:
                return
            except OSError:
                self._input.clear()
                self._dry.add(self._process.stdin)

    def _events(self, data: bytes) -> None:
        for message in self._qmp.feed(data):
            match message:
                case {"event": "RESUME"}:
                    self._verdict.started()
                    self._resumed.set()
                case {"event": "SHUTDOWN", "data": {"reason": str(reason)}}:
                    self._shut_down(reason)
                case {"return": dict()}:
                    self._ready.set()
                case {"return": str(text)}:
                    self._verdict.registers = text
                    self._quit()

    def _shut_down(self, reason: str) -> None:
        with self._lock:
            if self._verdict.reason or self._verdict.stopped:
                return  # the answer to our own quit
            self._verdict.reason = reason
        drain(self._log, self._verdict.log)
        if self._verdict.triple_fault:
            self._deadline = time.monotonic() + _GRACE
            self._qmp.send("human-monitor-command", command_line="info registers")
        else:
            self._quit()

    def _collect(self) -> None:
        # What was written before the end is still in the pipes.
        drain(self._log, self._verdict.log)
        drain(self._process.stderr, self._verdict.error)
        drain(self._socket.fileno(), self._events)
        drain(self._process.stdout, self.console.feed, 1 << 30)
