# A process for each cell, so many at a time. A guest is not touched by the one before it, and a
# worker that dies takes nothing with it but its own answer.
from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from hvmlite.errors import EngineError
from hvmlite.matrix._job import Ran
from hvmlite.matrix.result import Trouble

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from hvmlite.matrix._job import Job

__all__ = ["run"]

# As multiprocessing does for its own: the child finds the modules where this process found them.
_CODE = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from hvmlite.matrix._worker import main; main(int(sys.argv[1]))"
)
_PATIENCE = 120.0
"""Seconds beyond a guest's own time that a worker has for preparing and for cleaning up."""
_GRACE = 5.0
_LONGEST_WAIT = 3600.0  # epoll takes no more than 2^31 milliseconds
_LONGEST = 64 << 20  # bytes of an answer


def run(jobs: Sequence[tuple[Job, Sequence[int]]], at_once: int) -> Generator[tuple[int, Ran]]:
    # Runs the jobs, each with the descriptors that its worker inherits, and yields the answers with
    # the number of their job as they come. Closing the iterator ends all workers and their guests.
    waiting = list(enumerate(jobs))[::-1]
    running: dict[int, _Worker] = {}
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    number, (job, descriptors) = waiting.pop()
                    running[number] = worker = _Worker(job, descriptors)
                    selector.register(worker.pidfd, selectors.EVENT_READ, number)
                for number in _done(selector, running):
                    worker = running[number]
                    selector.unregister(worker.pidfd)
                    answer = worker.answer()
                    del running[number]
                    worker.close()
                    yield number, answer
        finally:
            for worker in running.values():  # all at the same time
                worker.terminate()
            for worker in running.values():
                worker.close()


def _done(selector: selectors.BaseSelector, running: dict[int, _Worker]) -> list[int]:
    # Waits for workers that have ended, and for those that should have by now.
    left = min(worker.deadline for worker in running.values()) - time.monotonic()
    ended = {key.data for key, _ in selector.select(min(max(0.0, left), _LONGEST_WAIT))}
    now = time.monotonic()
    return [n for n, worker in running.items() if n in ended or worker.deadline <= now]


class _Worker:
    def __init__(self, job: Job, descriptors: Sequence[int]) -> None:
        self.deadline = time.monotonic() + job.timeout + _PATIENCE
        with contextlib.ExitStack() as stack:
            try:
                self._answer = _memory("hvmlite answer", stack)
                self._said = _memory("hvmlite worker's stderr", stack)
                self._popen = subprocess.Popen(
                    [sys.executable, "-c", _CODE, str(self._answer), *sys.path],
                    stdin=subprocess.PIPE,
                    stdout=self._said,
                    stderr=self._said,
                    pass_fds=(self._answer, *descriptors),
                    process_group=0,  # Ctrl-C is for us
                )
                self.pidfd = os.pidfd_open(self._popen.pid)
            except OSError as cause:
                reason = (cause.strerror or str(cause)).lower()
                raise EngineError(
                    f"worker: cannot be started: {reason}", engine=job.engine
                ) from cause
            self._open = stack.pop_all()
        assert self._popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # died already, which the answer will tell
            pickle.dump(job, self._popen.stdin)
            self._popen.stdin.flush()

    def answer(self) -> Ran:
        # What it wrote; if that is nothing whole, how it died. One that still runs is late.
        status = self._popen.poll()
        if status is None:
            self.terminate()
            return _lost("worker: no answer in time, it was ended")
        data = os.pread(self._answer, min(os.fstat(self._answer).st_size, _LONGEST), 0)
        if status == 0 and data:
            answer = pickle.loads(data)  # our own program's; the guest's words are texts in it
            assert isinstance(answer, Ran)
            return answer
        how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
        said = os.pread(self._said, 4096, max(0, os.fstat(self._said).st_size - 4096))
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        return _lost(f"worker: {how}, an answer needed" + (f": {last}" if last else ""))

    def terminate(self) -> None:
        # SIGTERM lets it end its guest, which ends with it in any case.
        if self._popen.poll() is None:
            self._popen.terminate()

    def close(self) -> None:
        try:
            self._popen.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        assert self._popen.stdin is not None
        with contextlib.suppress(OSError):
            self._popen.stdin.close()
        os.close(self.pidfd)
        self._open.close()


def _memory(name: str, stack: contextlib.ExitStack) -> int:
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    return fd


def _lost(message: str) -> Ran:
    return Ran(trouble=Trouble("WorkerLost", message))
