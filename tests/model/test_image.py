"""A payload is unpacked once, whoever asks, and its error is everybody's."""

from __future__ import annotations

import threading

import pytest

from hvmlite.errors import FormatError
from hvmlite.model import Image, Payload


def test_threads_wait_for_one_unpacking():
    begun, go, calls = threading.Event(), threading.Event(), []

    def unpack():
        calls.append(threading.current_thread().name)
        begun.set()
        assert go.wait(10)
        return Image("elf", "inner", memoryview(b""))

    payload = Payload("zstd", 0, 0, "header", unpack)
    assert not payload.asked
    found = []
    threads = [threading.Thread(target=lambda: found.append(payload.image)) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    assert payload.asked
    go.set()
    for thread in threads:
        thread.join(10)
    assert len(calls) == 1
    assert len(found) == 4
    assert all(image is found[0] for image in found)


def test_an_error_is_kept():
    calls = []

    def unpack():
        calls.append(1)
        raise FormatError("broken", source="payload")

    payload = Payload("xz", 0, 0, "header", unpack)
    for _ in range(2):
        with pytest.raises(FormatError, match="broken"):
            _ = payload.image
    assert calls == [1]
