"""Small guests on a real QEMU: how they end, and what is left when they have."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engines import raw_guests as raw
from engines.gdb_remote import Remote, free_port
from hvmlite.engines import qemu
from hvmlite.errors import (
    EngineError,
    EngineLost,
    EngineUnavailable,
    RequestError,
    UnsupportedError,
)
from hvmlite.model import Disk, Ending, Outcome, RunOptions

pytestmark = pytest.mark.boot

GIB = 1 << 30
TESTS = Path(__file__).resolve().parent.parent


def run(code: bytes, **keywords) -> Outcome:
    with qemu.start(raw.plan(code, **keywords), raw.TCG) as session:
        return session.wait(20)


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.mark.parametrize("status", [0, 1, 7, 127])
def test_exit_port(status):
    assert run(raw.leave(status)) == Outcome(Ending.EXITED, status)


def test_reset():
    assert run(raw.out(0xCF9, 6) + raw.SPIN) == Outcome(Ending.RESET)


def test_power_off_by_acpi():
    # SLP_EN and SLP_TYP of Machine.platform into PM1a control
    platform = qemu.machine(16 * raw.MIB, 1).platform
    code = raw.out(platform.pm_base + 4, platform.s5 << 10 | 1 << 13, 2) + raw.SPIN
    assert run(code) == Outcome(Ending.SHUTDOWN)


def test_acpi_mode_is_on():
    # in ax, dx of PM1a control; its bit 0 is SCI_EN; out to the exit port
    base = qemu.machine(16 * raw.MIB, 1).platform.pm_base
    read = b"\xba" + (base + 4).to_bytes(4, "little") + b"\x66\xed\x83\xe0\x01"
    assert run(read + b"\xba\xf4\0\0\0\xef" + raw.SPIN).status == 1


def test_triple_fault_says_where():
    outcome = run(raw.UD2)
    assert outcome.kind is Ending.TRIPLE_FAULT
    assert "eip 0x100000" in outcome.detail


def test_timeout():
    started = time.monotonic()
    with qemu.start(raw.plan(raw.SPIN), raw.TCG) as session:
        assert session.wait(0.2) == Outcome(Ending.TIMEOUT)
        assert session.wait() == Outcome(Ending.TIMEOUT)
    assert time.monotonic() - started < 5


def test_stop():
    with qemu.start(raw.plan(raw.SPIN), raw.TCG) as session:
        assert session.stop() == Outcome(Ending.INTERRUPTED)


def test_an_outcome_of_its_own_stands():
    with qemu.start(raw.plan(raw.leave(3)), raw.TCG) as session:
        assert session.wait(20) == Outcome(Ending.EXITED, 3)
        assert session.stop() == Outcome(Ending.EXITED, 3)


def test_console():
    with qemu.start(raw.plan(raw.say(b"one two\n") + raw.leave(0)), raw.TCG) as session:
        assert session.console.expect(r"o(n)e", 10)[1] == b"n"
        assert session.console.read(10).startswith(b" t")
        session.wait(10)
        assert session.console.text() == "one two\n"
        times = [chunk.time for chunk in session.console.chunks]
        assert times == sorted(times)
        assert 0 < times[0] < 10
        with pytest.raises(EOFError):
            session.console.expect("three", 10)


# mov edx, 0x3fd; in al, dx; test al, 1; jz; mov dl, 0xf8; in al, dx; out dx, al; jmp
ECHO = bytes.fromhex("ba fd030000 ec a801 74fb b2f8 ec ee b2fd ebf3")


def test_what_is_written_the_guest_reads():
    with qemu.start(raw.plan(ECHO), raw.TCG) as session:
        session.console.write(b"ping")
        session.console.expect("ping", 10)


def test_a_guest_that_does_not_read_stops_nobody():
    with qemu.start(raw.plan(raw.SPIN), raw.TCG) as session:
        session.console.write(bytes(1 << 20))
        with pytest.raises(EngineError, match="does not read"):
            session.console.write(bytes(1 << 20))
        assert session.wait(0.1).kind is Ending.TIMEOUT


def test_a_flood_of_output_is_kept_within_bounds():
    # mov edx, 0x3f8; mov al, 'x'; out dx, al; jmp
    with qemu.start(raw.plan(bytes.fromhex("baf8030000 b078 ee ebfd")), raw.TCG) as session:
        session.console.expect("x{100}", 10)
        assert session.wait(0.5).kind is Ending.TIMEOUT
        assert sum(len(c.data) for c in session.console.chunks) <= 8 << 20


def test_killed_from_outside():
    with qemu.start(raw.plan(raw.SPIN), raw.TCG) as session:
        os.kill(session._process._popen.pid, signal.SIGKILL)
        with pytest.raises(EngineLost, match="killed by SIGKILL"):
            session.wait(10)


def test_terminated_from_outside():
    with qemu.start(raw.plan(raw.SPIN), raw.TCG) as session:
        os.kill(session._process._popen.pid, signal.SIGTERM)
        with pytest.raises(EngineLost, match="terminating on signal 15"):
            session.wait(10)


def test_a_stopped_qemu_is_ended_all_the_same():
    with qemu.start(raw.plan(raw.SPIN), raw.TCG) as session:
        os.kill(session._process._popen.pid, signal.SIGSTOP)
        assert session.wait(0.1).kind is Ending.TIMEOUT


def test_a_command_line_that_qemu_refuses():
    with pytest.raises(EngineError, match="nonesuch"):
        qemu.start(raw.plan(raw.SPIN), RunOptions("tcg", ("-device", "nonesuch")))


def test_an_unknown_accelerator_in_qemus_words():
    with pytest.raises(EngineError, match="quantum"):
        qemu.start(raw.plan(raw.SPIN), RunOptions("quantum"))


def test_a_jump_to_the_reset_vector_is_a_reset():
    # Real mode, JMP FAR F000:FFF0, as Linux does with reboot=b.
    jump = bytes.fromhex("ea f0ff 00f0")
    plan = raw.plan(jump, raw.REAL)
    with qemu.start(plan, raw.TCG) as session:
        assert session.wait(20).kind is Ending.RESET


def test_a_fifo_is_no_disk(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(RequestError, match="a file or a block device needed"):
        qemu.machine(16 << 20, 1, (Disk(str(tmp_path / "fifo")),))


def test_standard_streams_may_be_closed():
    code = textwrap.dedent("""
        import os, sys
        for fd in (0, 1, 2):
            os.close(fd)
        from engines import raw_guests as raw
        from hvmlite.engines import qemu
        with qemu.start(raw.plan(raw.leave(5)), raw.TCG) as session:
            os._exit(session.wait(20).status)
    """)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(TESTS)}, check=False)
    assert done.returncode == 5


def test_a_launch_that_is_not_started_leaves_nothing():
    before = descriptors(), threading.active_count()
    with qemu.launch(qemu.machine(16 << 20, 1), raw.TCG):
        pass
    assert (descriptors(), threading.active_count()) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_launch_is_for_its_machine_and_for_once():
    plan = raw.plan(raw.leave(3))
    other = qemu.machine(plan.machine.memory * 2, 1)
    with qemu.launch(other, raw.TCG) as pending, pytest.raises(RequestError, match="machine"):
        pending.start(plan)
    with qemu.launch(plan.machine, raw.TCG) as pending:
        with pending.start(plan) as session:
            assert session.wait(20).status == 3
        with pytest.raises(RequestError, match="machine"):
            pending.start(plan)


def test_nothing_is_left():
    before, threads = descriptors(), threading.active_count()
    for code in (raw.leave(0), raw.UD2, raw.out(0xCF9, 6) + raw.SPIN):
        assert run(code)
    with qemu.start(raw.plan(raw.SPIN), raw.TCG) as session:
        pid = session._process._popen.pid
        session.wait(0)
    session.close()  # twice is fine
    with pytest.raises(EngineError):
        qemu.start(raw.plan(raw.SPIN), RunOptions("tcg", ("-device", "nonesuch")))
    assert descriptors() == before
    assert threading.active_count() == threads
    assert not Path(f"/proc/{pid}").exists()


CHILD = """
    import sys, time
    from engines import raw_guests as raw
    from hvmlite.engines import qemu
    session = qemu.start(raw.plan(raw.SPIN), raw.TCG)
    print(session._process._popen.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_qemu_dies_with_us(number):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = [sys.executable, "-c", textwrap.dedent(CHILD)]
    with subprocess.Popen(
        child, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, cwd=TESTS
    ) as process:
        pid = int(process.stdout.readline())
        os.kill(pid, 0)
        process.send_signal(number)
        process.wait(10)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        except FileNotFoundError:
            return
        if state == "Z":  # waits for init only
            return
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("QEMU outlived hvmlite")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_dev_shm_does_not_matter():
    script = """
        import subprocess, sys
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", "/dev/shm"], check=True)
        from pathlib import Path
        try:
            Path("/dev/shm/full").write_bytes(bytes(8192))
        except OSError:
            pass
        from engines import raw_guests as raw
        from hvmlite.engines import qemu
        with qemu.start(raw.plan(raw.leave(5)), raw.TCG) as session:
            print(session.wait(20).status)
    """
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True, text=True, env=env, cwd=TESTS, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr


def test_no_memory_is_one_line(monkeypatch):
    def refuse(fd, size):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    before = descriptors()
    monkeypatch.setattr(os, "ftruncate", refuse)
    with pytest.raises(EngineError, match="cannot be started: cannot allocate memory"):
        qemu.start(raw.plan(raw.SPIN), raw.TCG)
    assert descriptors() == before


SIZES = (1 * raw.MIB, 77 * raw.MIB, 77 * raw.MIB + 4096, 2 * GIB, 0xB0000000 - 8192, 0xB0000000,
         4 * GIB, 8 * GIB, 33 * GIB + 8192)  # fmt: skip


def ask_monitor(plan, command: str) -> str:
    """What QEMU's monitor says right before the first guest instruction."""
    port = free_port()
    with qemu.start(plan, RunOptions("tcg", gdb=port)), Remote(port) as stub:
        stub.run_to(raw.linear(plan.cpu))
        return stub.monitor(command)


@pytest.mark.parametrize("size", SIZES)
def test_ram_is_where_the_machine_says(size):
    plan = raw.plan(raw.SPIN, replace(raw.FLAT32, rip=0x8000), memory=size)
    text = ask_monitor(plan, "info mtree -f")
    view = next(v for v in text.split("FlatView") if "cpu-memory-0" in v)
    pattern = r"(\w+)-(\w+) \(prio \d+, ram\): ram(?: @(\w+))?"
    # (address, its end, offset in the memory file) of what the processor sees as RAM
    found = [
        (int(a, 16), int(b, 16) + 1, int(c or "0", 16)) for a, b, c in re.findall(pattern, view)
    ]
    board = plan.machine
    low, high = board.reserved[0].start, board.reserved[0].end  # the legacy hole
    wanted = []
    for block in board.ram:
        parts = [(block.start, block.end)]
        if block.start == 0:
            parts = [(0, low), (high, block.end)]
        wanted += [(a, b, block.offset + a - block.start) for a, b in parts if a < b]
    for start, end, offset in wanted:
        assert any(f[0] <= start and end <= f[1] and f[2] - f[0] == offset - start for f in found)
    if board.ram[-1].end > high:
        assert found[-1][1] == board.ram[-1].end
    assert sum(block.size for block in board.ram) == board.memory
    assert 0 <= board.memory - size < 8192


def test_registers_of_the_chipset():
    text = ask_monitor(raw.plan(raw.SPIN), "info mtree -f")
    for name, start in (("acpi-evt", 0x600), ("acpi-tmr", 0x608), ("acpi-gpe0", 0x620)):
        assert re.search(rf"{start:016x}-\w+ .*{name}", text)
    assert re.search(r"00000000b0000000-00000000bfffffff .*pcie-mmcfg", text)


def test_devices_that_are_not_described_are_not_there():
    text = ask_monitor(raw.plan(raw.SPIN), "info pci")
    assert re.findall(r"PCI device (\w+:\w+)", text) == ["8086:29c0", "8086:2918"]
    ports = ask_monitor(raw.plan(raw.SPIN), "info mtree -f")
    assert not re.search("i8042|hpet|vmport", ports)


def test_a_plan_for_another_machine():
    plan = raw.plan(raw.SPIN)
    other = replace(plan, machine=replace(plan.machine, name="toaster"))
    with pytest.raises(RequestError, match="toaster"):
        qemu.start(other, raw.TCG)


@pytest.mark.parametrize("memory", [0, 4095, 1 << 50, -4096])
def test_memory_that_no_machine_has(memory):
    with pytest.raises(RequestError, match="memory"):
        qemu.machine(memory, 1)


def test_a_disk_whose_name_has_commas(tmp_path):
    path = tmp_path / "a,file=b,readonly=off.img"
    path.write_bytes(bytes(1 << 20))
    plan = raw.plan(raw.leave(0), disks=(Disk(str(path)),))
    assert plan.machine.platform.pci is not None
    with qemu.start(plan, raw.TCG) as session:
        assert session.wait(20).ok


@pytest.mark.parametrize("read_only", [True, False])
def test_a_disk_is_writable_only_if_asked_for(tmp_path, read_only):
    path = tmp_path / "disk"
    path.write_bytes(b"QFI\xfb".ljust(1 << 20, b"\0"))  # what it looks like does not matter
    plan = raw.plan(raw.SPIN, disks=(Disk(str(path), "raw", read_only),))
    text = ask_monitor(plan, "info block")
    assert f"{path} (raw" in text
    assert ("read-only" in text) is read_only


def qcow2(backing: int = 0, features: int = 0) -> bytes:
    header = b"QFI\xfb\0\0\0\x03" + backing.to_bytes(8, "big")
    return header.ljust(72, b"\0") + features.to_bytes(8, "big") + bytes(1 << 12)


@pytest.mark.parametrize(
    ("data", "form", "error", "words"),
    [
        (qcow2(backing=0x200), "qcow2", UnsupportedError, "backing file"),
        (qcow2(features=4), "qcow2", UnsupportedError, "external data file"),
        (b"", "qcow2", RequestError, "no qcow2 header"),
        (b"", "vmdk", RequestError, "format vmdk"),
        (None, "raw", RequestError, "no such file"),
    ],
)
def test_disks_that_are_refused(tmp_path, data, form, error, words):
    path = tmp_path / "disk"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(error, match=words):
        qemu.start(raw.plan(raw.SPIN, disks=(Disk(str(path), form),)), raw.TCG)


def test_a_qcow2_of_version_2_has_no_features(tmp_path):
    """Its header ends before them: a header extension, or whatever the file has, is there."""
    path = tmp_path / "disk"
    path.write_bytes(qcow2(features=4).replace(b"\xfb\0\0\0\x03", b"\xfb\0\0\0\x02"))
    assert qemu.machine(16 << 20, 1, (Disk(str(path), "qcow2"),)).disks


def test_available():
    found = qemu.available()
    assert found.ok
    assert re.fullmatch(r"\d+\.\d+(\.\d+)*", found.version)
    assert dict(found.facts)["accelerator tcg"] == "available"


def test_absent(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = qemu.available()
    assert not found.ok
    assert "absent" in found.reason
    assert "apt-get install qemu-system-x86" in found.hint
    with pytest.raises(EngineUnavailable):
        qemu.start(raw.plan(raw.SPIN), raw.TCG)


def test_an_empty_path_is_not_the_folder_one_is_in(monkeypatch, tmp_path):
    program = tmp_path / "qemu-system-x86_64"
    program.write_text("#!/bin/sh\necho QEMU emulator version 9.0.0\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    assert "absent" in qemu.available().reason


@pytest.mark.parametrize(
    ("mode", "text", "reason"),
    [
        (0o755, "echo QEMU emulator version 6.2.0", "too old, 6.2 found, 7.2 needed"),
        (0o755, "echo something", "something"),
        (0o644, "", "forbidden"),
    ],
)
def test_a_qemu_that_is_no_use(monkeypatch, tmp_path, mode, text, reason):
    program = tmp_path / "qemu-system-x86_64"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(mode)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = qemu.available()
    assert not found.ok
    assert reason in found.reason
