"""From a verb's end to the exit status and the one line, for people and for programs."""

from __future__ import annotations

import json
import signal
import sys
import types
from pathlib import Path

import pytest

from cli.json_tables import complaints
from cli.values import EVIL
from hvmlite import errors
from hvmlite.cli import _execute
from hvmlite.cli._answer import SCHEMA, Answer

SHOWN = r"evil\x1b]0;owned\x07\x0aname\u202e\xff\x9b\x7f"


@pytest.fixture
def verb(monkeypatch):
    """Returns a function that runs a verb, whose end is what the function `end` does."""

    def run(end, *arguments):
        module = types.ModuleType("verb_for_tests")
        module.__doc__ = "A verb."
        module.add_arguments = lambda parser: parser.set_defaults(extra=())
        module.run = end
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return _execute.execute("verb", module.__name__, list(arguments))

    return run


def raising(error):
    def end(args):
        raise error

    return end


ENDS = [
    (errors.FormatError("bad", source="k", offset=64), 4, "FormatError", "k+0x40: bad", None),
    (errors.LimitError("full", limit="output", allowed=9, hint="try --max-unpacked"), 4,
     "LimitError", "full", "try --max-unpacked"),
    (errors.EngineUnavailable("no qemu", engine="qemu", hint="apt install it"), 3,
     "EngineUnavailable", "no qemu", "apt install it"),
    (errors.EngineLost("qemu: died", engine="qemu"), 4, "EngineLost", "qemu: died", None),
    (errors.RequestError(EVIL, field="x", hint=EVIL), 4, "RequestError", SHOWN, SHOWN),
    (FileNotFoundError(2, "No such file or directory", f"/{EVIL}"), 4, "FileNotFoundError",
     f"/{SHOWN}: no such file or directory", None),
    (OSError("odd"), 4, "OSError", "oserror", None),
    (MemoryError(), 4, "MemoryError", "out of memory", None),
]  # fmt: skip


@pytest.mark.parametrize(("error", "status", "kind", "message", "hint"), ENDS)
def test_an_error_is_one_line_and_a_hint(verb, capsys, error, status, kind, message, hint):
    assert verb(raising(error)) == status
    out, err = capsys.readouterr()
    hints = [f"hvmlite: hint: {hint}"] if hint else []
    assert (out, err.splitlines()) == ("", [f"hvmlite: error: {message}", *hints])

    assert verb(raising(error), "--json") == status
    document = json.loads(capsys.readouterr().out)
    assert document == {"schema": SCHEMA, "error": {"kind": kind, "message": message, "hint": hint}}
    assert complaints(document, "Errors") == []


def test_a_traceback_only_with_debug_and_escaped(verb, capsys):
    assert verb(raising(errors.RequestError(EVIL, field="x")), "--debug") == 4
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.endswith(f"hvmlite: error: {SHOWN}\n")
    assert "\x1b" not in err
    assert "\x07" not in err


def test_a_bug_is_shown_as_one(verb, capsys):
    assert verb(raising(KeyError("x"))) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("hvmlite: error: bug in hvmlite: KeyError in cli/_execute.py:")
    assert error.endswith(": 'x'")
    assert hint == "hvmlite: hint: please report it, with what the same command prints with --debug"
    assert verb(raising(KeyError("x")), "--json") == 1
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "Bug"


@pytest.mark.parametrize(
    ("number", "status", "line"),
    [
        (signal.SIGINT, 130, "hvmlite: interrupted"),
        (signal.SIGTERM, 143, "hvmlite: ended by SIGTERM"),
    ],
)
def test_a_signal_is_one_clean_line(verb, capsys, number, status, line):
    assert verb(lambda args: signal.raise_signal(number)) == status
    assert capsys.readouterr() == ("", f"{line}\n")
    assert verb(lambda args: signal.raise_signal(number), "--json") == status
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "Interrupted"


def answering(status=0):
    return lambda args: Answer(lambda: {"a": "\x7fä\x1b"}, lambda style: ["one", "two"], status)


def test_an_answer_for_people_and_for_programs(verb, capsys):
    assert verb(answering(5)) == 5
    assert capsys.readouterr() == ("one\ntwo\n", "")
    assert verb(answering(5), "--json") == 5
    out, err = capsys.readouterr()
    assert json.loads(out) == {"schema": SCHEMA, "a": "\x7fä\x1b"}
    assert out.isascii()
    assert err == ""
    assert "\x7f" not in out
    assert "\x1b" not in out


def test_what_follows_two_dashes_is_the_engines(verb, capsys):
    seen = []
    verb(lambda args: seen.append(args.extra) or answering()(args), "--", "-S", "--", "--json")
    assert seen == [("-S", "--", "--json")]
    assert capsys.readouterr().out == "one\ntwo\n"  # that --json was not ours


def test_a_full_stdout_is_an_error(verb, capfd, monkeypatch):
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        assert verb(answering()) == 4
    assert capfd.readouterr().err == "hvmlite: error: stdout: no space left on device\n"
