"""The engine `unicorn`: guests on it end as on QEMU, and it says what it is not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest

import hvmlite
import microkernel
from engines import raw_guests as raw
from hvmlite.engines import ENGINES, qemu, unicorn
from hvmlite.errors import EngineError, EngineUnavailable, RequestError
from hvmlite.matrix import run_matrix
from hvmlite.model import CpuState, Disk, Ending, Outcome, RunOptions, SegmentRegister

TCG = RunOptions("tcg")
ANY = RunOptions()


def run(code: bytes, cpu: CpuState = raw.FLAT32) -> Outcome:
    with unicorn.start(raw.plan(code, cpu), ANY) as session:
        return session.wait(60)


# Real guests.


@pytest.mark.boot
@pytest.mark.parametrize(("build", "abi"), microkernel.DOORS, ids=map("-".join, microkernel.DOORS))
def test_microkernels_report_the_same_as_on_qemu(microkernels, build, abi):
    plan = microkernel.plan(build, abi, cmdline="one two", memory=64 * raw.MIB)
    here = microkernel.finish(unicorn.start(plan, ANY))
    assert here.passed
    assert here == microkernel.finish(qemu.start(plan, TCG))


def test_two_runs_are_the_same(microkernels):
    plan = microkernel.plan("linux64", "linux16", memory=64 * raw.MIB)
    assert microkernel.finish(unicorn.start(plan, ANY)) == microkernel.finish(
        unicorn.start(plan, ANY)
    )


def test_nobody_chooses_it(microkernels):
    assert ENGINES[0] is qemu
    assert microkernel.plan("pvh64", "pvh").machine == qemu.machine(512 << 20, 1)
    result = run_matrix([str(microkernels / "pvh64")], protocols=["pvh"], timeout=60)
    assert [cell.engine for cell in result.cells] == ["qemu"]


def test_it_can_be_asked_for(microkernels):
    with hvmlite.run(microkernels / "pvh32", protocol="pvh", engine="unicorn") as guest:
        assert guest.wait(60) == Outcome(Ending.EXITED, 0)
        assert guest.engine == "unicorn"


# Ends.


@pytest.mark.parametrize("status", [0, 1, 7, 127])
def test_exit_port(status):
    assert run(raw.leave(status)) == Outcome(Ending.EXITED, status)


@pytest.mark.parametrize("code", [raw.out(0xCF9, 6), raw.out(0x92, 3)])
def test_reset(code):
    assert run(code + raw.SPIN) == Outcome(Ending.RESET)


def test_power_off_by_acpi():
    platform = unicorn.machine(16 * raw.MIB, 1).platform
    code = raw.out(platform.pm_base + 4, platform.s5 << 10 | 1 << 13, 2) + raw.SPIN
    assert run(code) == Outcome(Ending.SHUTDOWN)


@pytest.mark.boot
@pytest.mark.parametrize("cpu", [raw.FLAT32, raw.LONG])
def test_triple_fault_says_where_as_qemu_does(cpu):
    # A table that ends before the gate: nothing of a fault's delivery is in the detail.
    plan = raw.plan(b"\x90" + raw.UD2, replace(cpu, idtr=replace(cpu.idtr, limit=0)))
    ended = []
    for engine in (unicorn, qemu):
        with engine.start(plan, TCG) as session:
            ended.append(session.wait(60))
    assert ended[0].kind is ended[1].kind is Ending.TRIPLE_FAULT
    assert sorted(ended[0].detail.split(", ")) == sorted(ended[1].detail.split(", "))


def test_halted_for_ever_is_told_at_once():
    started = time.monotonic()
    outcome = run(b"\xfa\xf4")
    assert outcome.kind is Ending.TIMEOUT
    assert outcome.detail == "halted at 0x100002, nothing will wake it"
    assert time.monotonic() - started < 30


def test_timeout():
    started = time.monotonic()
    with unicorn.start(raw.plan(raw.SPIN), ANY) as session:
        assert session.wait(0.2) == Outcome(Ending.TIMEOUT)
        assert session.wait() == Outcome(Ending.TIMEOUT)
    assert time.monotonic() - started < 30


def test_stop():
    with unicorn.start(raw.plan(raw.SPIN), ANY) as session:
        assert session.stop() == Outcome(Ending.INTERRUPTED)


def test_an_outcome_of_its_own_stands():
    with unicorn.start(raw.plan(raw.leave(3)), ANY) as session:
        assert session.wait(20) == Outcome(Ending.EXITED, 3)
        assert session.stop() == Outcome(Ending.EXITED, 3)
    session.close()


def test_what_it_cannot_do_is_an_error_of_the_engine():
    cpu = replace(raw.FLAT32, rflags=0x20002, rip=0x10, cs=SegmentRegister(0x1000, 0x10000, dpl=3),
                  ss=SegmentRegister(dpl=3))  # fmt: skip
    with (
        unicorn.start(raw.plan(raw.UD2, cpu), ANY) as session,
        pytest.raises(EngineError, match="virtual 8086"),
    ):
        session.wait(20)


# The console.


def test_console():
    with unicorn.start(raw.plan(raw.say(b"one two\n") + raw.leave(0)), ANY) as session:
        assert session.console.expect(r"o(n)e", 20)[1] == b"n"
        session.wait(20)
        assert session.console.text() == "one two\n"
        with pytest.raises(EOFError):
            session.console.expect("three", 10)


# mov edx, 0x3fd; in al, dx; test al, 1; jz; mov dl, 0xf8; in al, dx; out dx, al; jmp
ECHO = bytes.fromhex("ba fd030000 ec a801 74fb b2f8 ec ee b2fd ebf3")


def test_what_is_written_the_guest_reads():
    with unicorn.start(raw.plan(ECHO), ANY) as session:
        session.console.write(b"ping")
        session.console.expect("ping", 20)


def test_a_guest_that_does_not_read_stops_nobody():
    with unicorn.start(raw.plan(raw.SPIN), ANY) as session:
        session.console.write(bytes(1 << 20))
        with pytest.raises(EngineError, match="does not read"):
            session.console.write(b"x")
        assert session.wait(0.1).kind is Ending.TIMEOUT


def test_a_flood_of_output_waits_for_its_reader():
    # mov edx, 0x3f8; mov al, 'x'; out dx, al; jmp
    with unicorn.start(raw.plan(bytes.fromhex("baf8030000 b078 ee ebfd")), ANY) as session:
        total = 0
        for data in session.console:
            total += len(data)
            if total > 3 << 19:
                break
        assert session.stop().kind is Ending.INTERRUPTED
        assert session.console.lost == 0


# Ports.


def port(number: int, size: int = 1) -> int:
    """What the guest reads there, by way of the exit port's seven bits."""
    opcode = {1: b"\xec", 2: b"\x66\xed", 4: b"\xed"}[size]
    value = 0
    for shift in range(0, 8 * size, 4):
        code = b"\x31\xc0\xba" + number.to_bytes(4, "little") + opcode
        code += b"\xc1\xe8" + bytes([shift]) + b"\x83\xe0\x0f\xba\xf4\0\0\0\xef"
        outcome = run(code)
        value |= outcome.status << shift
    return value


