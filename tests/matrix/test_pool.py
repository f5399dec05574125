"""Workers: in parallel, dying, hanging, interrupted; nothing is left behind and nothing hangs."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from hvmlite.errors import EngineError, RequestError
from hvmlite.matrix import Verdict, _pool, run_matrix
from matrix.guests import HANG, descendants, gone, guest, leave, say

pytestmark = pytest.mark.boot
ONE_DOOR = {"memory": 16 << 20, "protocols": ["pvh"]}


def hung(count, seconds=60):
    """Wait for so many guests; returns the pids of (workers, engines)."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        # hvmlite asks QEMU for its version, too, but not from a worker.
        found = {pid: descendants(pid) for pid in descendants(os.getpid())}
        found = {pid: below for pid, below in found.items() if any(map(executes_qemu, below))}
        if len(found) == count:
            return list(found), [pid for below in found.values() for pid in below]
        time.sleep(0.02)
    raise AssertionError(f"{found} are there, {count} needed")


def executes_qemu(pid):
    try:
        return "qemu" in Path(f"/proc/{pid}/exe").readlink().name
    except OSError:
        return False


def vanish(pids, seconds=20):
    end = time.monotonic() + seconds
    while not all(map(gone, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    return all(map(gone, pids))


def in_background(images, **keywords):
    """run_matrix by one door in a thread, its result in a list."""
    result = []

    def work():
        result.append(run_matrix(images, **ONE_DOOR, **keywords))

    thread = threading.Thread(target=work)
    thread.start()
    return thread, result


def test_two_run_at_a_time(tmp_path):
    images = [guest(tmp_path / name, HANG) for name in "abc"]
    thread, result = in_background(images, jobs=2, timeout=3)
    workers, engines = hung(2)
    thread.join(60)
    assert [cell.verdict for cell in result[0].cells] == [Verdict.NO_ANSWER] * 3
    assert vanish([*workers, *engines])


def test_a_worker_that_dies_is_a_result_of_its_own(tmp_path):
    images = [guest(tmp_path / "hangs", HANG), guest(tmp_path / "fine", say(b"hi") + leave(0))]
    thread, result = in_background(images, jobs=1, timeout=60)
    (worker,), engines = hung(1)
    os.kill(worker, signal.SIGKILL)
    thread.join(60)
    lost, fine = result[0].cells
    assert (lost.verdict, lost.outcome) == (Verdict.ERROR, None)
    assert lost.trouble.kind == "WorkerLost"
    assert lost.trouble.message == "worker: killed by signal 9, an answer needed"
    assert fine.verdict is Verdict.PASSED
    assert vanish([worker, *engines])


def test_an_engine_that_dies_is_a_result_too(tmp_path):
    thread, result = in_background([guest(tmp_path / "hangs", say(b"Hello") + HANG)], timeout=60)
    _, (engine,) = hung(1)
    time.sleep(0.5)  # it speaks
    os.kill(engine, signal.SIGKILL)
    thread.join(60)
    (cell,) = result[0].cells
    assert cell.trouble.kind == "EngineLost"
    assert cell.console == b"Hello"


def test_a_worker_that_does_not_answer_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(_pool, "_PATIENCE", -1.0)
    (cell,) = run_matrix([guest(tmp_path / "hangs", HANG)], **ONE_DOOR, timeout=3).cells
    assert cell.trouble.message == "worker: no answer in time, it was ended"
    assert vanish(descendants(os.getpid()))


def test_a_worker_that_cannot_start_tells_why(tmp_path, monkeypatch):
    monkeypatch.setattr(_pool, "_CODE", "raise SystemError('no memory for it')")
    (cell,) = run_matrix([guest(tmp_path / "fine", leave(0))], **ONE_DOOR).cells
    assert cell.trouble.message == (
        "worker: exit status 1, an answer needed: SystemError: no memory for it"
    )


def test_workers_that_cannot_be_started_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", "/nonexistent")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(EngineError, match="worker: cannot be started: no such file or directory"):
        run_matrix([guest(tmp_path / "fine", leave(0))], **ONE_DOOR)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_an_interrupt_in_the_callers_code_ends_all(tmp_path):
    images = [guest(tmp_path / "fine", leave(0)), *(guest(tmp_path / n, HANG) for n in "ab")]
    seen = []

    def interrupt(*_):
        seen.extend(hung(2))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_matrix(images, **ONE_DOOR, jobs=3, on_cell=interrupt)
    workers, engines = seen
    assert all(map(gone, workers))
    assert vanish(engines)


def test_closing_before_the_first_answer_starts_nothing():
    with closing(_pool.run([(None, ())], 1)):
        pass
    assert descendants(os.getpid()) == []


def test_wrong_requests_are_raised(tmp_path):
    image = guest(tmp_path / "fine", leave(0))
    for keywords, field in (
        ({"protocols": ["pvh", "pvg"]}, "protocol"),
        ({"engines": ["record"]}, "engine"),
        ({"engines": ["bochs"]}, "engine"),
        ({"expect": "("}, "expect"),
        ({"jobs": 0}, "jobs"),
        ({"jobs": -1}, "jobs"),
        ({"timeout": 0.0}, "timeout"),
        ({"timeout": math.nan}, "timeout"),
    ):
        with pytest.raises(RequestError) as caught:
            run_matrix([image], **keywords)
        assert caught.value.field == field
