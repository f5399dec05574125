"""A sign of life, after a second and on terminals only."""

from __future__ import annotations

import os
import pty
import re
import time

from hvmlite.cli._progress import progress


def seen_on_a_terminal(monkeypatch, seconds, what="preparing \x1b[2J", **keywords):
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        with progress(what, **keywords):
            time.sleep(seconds)
        stream.write("|")
        stream.flush()
        text = b""
        while not text.endswith(b"|"):
            text += os.read(master, 4096)
    os.close(master)
    return text.decode()


def test_long_work_is_shown_and_wiped_away(monkeypatch):
    text = seen_on_a_terminal(monkeypatch, 1.2)
    line = r"\r\x1b\[Khvmlite: preparing \\x1b\[2J, [1-9] s"  # again each half second
    assert re.fullmatch(rf"({line})+\r\x1b\[K\|", text)


def test_the_words_may_change_meanwhile(monkeypatch):
    words = iter(["3 to go", "2 to go\n"])
    text = seen_on_a_terminal(monkeypatch, 1.7, lambda: next(words, "done"))
    shown = re.findall(r"hvmlite: (.*?), \d s", text)
    assert shown[:2] == ["3 to go", r"2 to go\x0a"]


def test_short_work_is_not(monkeypatch):
    assert seen_on_a_terminal(monkeypatch, 0.05) == "|"


def test_quiet_is_quiet(monkeypatch):
    assert seen_on_a_terminal(monkeypatch, 1.2, quiet=True) == "|"


def test_nothing_goes_into_a_file(monkeypatch, tmp_path):
    with (tmp_path / "err").open("w+") as file:
        monkeypatch.setattr("sys.stderr", file)
        with progress("preparing"):
            time.sleep(1.2)
        file.seek(0)
        assert file.read() == ""
