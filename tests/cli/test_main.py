"""``hvmlite`` itself: verbs, help, versions, what a start costs, ``python -m hvmlite``."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hvmlite
from hvmlite import cli

# What no start needs, and what no `VERB --help` needs either.
HEAVY = {"subprocess", "zstandard", "lz4", "lzma", "bz2", "ssl", "hashlib", "json", "mmap",
         "shutil", "tempfile", "typing_extensions", "asyncio", "logging"}  # fmt: skip
LEAN = HEAVY | {"argparse", "dataclasses", "inspect", "re", "enum", "signal", "threading", "typing"}


def hvmlite_process(*arguments, **keywords):
    keywords.setdefault("timeout", 60)
    command = [sys.executable, "-m", "hvmlite", *arguments]
    return subprocess.run(command, check=False, capture_output=True, **keywords)


def test_help_names_every_verb_with_its_line(capsys):
    assert cli.main(["--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for name, text, _ in cli.VERBS:
        assert re.search(rf"^  {name} +{re.escape(text)}$", out, re.MULTILINE)


@pytest.mark.parametrize(("name", "module"), [(name, module) for name, _, module in cli.VERBS])
def test_a_verb_is_a_module_of_its_name(name, module):
    assert module == f"hvmlite.cli.{name}"
    verb = importlib.import_module(module)
    assert callable(verb.add_arguments)
    assert callable(verb.run)


def test_every_public_module_is_a_verb_with_a_view():
    folder = Path(cli.__file__).parent
    names = {name for name, _, _ in cli.VERBS}
    assert {path.stem for path in folder.glob("[!_]*.py")} == names
    assert {path.stem for path in (folder / "render").glob("[!_]*.py")} == names


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"hvmlite {hvmlite.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], "no verb given"),
        (["boot"], "'boot' is no verb"),
        (["\x1b[2J"], r"'\x1b[2J' is no verb"),
    ],
)
def test_no_verb_is_wrong_usage(capsys, arguments, found):
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    last = err.splitlines()[-1]
    assert (
        last == f"hvmlite: error: {found}, needed one of run, plan, inspect, matrix, wrap, engines"
    )
    assert "\x1b" not in err


def test_python_m_is_the_command():
    result = hvmlite_process("--version")
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.decode() == f"hvmlite {hvmlite.__version__}\n"


def imported_by(*arguments):
    code = (
        f"import sys; from hvmlite.cli import main; main({list(arguments)!r}); print(*sys.modules)"
    )
    # -S: an editable install's .pth files import things that are not ours to judge
    result = subprocess.run(
        [sys.executable, "-S", "-c", code],
        check=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(hvmlite.__file__).parent.parent)},
    )  # fmt: skip
    return set(result.stdout.splitlines()[-1].split())


def test_help_imports_no_verb_and_nothing_costly():
    modules = imported_by("--help")
    assert modules & LEAN == set()
    ours = {name for name in modules if name.startswith("hvmlite")}
    assert ours == {"hvmlite", "hvmlite.cli", "hvmlite.cli._output"}


@pytest.mark.parametrize("verb", [name for name, _, _ in cli.VERBS])
def test_a_verbs_help_imports_that_verb_and_no_room(verb):
    modules = imported_by(verb, "--help")
    assert modules & HEAVY == set()
    others = {module for name, _, module in cli.VERBS if name != verb}
    rooms = {
        f"hvmlite.{room}" for room in ("boot", "images", "protocols", "engines", "guest", "model")
    }
    assert modules & (others | rooms) == set()
    assert f"hvmlite.cli.{verb}" in modules


@pytest.mark.parametrize("verb", [name for name, _, _ in cli.VERBS])
def test_every_verb_has_help_json_and_debug(verb, capsys):
    assert cli.main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: hvmlite {verb} ")
    for option in ("--json", "--debug", "--help"):
        assert option in out


def test_help_says_what_linux_gets_as_command_line(capsys):
    cli.main(["run", "--help"])
    assert "default: 'console=ttyS0' for Linux" in " ".join(capsys.readouterr().out.split())
