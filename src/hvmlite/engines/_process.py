"""An engine's program: started with what it needs and nothing else, gone when hvmlite is gone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Process", "anonymous_file", "inherited"]

_F_SETSIG = 10  # fcntl.h; the fcntl module lacks it
_GRACE = 2.0


def inherited(fd: int) -> str:
    """Return the path by which a program opens the inherited descriptor `fd`."""
    return f"/proc/self/fd/{fd}"


def anonymous_file(name: str, size: int) -> int:
    """Return the descriptor of a new sparse file of `size` zero bytes that is on no file system.

    It vanishes with its last user, however that one ends. /dev/shm is not involved.
    """
    fd = _not_standard(os.memfd_create(name, os.MFD_CLOEXEC))
    try:
        os.ftruncate(fd, size)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _not_standard(fd: int) -> int:
    # A daemon may have closed its standard streams: there the child's own would take its place.
    if fd > 2:
        return fd
    moved: int = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(fd)
    return moved


class Process:
    """A child process with pipes on its standard streams.

    It is killed when this process ends in whatever way. Not by PR_SET_PDEATHSIG, which would have
    to be set between fork and exec (where Python code must not run in a program with threads) and
    acts on the end of a thread: the child inherits the read end of a pipe whose only writer is
    this process, and the kernel sends the pipe's owner SIGKILL when the writer is gone.

    :param descriptors: further descriptors to inherit; they stay the caller's to close
    """

    def __init__(self, arguments: Sequence[str], descriptors: Sequence[int]) -> None:
        held, self._held = os.pipe()
        self._open = [self._held]
        failures: list[BaseException] = []
        started = threading.Event()

        def start() -> None:
            try:
                self._start(arguments, descriptors, held)
            except BaseException as failure:
                failures.append(failure)
            finally:
                started.set()

        # Signal handlers run in the main thread and may raise (Ctrl-C). In a thread of its own the
        # program cannot come to life without what ends it.
        try:
            threading.Thread(target=start, name="start", daemon=True).start()
            started.wait()
            if failures:
                raise failures[0]
        except BaseException:
            started.wait(_GRACE)
            self.close()
            raise
        finally:
            os.close(held)

    def _start(self, arguments: Sequence[str], descriptors: Sequence[int], held: int) -> None:
        self._popen = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=(*descriptors, held),
            process_group=0,  # Ctrl-C is for us, not for the engine
        )
        # Who sets the owner must be able to signal it: a set-uid program could not be.
        fcntl.fcntl(held, _F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(held, fcntl.F_SETOWN, self._popen.pid)
        fcntl.fcntl(held, fcntl.F_SETFL, fcntl.fcntl(held, fcntl.F_GETFL) | os.O_ASYNC)
        self.pidfd = os.pidfd_open(self._popen.pid)
        self._open.append(self.pidfd)
        streams = self._popen.stdin, self._popen.stdout, self._popen.stderr
        self.stdin, self.stdout, self.stderr = (s.fileno() for s in streams if s)
        for fd in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(fd, False)

    def status(self) -> int | None:
        """Return the exit status, negative for a signal; None while it runs."""
        return self._popen.poll()

    def end(self) -> int:
        """Let it end by itself for two seconds, then kill it; return its exit status."""
        try:
            return self._popen.wait(_GRACE)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """Kill it, and return its exit status."""
        self._popen.kill()
        return self._popen.wait()

    def close(self) -> None:
        """Kill it if it runs, and close our ends of its pipes; safe to call twice."""
        popen: subprocess.Popen[bytes] | None = getattr(self, "_popen", None)
        if popen is not None:
            self.kill()
            for stream in (popen.stdin, popen.stdout, popen.stderr):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
        while self._open:
            os.close(self._open.pop())


def drain(fd: int, sink: Callable[[bytes], None], limit: int = 1 << 20) -> bool:
    """Pass on what is in the non-blocking `fd`; return whether more may come later."""
    while limit > 0:
        try:
            data = os.read(fd, 1 << 16)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        sink(data)
        limit -= len(data)
    return True
