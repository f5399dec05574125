"""Verbs end to end, on the real engine: small guests of a few instructions, and a real kernel."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.json_tables import complaints
from makers import elf

pytestmark = pytest.mark.boot
HVMLITE = [sys.executable, "-m", "hvmlite"]
END = re.compile(r"hvmlite: ([^\n]+) after \d+\.\d\d s, prepared in \d+\.\d\d s\n")


def say(text):
    """Instructions that write text to the serial port."""
    return b"\xba\xf8\x03\x00\x00" + b"".join(b"\xb0" + bytes([byte]) + b"\xee" for byte in text)


CODE = {
    "hangs": say(b"H") + b"\xf4\xeb\xfd",  # hlt; jmp .-1
    "exits with 0": say(b"bye\n") + b"\xb0\x00\xe6\xf4\xf4",  # mov al, 0; out 0xf4, al
    "exits with 7": b"\xb0\x07\xe6\xf4\xf4",
    "faults": say(b"\x1b[31mred") + b"\x0f\x0b",  # ud2, and there is no IDT
    # wait for LSR.DR, read a byte, write it, exit with 0
    "echoes": bytes.fromhex("bafd030000 ec a801 74fb baf8030000 ec ee b000 e6f4 f4"),
    "talks": b"\xba\xf8\x03\x00\x00\xb0x\xee\xeb\xfd",  # for ever
}


@pytest.fixture
def guest(tmp_path):
    def make(name):
        path = tmp_path / "guest"
        path.write_bytes(elf.pvh_kernel(code=CODE[name].ljust(64, b"\x90")))
        return str(path)

    return make


def run(*arguments, **keywords):
    keywords = {"capture_output": True, "timeout": 120, "stdin": subprocess.DEVNULL} | keywords
    return subprocess.run([*HVMLITE, *arguments], check=False, **keywords)


@pytest.mark.parametrize(
    ("name", "status", "kind", "value", "console", "line"),
    [
        ("exits with 0", 0, "exited", 0, b"bye\n", "the guest exited with status 0"),
        ("exits with 7", 5, "exited", 7, b"", "the guest exited with status 7"),
        ("faults", 5, "triple-fault", None, b"\x1b[31mred", "the guest triple-faulted"),
        ("hangs", 6, "timeout", None, b"H", "no verdict in time, the guest was stopped"),
    ],
)
def test_how_a_guest_ends(guest, name, status, kind, value, console, line):
    common = ["-m", "16M", "--timeout", "3" if name == "hangs" else "60"]
    result = run("run", guest(name), *common)
    assert (result.returncode, result.stdout) == (status, console)
    (said,) = END.findall(result.stderr.decode())
    assert said.startswith(line)

    result = run("run", guest(name), *common, "--json")
    assert result.returncode == status
    document = json.loads(result.stdout)
    assert complaints(document, "run") == []
    assert (document["outcome"]["kind"], document["outcome"]["status"]) == (kind, value)
    assert (document["protocol"], document["engine"]) == ("pvh", "qemu")
    timing = document["timing"]
    total = timing["prepare_s"] + timing["guest_s"]
    assert timing["total_s"] == pytest.approx(total, abs=1e-3)
    finished = console if not console or console.endswith(b"\n") else console + b"\n"
    assert result.stderr.startswith(finished)
    assert END.fullmatch(result.stderr.decode()[len(finished) :])


def test_quiet_says_nothing_but_the_guest(guest):
    result = run("run", guest("exits with 0"), "-m", "16M", "-q")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"bye\n", b"")


def children(pid):
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


def gone(pid):
    """Whether a process has ended; one that nobody has waited for yet has, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def started(path, *arguments):
    """A run whose guest has said its first word, and the engine's process."""
    process = subprocess.Popen(
        [*HVMLITE, "run", path, "-m", "16M", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    console = process.stderr if "--json" in arguments else process.stdout
    assert console.read(1) in (b"H", b"x")
    (engine,) = children(process.pid)
    return process, engine


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("name", ["hangs", "talks"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_guest_and_leaves_nothing(guest, name, number, status, as_json):
    process, engine = started(guest(name), *(["--json"] if as_json else []))
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert gone(engine)
    words = "interrupted" if number == signal.SIGINT else "ended by SIGTERM"
    finished = "\n" if as_json else ""  # where the console and our words share a stream
    assert err.decode().lstrip("x") == f"{finished}hvmlite: {words}\n"
    if as_json:
        document = json.loads(out)
        assert complaints(document, "run") == []
        assert document["outcome"]["kind"] == "interrupted"


def test_an_engine_that_is_killed_is_one_line_of_its_own(guest):
    process, engine = started(guest("hangs"), "--json")
    os.kill(engine, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert err == b"\nhvmlite: error: qemu: killed by SIGKILL before the guest ended\n"
    document = json.loads(out)
    assert complaints(document, "Errors") == []
    assert document["error"]["kind"] == "EngineLost"


@pytest.mark.parametrize("descriptors", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_guest_runs_without_standard_streams(guest, descriptors):
    def close():
        for descriptor in descriptors:
            os.close(descriptor)

    result = run("run", guest("exits with 7"), "-m", "16M", preexec_fn=close)
    assert result.returncode == 5, result.stderr


def test_a_console_reader_that_goes_away_ends_the_guest(guest):
    process, engine = started(guest("talks"))
    process.stdout.close()
    err = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(60) == 141
    assert gone(engine)
    assert err == "hvmlite: error: the console's reader has gone, the guest was stopped\n"


def test_a_full_disk_ends_the_guest(guest):
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        result = run("run", guest("talks"), "-m", "16M", capture_output=False, stdout=full,
                     stderr=subprocess.PIPE)  # fmt: skip
    assert result.returncode == 4
    assert (
        result.stderr
        == b"hvmlite: error: console: no space left on device, the guest was stopped\n"
    )


def test_standard_input_goes_to_the_guest(guest):
    result = run("run", guest("echoes"), "-m", "16M", stdin=None, input=b"Q")
    assert (result.returncode, result.stdout) == (0, b"Q")


def test_without_the_program_the_engine_is_not_available(guest):
    result = run("run", guest("hangs"), env={**os.environ, "PATH": "/nowhere"})
    assert result.returncode == 3
    error, *hints = result.stderr.decode().splitlines()
    assert error.startswith("hvmlite: error: ")
    assert all(hint.startswith("hvmlite: hint: ") for hint in hints)
    listing = run("engines", "--json", env={**os.environ, "PATH": "/nowhere"})
    assert listing.returncode == 0
    (qemu,) = [e for e in json.loads(listing.stdout)["engines"] if e["engine"] == "qemu"]
    assert qemu["ok"] is False
    assert qemu["hint"]


def test_engines():
    document = json.loads(run("engines", "--json").stdout)
    assert complaints(document, "engines") == []
    assert document["engines"][0]["engine"] == "qemu"
    assert document["engines"][0]["ok"] is True


class Terminal:
    """A terminal with hvmlite on it."""

    def __init__(self, *arguments):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [*HVMLITE, *arguments], stdin=slave, stdout=slave, stderr=slave, close_fds=True,
            start_new_session=True,
        )  # fmt: skip
        self.slave = slave
        self.text = b""

    def until(self, words, seconds=60):
        end = time.monotonic() + seconds
        while words not in self.text:
            ready, _, _ = select.select([self.master], [], [], end - time.monotonic())
            assert ready, f"no {words!r} in {self.text[-2000:]!r}"
            self.text += os.read(self.master, 4096)

    def close(self):
        os.close(self.master)
        os.close(self.slave)


def test_ctrl_a_x_leaves_with_status_0(guest):
    terminal = Terminal("run", guest("hangs"), "-m", "16M")
    terminal.until(b"H")
    (engine,) = children(terminal.process.pid)
    os.write(terminal.master, b"\x01x")
    assert terminal.process.wait(60) == 0
    assert gone(engine)
    terminal.until(b"hvmlite: stopped")
    assert b"Traceback" not in terminal.text
    terminal.close()


def test_a_timeout_holds_on_a_terminal_too(guest):
    terminal = Terminal("run", guest("hangs"), "-m", "16M", "--timeout", "2")
    assert terminal.process.wait(60) == 6
    terminal.until(b"hvmlite: no verdict in time")
    terminal.close()


def test_a_real_kernel(kernels):
    kernel = str(kernels["6.12-cloud"])
    found = json.loads(run("inspect", kernel, "--json").stdout)
    assert complaints(found, "inspect") == []
    assert found["format"] == "bzimage"
    offer = found["offers"][0]
    assert (offer["protocol"], offer["nested"]) == ("pvh", True)

    plan = json.loads(run("plan", kernel, "--json").stdout)
    assert complaints(plan, "plan") == []
    assert plan["cpu"]["rip"] == offer["entry"]
    assert plan["boot_info"]["cmdline"] == "console=ttyS0"
    kernel_pieces = [piece for piece in plan["map"] if piece["kind"] == "kernel"]
    segments = found["payload"]["image"]["segments"]
    assert [p["start"] for p in kernel_pieces] == [s["start"] for s in segments]
    text = run("plan", kernel).stdout.decode()
    for piece in plan["map"]:
        assert f"0x{piece['start']:08x} " in text
        assert piece["name"] in text

    result = run("run", kernel, "-a", "console=ttyS0 panic=-1", "--timeout", "100")
    assert result.returncode == 0  # it has no root: a panic, then the reboot that was asked for
    assert b"Command line: console=ttyS0 panic=-1\r\n" in result.stdout
    assert b"Kernel panic - not syncing: VFS: Unable to mount root fs" in result.stdout


def test_linux_is_not_mute_and_a_mute_one_gets_a_hint(kernels):
    kernel = str(kernels["6.12-cloud"])
    result = run("run", kernel, "--timeout", "2.5")
    assert result.returncode == 6
    assert b"Linux version 6.12" in result.stdout
    result = run("run", kernel, "--timeout", "2.5", "-a", "quiet")
    assert (result.returncode, result.stdout) == (6, b"")
    assert result.stderr.decode().splitlines()[-1] == (
        "hvmlite: hint: the guest said nothing and its command line has no console=,"
        " try -a 'quiet console=ttyS0'"
    )


def test_plan_output_writes_the_records_files(guest, tmp_path):
    out = tmp_path / "record"
    result = run("plan", guest("hangs"), "-m", "16M", "--output", str(out))
    assert (result.returncode, result.stderr) == (0, b"")
    from hvmlite.engines import record

    assert {path.name for path in out.iterdir()} == set(record.FILES)
    (out / "diary").write_text("not ours")
    result = run("plan", guest("hangs"), "-m", "16M", "--output", str(out))
    assert result.returncode == 4
    assert (out / "diary").read_text() == "not ours"