@pytest.mark.parametrize(
    ("number", "size", "value"),
    [
        (0x3FD, 1, 0x60), (0x92, 1, 2), (0x21, 1, 0xFF), (0x64, 1, 0xFF), (0xCFC, 4, 0xFFFFFFFF),
        (0x1234, 2, 0xFFFF), (0xF4, 1, 0), (0x604, 2, 1), (0xE9, 1, 0xE9),
    ],
)  # fmt: skip
def test_what_ports_read_as(number, size, value):
    assert port(number, size) == value


def test_the_clock_of_a_new_machine():
    # MOV AL, 32h; OUT 70h, AL; IN AL, 71h
    code = b"\xb0\x32\xe6\x70\xe4\x71\x0f\xb6\xc0\xba\xf4\0\0\0\xef"
    assert run(code) == Outcome(Ending.EXITED, 0x20)


def test_the_timer_counts():
    # Counter 2, mode 0, 1193 ticks: port 61h shows its output within a millisecond of accesses.
    code = bytes.fromhex("b0b0 e643 b0a9 e642 b004 e642 31c9") + bytes.fromhex(
        "41 e461 a820 74f9 89c8 c1e804"  # INC ECX until bit 5; ECX / 16
        "ba f4000000 ef"
    )
    assert run(code) == Outcome(Ending.EXITED, 1000 // 16)


# What it refuses.


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((raw.MIB, 2), "cpus"),
        ((raw.MIB, 1, (Disk("disk.img"),)), "disk"),
        ((raw.MIB, 1, (), "seabios"), "firmware"),
        ((raw.MIB + 1, 1), "memory"),
    ],
)
def test_machines_that_it_is_not(arguments, field):
    with pytest.raises(RequestError) as error:
        unicorn.machine(*arguments)
    assert error.value.field == field


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (RunOptions(accelerator="kvm"), "accelerator"), (RunOptions(extra=("-S",)), "extra"),
        (RunOptions(gdb=1234), "gdb"),
    ],
)  # fmt: skip
def test_options_of_other_engines(options, field):
    with pytest.raises(RequestError, match="engine unicorn has nothing for it") as error:
        unicorn.launch(unicorn.machine(raw.MIB, 1), options)
    assert error.value.field == field


