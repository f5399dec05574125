"""Signals as one exception, whose second one does not disturb the clean-up."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from hvmlite.cli._signals import Stop, stops


@pytest.mark.parametrize(
    ("number", "status", "text"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "ended by SIGTERM"),
        (signal.SIGHUP, 129, "ended by SIGHUP"),
    ],
)
def test_a_signal_becomes_stop(number, status, text):
    before = signal.getsignal(number)
    with pytest.raises(Stop) as caught, stops():
        signal.raise_signal(number)
    assert (caught.value.status, caught.value.text) == (status, text)
    assert signal.getsignal(number) is before


def test_a_second_signal_does_not_disturb_the_clean_up():
    cleaned = []

    def work():
        with stops():
            try:
                signal.raise_signal(signal.SIGINT)
            finally:
                signal.raise_signal(signal.SIGINT)
                os.kill(os.getpid(), signal.SIGTERM)
                cleaned.append(True)

    with pytest.raises(Stop) as caught:
        work()
    assert caught.value.number == signal.SIGINT
    assert cleaned


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stops():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_leave_signals_alone():
    seen = []

    def work():
        with stops():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
