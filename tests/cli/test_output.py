"""Escaping (the XSA-198 class) and streams that break."""

from __future__ import annotations

import errno
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.values import EVIL
from hvmlite.cli import _output
from hvmlite.cli._output import escape


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("Grüße ✓ 漢字", "Grüße ✓ 漢字"),
        (EVIL, r"evil\x1b]0;owned\x07\x0aname\u202e\xff\x9b\x7f"),
        (b"\x1b[2J\xffa\xc3\xa4\0", r"\x1b[2J\xffaä\x00"),
        ("\u2028\u200b\U000e0041", r"\u2028\u200b\U000e0041"),
        ("\ud800", r"\ud800"),
        ("", ""),
    ],
)
def test_escape(text, shown):
    assert escape(text) == shown


@given(st.text() | st.binary())
def test_nothing_dangerous_survives(text):
    shown = escape(text)
    assert {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp", "Cn"} == set()
    assert len(shown.splitlines()) <= 1
    assert escape(shown) == shown


class Broken:
    """A stream whose descriptor nobody reads, or that is full."""

    def __init__(self, number, fd):
        self.number, self.fd = number, fd

    def write(self, text):
        raise OSError(self.number, os.strerror(self.number))

    def flush(self):
        raise AssertionError("write has failed")

    def fileno(self):
        return self.fd


def test_a_reader_that_has_gone_is_no_error(monkeypatch, tmp_path):
    with (tmp_path / "out").open("w") as file:
        monkeypatch.setattr("sys.stdout", Broken(errno.EPIPE, file.fileno()))
        assert _output.write("text") == 0
        # so that Python's own flush at the end is silent
        assert os.fstat(file.fileno()).st_rdev == Path(os.devnull).stat().st_rdev


def test_a_full_disk_is_an_error(monkeypatch, tmp_path):
    with (tmp_path / "out").open("w") as file:
        monkeypatch.setattr("sys.stdout", Broken(errno.ENOSPC, file.fileno()))
        with pytest.raises(OSError, match="No space left") as caught:
            _output.write("text")
    assert caught.value.filename == "stdout"


def test_closed_streams_are_left_alone(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    _output.prepare()
    assert _output.write("text") == 0
    _output.complain("text")
    assert not _output.is_terminal(None)


def test_complaining_to_a_broken_stderr_is_silent(monkeypatch, tmp_path):
    with (tmp_path / "err").open("w") as file:
        monkeypatch.setattr("sys.stderr", Broken(errno.EPIPE, file.fileno()))
        _output.complain("text")
        assert os.fstat(file.fileno()).st_rdev == Path(os.devnull).stat().st_rdev
