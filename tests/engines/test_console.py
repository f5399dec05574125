"""The console's stream without an engine."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmlite.engines import Console


def console(taken=lambda: None) -> Console:
    return Console(time.monotonic(), lambda data: None, taken)


def test_expect_takes_up_to_the_match():
    stream = console()
    stream.feed(b"login: root\r\n")
    assert stream.expect("log(in)")[1] == b"in"
    assert stream.read() == b": root\r\n"


@given(parts=st.lists(st.binary(max_size=5), max_size=20))
def test_expect_finds_what_comes_in_parts(parts):
    stream = console()
    thread = threading.Thread(target=lambda: [stream.feed(p) for p in (*parts, b"<", b"end>")])
    thread.start()
    stream.expect(b"<end>", 10)
    thread.join()


def test_expect_times_out():
    with pytest.raises(TimeoutError):
        console().expect("never", 0.01)


def test_expect_at_the_end():
    stream = console()
    stream.feed(b"almost")
    stream.end()
    with pytest.raises(EOFError):
        stream.expect("never", 10)
    assert stream.read() == b"almost"
    assert stream.read() == b""


def test_iteration_ends_with_the_guest():
    stream = console()
    stream.feed(b"a")
    stream.end()
    assert list(stream) == [b"a"]


def test_a_match_across_the_search_window():
    stream = console()
    stream.feed(b"x" * 100_000 + b"st")
    with pytest.raises(TimeoutError):
        stream.expect("start", 0)
    stream.feed(b"art")
    stream.expect("start", 1)


def test_what_nobody_reads_is_bounded():
    stream = console()
    block = bytes(1 << 20)
    for _ in range(20):
        stream.feed(block)
    assert stream.lost == 12 << 20
    assert len(stream.read()) == 8 << 20
    assert sum(len(chunk.data) for chunk in stream.chunks) <= 8 << 20


def test_small_chunks_are_bounded_too():
    stream = console()
    for _ in range(100_000):
        stream.feed(b"x")
    assert len(stream.chunks) < 70_000
    assert len(stream.read()) == 100_000


def test_a_lossless_console_is_full_until_it_is_read():
    woken = []
    stream = console(lambda: woken.append(1))
    stream.lossless = True
    stream.feed(bytes(2 << 20))
    assert stream.full
    assert len(stream.read()) == 2 << 20
    assert not stream.full
    assert woken == [1]
    assert stream.lost == 0


def test_times_count_from_the_start():
    stream = Console(time.monotonic() - 5, lambda data: None, lambda: None)
    stream.feed(b"x")
    assert 5 <= stream.chunks[0].time < 6


def test_text_of_bytes_that_are_none():
    stream = console()
    stream.feed(b"\xff ok")
    assert stream.text() == "\N{REPLACEMENT CHARACTER} ok"