def test_a_plan_for_another_machine():
    with (
        unicorn.launch(unicorn.machine(2 * raw.MIB, 1), ANY) as pending,
        pytest.raises(RequestError, match=r"^machine: "),
    ):
        pending.start(raw.plan(raw.SPIN))
    with pytest.raises(RequestError, match=r"^machine: pc planned for"):
        unicorn.launch(replace(unicorn.machine(2 * raw.MIB, 1), name="pc"), ANY)


def test_a_state_that_no_processor_has():
    with pytest.raises(RequestError, match=r"^cpu cr0: "):
        unicorn.start(raw.plan(raw.SPIN, replace(raw.FLAT32, cr0=0x21 << 31)), ANY)


# What is missing.


def available(prelude: str) -> dict:
    """What the engine says in a process of its own after `prelude`."""
    code = f"import sys, json\n{prelude}\nfrom hvmlite.engines import unicorn\n" + (
        "found = unicorn.available()\nprint(json.dumps([found.ok, found.reason, found.hint]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return dict(zip(("ok", "reason", "hint"), json.loads(result.stdout), strict=True))


def test_it_is_available():
    found = unicorn.available()
    assert found.ok
    assert found.version.startswith("2.")
    assert available("") == {"ok": True, "reason": "", "hint": None}


@pytest.mark.parametrize(
    ("prelude", "reason"),
    [
        ("sys.modules['unicorn'] = None", "the package unicorn needed"),
        (
            "import unicorn; unicorn.__version__ = '2.1.1'",
            "version 2.1.1 found, 2.1.2 or a later 2",
        ),
        ("import unicorn; unicorn.__version__ = '3.0.0rc1'", "version 3.0.0rc1 found"),
        (
            "from unicorn.unicorn_py3.unicorn import UcContext\n"
            "UcContext.__bytes__ = lambda self: bytes(self.size)",
            "a processor record of an unknown layout found",
        ),
    ],
)
def test_why_it_is_not_available(prelude, reason):
    found = available(prelude)
    assert not found["ok"]
    assert reason in found["reason"]
    assert "pip install" in found["hint"]


def test_without_the_package_nothing_starts():
    code = (
        "import sys; sys.modules['unicorn'] = None\n"
        "from hvmlite.engines import unicorn; from hvmlite.model import RunOptions\n"
        "unicorn.launch(unicorn.machine(1 << 20, 1), RunOptions())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert f"{EngineUnavailable.__name__}: unicorn: " in result.stderr
