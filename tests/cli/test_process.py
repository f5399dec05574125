"""The real program: pipes, locales, terminals, files with evil names, Ctrl-C at any moment."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from cli.json_tables import complaints
from cli.values import EVIL
from hvmlite.cli._output import escape
from makers import elf

HVMLITE = [sys.executable, "-m", "hvmlite"]
LINE = re.compile(rb"hvmlite: (error|hint): [^\n]+\n")


def run(*arguments, **keywords):
    environ = {**os.environ, **keywords.pop("env", {})}
    return subprocess.run(
        [*HVMLITE, *arguments],
        check=False,
        capture_output=True,
        timeout=60,
        env=environ,
        **keywords,
    )


@pytest.fixture
def kernel(tmp_path):
    path = tmp_path / EVIL
    path.write_bytes(elf.pvh_kernel())
    return path


def test_inspect_a_file_with_an_evil_name(kernel):
    result = run("inspect", str(kernel))
    assert (result.returncode, result.stderr) == (0, b"")
    text = result.stdout.decode()
    assert text.startswith(f"{escape(str(kernel))}: elf, ")
    assert "ways in\n  pvh  " in text
    document = json.loads(run("inspect", "--json", str(kernel)).stdout)
    assert complaints(document, "inspect") == []
    assert document["image"] == escape(str(kernel))
    assert document["offers"][0]["protocol"] == "pvh"


@pytest.mark.parametrize("verb", ["inspect", "plan", "run"])
@pytest.mark.parametrize("kind", ["missing", "directory", "text", "fifo", "empty"])
def test_what_cannot_be_read_is_one_line(tmp_path, verb, kind):
    path = tmp_path / EVIL
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind in ("text", "empty"):
        path.write_text("hello\n" if kind == "text" else "")
    result = run(verb, str(path), "--json")
    assert result.returncode == 4
    assert LINE.sub(b"", result.stderr) == b""
    assert result.stderr.count(b"hvmlite: error: ") == 1
    document = json.loads(result.stdout)
    assert complaints(document, "Errors") == []
    assert escape(str(path)) in document["error"]["message"]
    assert document["error"]["kind"] in ("RequestError", "FormatError")


@pytest.mark.parametrize("arguments", [["inspect"], ["inspect", "--json"]])
def test_a_reader_that_goes_away_is_silent(kernel, arguments):
    process = subprocess.Popen(
        [*HVMLITE, *arguments, str(kernel)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()  # before the program can have written anything
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 0


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["inspect", "KERNEL"]])
def test_a_full_disk_is_one_line(kernel, arguments):
    arguments = [str(kernel) if word == "KERNEL" else word for word in arguments]
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        result = subprocess.run(
            [*HVMLITE, *arguments], check=False, stdout=full, stderr=subprocess.PIPE, timeout=60
        )
    assert result.returncode == 4
    assert result.stderr == b"hvmlite: error: stdout: no space left on device\n"


@pytest.mark.parametrize("descriptor", [1, 2])
def test_a_closed_stream_is_nobody(kernel, descriptor):
    result = run("inspect", str(kernel), preexec_fn=lambda: os.close(descriptor))
    assert result.returncode == 0
    assert result.stderr == b""


def test_the_c_locale_gets_ascii(tmp_path):
    path = tmp_path / "Größe ✓"
    path.write_bytes(elf.pvh_kernel())
    environ = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for arguments in (["inspect", str(path)], ["engines"]):
        result = run(*arguments, env=environ)
        assert result.returncode == 0, result.stderr
        assert result.stdout.isascii()


def on_a_terminal(arguments, **environ):
    """The output with stdout and stderr on a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*HVMLITE, *arguments],
        stdin=subprocess.DEVNULL, stdout=slave, stderr=slave,
        env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", **environ},
    )  # fmt: skip
    os.close(slave)
    text = b""
    try:
        while data := os.read(master, 4096):
            text += data
    except OSError:  # EIO: the program has ended
        pass
    os.close(master)
    assert process.wait(60) == 0
    return text.decode()


def test_colour_on_a_terminal_and_not_with_no_color(kernel):
    coloured = on_a_terminal(["inspect", str(kernel)], NO_COLOR="")
    assert "\x1b[1m" in coloured
    plain = on_a_terminal(["inspect", str(kernel)], NO_COLOR="1")
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[0-9;]+m", "", coloured) == plain
    assert on_a_terminal(["inspect", "--json", str(kernel)]).count("\x1b") == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_while_an_image_is_read(kernels, number):
    # From the first moment that is ours to the last, in steps. Before main() Python itself is in
    # charge: a start marker on stderr says when that is over.
    code = "import os, sys; from hvmlite import cli; os.write(2, b'!'); sys.exit(cli.main())"
    ends = set()
    for step in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", code, "inspect", "--json", str(kernels["6.12-cloud"])],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr.read(1) == b"!"
        threading.Event().wait(0.004 + step * 0.02)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        ends.add(process.returncode)
        if process.returncode == 0:
            assert (err, complaints(json.loads(out), "inspect")) == (b"", [])
        elif process.returncode == 128 + number:
            assert err in (b"hvmlite: interrupted\n", b"hvmlite: ended by SIGTERM\n")
            assert (json.loads(out) if out else {"error": {"kind": "Interrupted"}})["error"][
                "kind"
            ] == "Interrupted"
        else:  # before the handlers are set, or while the result is written
            assert process.returncode == -number
            assert err == b""
    assert 128 + number in ends


@pytest.mark.parametrize("verb", ["--help", "run --help"])
def test_help_is_quick(verb):
    # The issue asks for at most 6 times of Python's own start; the best of several is compared,
    # since the machine has other things to do.
    def best(command):
        times = []
        for _ in range(9):
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - start)
        return min(times)

    assert best([*HVMLITE, *verb.split()]) < 6 * best([sys.executable, "-c", "pass"])
