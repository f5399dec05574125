"""An engine's program: no signal comes between its start and what ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from hvmlite.engines._process import Process


class Stop(Exception):
    """What a signal's handler raises."""


def test_a_signal_while_a_program_starts_leaves_no_program(monkeypatch):
    real, started = subprocess.Popen, []

    def popen(*arguments, **keywords):
        started.append(real(*arguments, **keywords))
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.2)  # the handler runs, if it may, before the caller has the program
        return started[0]

    def handle(_number, _frame):
        raise Stop

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        monkeypatch.setattr(subprocess, "Popen", popen)
        with pytest.raises(Stop):
            Process(["sleep", "60"], ())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert started[0].poll() == -signal.SIGKILL


def test_a_program_that_is_not_there_is_an_error_and_leaves_no_descriptor():
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - names are all that is wanted
    with pytest.raises(FileNotFoundError):
        Process(["/nonexistent"], ())
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208
