"""The verb wrap, as the program that a user starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from cli.json_tables import complaints
from cli.values import EVIL
from hvmlite.cli._output import escape
from universal.wrapped import bzimage, parse

HVMLITE = [sys.executable, "-m", "hvmlite"]


def run(*arguments, status=0):
    done = subprocess.run(
        [*HVMLITE, "wrap", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture
def kernel(tmp_path):
    path = tmp_path / "vmlinuz"
    path.write_bytes(bzimage())
    return path


def facts(path) -> dict[str, str]:
    return dict(parse(path.read_bytes()).facts)


def test_both_files_and_what_is_in_them(tmp_path, kernel):
    (tmp_path / "one").write_bytes(b"11")
    (tmp_path / "two").write_bytes(b"22222222")
    image, elf = tmp_path / EVIL, tmp_path / "universal.elf"
    done = run(kernel, "-o", image, "--elf", elf, "-i", tmp_path / "one", "-i", tmp_path / "two",
               "-a", "console=ttyS0 a=\x1b")  # fmt: skip
    lines = done.stdout.splitlines()
    assert done.stderr == ""
    assert lines[0].startswith(f"{escape(str(image))}: ")
    assert lines[1] == f"{elf}: {lines[1].partition(': ')[2]}"
    assert lines[2:] == [
        "  kernel        6.1.0-test, bzimage64, 12.1 KiB for 0x01000000",
        "  initrd        16 B",
        "  command line  console=ttyS0 a=\\x1b",
    ]
    for path in (image, elf):
        assert facts(path)["built-in initrd"] == "16 bytes"
        assert facts(path)["built-in command line"] == "console=ttyS0 a=?"
    shown = subprocess.run([*HVMLITE, "inspect", image], capture_output=True, text=True, check=True)
    assert "  universal image        version 1 of hvmlite's stub\n" in shown.stdout


@pytest.mark.parametrize("elf", [(), ("--elf", "x.elf")])
def test_the_document_is_what_the_page_says(tmp_path, kernel, elf):
    elf = [tmp_path / each if "." in each else each for each in elf]
    document = json.loads(run(kernel, "-o", tmp_path / "x", "-a", "line", "--json", *elf).stdout)
    assert complaints(document, "wrap") == []
    assert document["size"] == (tmp_path / "x").stat().st_size
    assert document["kernel"]["kind"] == "bzimage64"
    assert document["cmdline"] == "line"
    if elf:
        assert document["elf"] == {"image": str(elf[1]), "size": elf[1].stat().st_size}
    else:
        assert document["elf"] is None


def test_quiet(tmp_path, kernel):
    done = run(kernel, "-o", tmp_path / "x", "-q")
    assert (done.stdout, done.stderr) == ("", "")


def test_an_error_is_one_line_and_nothing_is_written(tmp_path, kernel):
    (tmp_path / "text").write_text("no kernel")
    for arguments, message in (
        ((tmp_path / "text", "-o", tmp_path / "x"), "looks like"),
        ((tmp_path / "missing", "-o", tmp_path / "x"), "cannot be read: no such file"),
        ((kernel, "-o", kernel), "the same file as"),
        ((kernel, "-o", tmp_path / "x", "-i", tmp_path / "x"), "cannot be read: no such file"),
        ((kernel, "-o", tmp_path / "x", "-a", "y" * 9999), "9999 bytes, at most 2047 needed"),
        ((kernel, "-o", tmp_path / "x", "--elf", "/none/x"), "cannot be written: no such file"),
    ):
        done = run(*arguments, status=4)
        error, *hints = done.stderr.splitlines()
        assert error.startswith("hvmlite: error: ")
        assert message in error
        assert all(line.startswith("hvmlite: hint: ") for line in hints)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["text", "vmlinuz"]
    assert kernel.read_bytes() == bzimage()


def test_without_an_output_it_is_wrong_usage(kernel):
    assert "-o/--output" in run(kernel, status=2).stderr


def test_interrupted_it_leaves_nothing_behind(tmp_path, kernel):
    # An initrd that takes a while to write: a file with a hole of a few GiB.
    initrd = tmp_path / "initrd"
    with initrd.open("wb") as file:
        file.truncate(2 << 30)
    command = [*HVMLITE, "wrap", kernel, "-i", initrd, "-o", tmp_path / "x"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        while len(list(tmp_path.iterdir())) < 3:  # until it writes
            assert process.poll() is None
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == b"hvmlite: interrupted\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["initrd", "vmlinuz"]
