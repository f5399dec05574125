"""Which terminal gets colours and line drawing."""

from __future__ import annotations

import os
import pty

import pytest

from hvmlite.cli._style import Style

UTF8 = {"LANG": "de_DE.UTF-8", "TERM": "xterm"}


@pytest.fixture
def terminal():
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        yield stream
    os.close(master)


@pytest.mark.parametrize(
    ("environ", "colour"),
    [
        (UTF8, True),
        (UTF8 | {"NO_COLOR": ""}, True),  # no-color.org: only when not empty
        (UTF8 | {"NO_COLOR": "1"}, False),
        (UTF8 | {"TERM": "dumb"}, False),
        ({}, False),
    ],
)
def test_colour_on_terminals_that_have_it(terminal, environ, colour):
    style = Style.of(terminal, environ)
    assert style.colour is colour
    assert style.paint("text", "bold", "red") == ("\x1b[1;31mtext\x1b[0m" if colour else "text")


def test_never_colour_in_a_file(tmp_path):
    with (tmp_path / "out").open("w", encoding="utf-8") as file:
        style = Style.of(file, UTF8)
    assert (style.colour, style.unicode, style.width) == (False, True, 80)


@pytest.mark.parametrize(
    ("environ", "unicode"),
    [
        ({"LANG": "C.UTF-8"}, True),
        ({"LANG": "en_US.utf8"}, True),
        ({"LANG": "de_DE.UTF-8@euro"}, True),
        ({"LANG": "de_DE.ISO-8859-1"}, False),
        ({"LANG": "C.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "C.UTF-8", "LC_ALL": "", "LC_CTYPE": "POSIX"}, False),
        ({"LANG": "C", "LC_ALL": "fr_FR.UTF-8"}, True),
        ({"LC_CTYPE": "C.UTF-8"}, False),  # Python's own doing (PEP 538)
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),
        ({}, False),
    ],
)
def test_line_drawing_needs_a_utf8_locale(terminal, environ, unicode):
    assert Style.of(terminal, environ).unicode is unicode


def test_line_drawing_needs_a_utf8_stream(tmp_path):
    with (tmp_path / "out").open("w", encoding="latin-1") as file:
        assert not Style.of(file, UTF8).unicode


def test_a_closed_stdout_has_a_style():
    assert Style.of(None, UTF8) == Style(False, False, 80)
