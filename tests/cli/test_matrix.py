"""``hvmlite matrix`` as a program: its documents, files, statuses, and how it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cli.json_tables import complaints
from cli.matrices import junit_complaints
from hvmlite import cli
from matrix.guests import HANG, descendants, gone, guest, leave, say

pytestmark = pytest.mark.boot
HVMLITE = [sys.executable, "-m", "hvmlite", "matrix"]


def run(*arguments, **keywords):
    return subprocess.run(
        [*HVMLITE, *map(str, arguments)], check=False, capture_output=True, timeout=120, **keywords
    )


def test_a_table_a_document_and_a_junit_file(tmp_path):
    images = [
        guest(tmp_path / "fine", leave(0)),
        guest(tmp_path / "fails", say(b"\x1b[31mwhy") + leave(3)),
        guest(tmp_path / "hangs", HANG),
        tmp_path / "missing",
    ]
    junit = tmp_path / "junit.xml"
    common = [*images, "-m", "16M", "--timeout", "2", "--junit", junit]
    result = run(*common)
    assert (result.returncode, result.stderr) == (4, b"")
    text = result.stdout.decode()
    assert "pvh" in text.splitlines()[0]
    assert f"{images[1]} by pvh on qemu: failed: the guest exited with status 3\n" in text
    assert "\n  | \\x1b[31mwhy\n" in text
    root = ElementTree.parse(junit).getroot()
    assert junit_complaints(root) == []
    assert [suite.get("name") for suite in root] == list(map(str, images))

    result = run(*common, "--json", "-j", "1")
    assert (result.returncode, result.stderr) == (4, b"")
    document = json.loads(result.stdout)
    assert complaints(document, "matrix") == []
    cells = [image["cells"] for image in document["images"]]
    found = [next((c["verdict"] for c in each if c["protocol"] == "pvh"), None) for each in cells]
    assert found == ["passed", "failed", "no-answer", None]


def test_a_junit_file_on_a_full_disk_is_named(tmp_path):
    result = run(guest(tmp_path / "fine", leave(0)), "-m", "16M", "--junit", "/dev/full")
    assert result.returncode == 4
    assert result.stderr == b"hvmlite: error: /dev/full: no space left on device\n"


@pytest.mark.parametrize(
    ("code", "options", "status"),
    [
        (leave(0), [], 0),
        (leave(3), [], 5),
        (HANG, ["--timeout", "1"], 6),
        (say(b"ready") + HANG, ["--expect", "r.*y"], 0),
        (leave(0), ["--expect", "ready"], 5),
        (leave(0), ["--expect", "("], 4),
        (leave(0), ["--protocol", "pvg"], 4),
        (leave(0), ["--engine", "record"], 4),
        (leave(0), ["--junit", "/nonexistent/x"], 4),
        (leave(0), ["--timeout", "999999999"], 0),
        (leave(0), ["--jobs", "0"], 2),
    ],
)
def test_statuses(tmp_path, capsys, code, options, status):
    image = guest(tmp_path / "guest", code)
    arguments = ["matrix", str(image), "-m", "16M", "--protocol", "pvh", *options]
    assert cli.main(arguments) == status
    out, err = capsys.readouterr()
    assert err.count("hvmlite: error: ") == (status in (2, 4))
    assert bool(out) == (status not in (2, 4))


def test_without_an_engine_it_is_not_available(tmp_path):
    image = guest(tmp_path / "guest", leave(0))
    result = run(image, env={**os.environ, "PATH": "/nowhere"})
    assert result.returncode == 3
    assert result.stderr.startswith(b"hvmlite: error: qemu: ")


def started(tmp_path, *options):
    """A matrix with two guests that hang, and all processes below it."""
    images = [guest(tmp_path / name, HANG) for name in "ab"]
    process = subprocess.Popen(
        [*HVMLITE, *images, "-m", "16M", "-j", "2", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    end = time.monotonic() + 60
    while time.monotonic() < end:
        workers = {pid: descendants(pid) for pid in descendants(process.pid)}
        if len([pid for pid, below in workers.items() if any(map(is_qemu, below))]) == 2:
            return process, list(workers)
        time.sleep(0.02)
    raise AssertionError(f"{workers} are there, two with a guest each needed")


def is_qemu(pid):
    try:
        return "qemu" in Path(f"/proc/{pid}/exe").readlink().name
    except OSError:
        return False


def vanished(pids):
    end = time.monotonic() + 20
    while not all(map(gone, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    return all(map(gone, pids))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_workers_and_guests(tmp_path, number):
    process, below = started(tmp_path, "--json")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    words = b"interrupted" if number == signal.SIGINT else b"ended by SIGTERM"
    assert err == b"hvmlite: " + words + b"\n"
    assert json.loads(out)["error"]["kind"] == "Interrupted"
    assert vanished(below)


def test_killed_it_leaves_nothing_either(tmp_path):
    process, below = started(tmp_path)
    process.kill()
    out, err = process.communicate(timeout=60)
    assert (out, err) == (b"", b"")
    assert vanished(below)
