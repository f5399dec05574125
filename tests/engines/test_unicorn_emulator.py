"""The emulator itself: modes, counts, stops, memory, and that it is the same each time."""

from __future__ import annotations

from dataclasses import replace
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hvmlite
from engines import raw_guests as raw
from engines.programs import assembled
from engines.unicorn_guests import HLT, INC_EBX, MASK, NOP, loaded
from hvmlite.engines import qemu
from hvmlite.engines._unicorn_code import repeat_mask
from hvmlite.engines._unicorn_emulator import Emulator, Fault, Reason
from hvmlite.errors import EngineLost, RequestError
from hvmlite.model import (
    CpuState,
    DescriptorTable,
    Ending,
    GuestPlan,
    Mode,
    Outcome,
    RunOptions,
    SegmentRegister,
)

# States.


def test_every_state_can_be_read_back(emulator):
    for cpu in (
        raw.FLAT32, raw.LONG, raw.LONG_LA57, raw.COMPATIBILITY, raw.PROTECTED16, raw.REAL,
        replace(raw.LONG, r15=MASK, rflags=0xCD7, cr2=MASK, cr8=7),
        replace(raw.LONG, idtr=DescriptorTable(1 << 63, 1), gdtr=DescriptorTable(MASK, 0xFFFF)),
    ):  # fmt: skip
        emulator.cpu = cpu
        assert emulator.cpu == cpu


@pytest.mark.parametrize("cpu", [raw.REAL, raw.FLAT32, raw.LONG])
def test_flags_are_what_they_were_set_to(emulator, cpu):
    # PUSHF, CLD, HLT; each time the code is the same, and the processor was somewhere else before.
    code = b"\x9c\xfc" + HLT
    for flags in (0x2, 0xCD7, 0x402, 0x8D7, 0x3, 0x46):
        loaded(emulator, code, replace(cpu, rsp=0x8000, rflags=flags))
        assert emulator.run().reason is Reason.HALTED
        pushed = emulator.memory.read(emulator.cpu.rsp, 2)
        assert int.from_bytes(pushed, "little") == flags
        assert emulator.cpu.rflags == flags & ~0x400


SEGMENTS = st.builds(
    SegmentRegister,
    selector=st.integers(0, 0xFFFF), base=st.integers(0, 0xFFFFFFFF), limit=st.just(0xFFFFF),
    type=st.sampled_from([3, 7, 11, 15]), dpl=st.integers(0, 3), avl=st.integers(0, 1),
    db=st.integers(0, 1), g=st.just(1),
)  # fmt: skip


@given(
    st.dictionaries(st.sampled_from(list(CpuState().general)), st.integers(0, MASK)),
    st.dictionaries(st.sampled_from(["ds", "es", "fs", "gs", "ss", "cs"]), SEGMENTS),
    st.integers(0, 0xFFF).map(lambda flags: flags & 0xED7 | 2),
)
def test_any_state_can_be_read_back(emulator, registers, segments, flags):
    cpu = replace(raw.FLAT32, **registers, **segments, rflags=flags)
    emulator.cpu = cpu
    assert emulator.cpu == cpu


def test_hidden_parts_of_segments_count(emulator):
    high = SegmentRegister(0x18, 0x200000, 0xFFF, type=3, db=1)
    loaded(emulator, b"\xc6\x03\x2a" + HLT, replace(raw.FLAT32, ds=high, rbx=0x10))
    assert emulator.run().reason is Reason.HALTED
    assert emulator.memory.read(0x200010, 1) == b"\x2a"  # MOV byte [EBX], 42


def test_big_real_mode(emulator):
    flat = SegmentRegister(0, 0, 0xFFFFFFFF, g=1)
    cpu = replace(raw.REAL, ds=flat, rbx=0x400000)
    loaded(emulator, b"\x67\xc6\x03\x2a\xf4", cpu)
    assert emulator.run().reason is Reason.HALTED
    assert emulator.memory.read(0x400000, 1) == b"\x2a"


def test_every_mode_and_back(emulator, tmp_path):
    code, label = assembled("modes", tmp_path, bits=64, at=0x8000)
    plan = raw.plan(code, CpuState(rip=0x8000))
    plan = replace(plan, pieces=(*plan.pieces, raw.identity_map()))
    emulator.load(plan)
    expected = {
        "protected32": Mode.PROTECTED32, "compatible": Mode.COMPATIBILITY, "long": Mode.LONG,
        "compatible_again": Mode.COMPATIBILITY, "protected_again": Mode.PROTECTED32,
        "protected16": Mode.PROTECTED16, "real": Mode.REAL,
    }  # fmt: skip
    assert emulator.cpu.mode is Mode.REAL
    for name, mode in expected.items():
        stop = emulator.run(label[key] for key in expected)
        assert (stop.reason, stop.address) == (Reason.UNTIL, label[name]), name
        assert emulator.cpu.mode is mode
    assert emulator.cpu.r8 == emulator.cpu.r9 == 0x0123456789ABCDEF
    assert emulator.run().outcome == Outcome(Ending.EXITED, 0x2A)


@pytest.mark.boot
def test_every_mode_and_back_on_qemu(tmp_path):
    code, _ = assembled("modes", tmp_path, bits=64, at=0x8000)
    plan = raw.plan(code, CpuState(rip=0x8000))
    plan = replace(plan, pieces=(*plan.pieces, raw.identity_map()))
    with qemu.start(plan, RunOptions("tcg")) as session:
        assert session.wait(30) == Outcome(Ending.EXITED, 0x2A)


# Counts.


@pytest.mark.parametrize(
    ("code", "instructions", "iterations"),
    [
        ("90 90 f4", 3, 3),
        ("b905000000 bf00002000 f3aa f4", 4, 8),  # REP STOSB of 5
        ("b905000000 bf00002000 f3aa b905000000 f3aa f4", 6, 14),  # and again
        ("b900000000 bf00002000 f3aa f4", 4, 4),  # of nothing
        ("b905000100 bf00000100 67f3aa f4", 4, 8),  # of CX only
        ("b905000000 bf00002000 f3ae f4", 4, 8),  # REPE SCASB to the end
        ("b905000000 bf00001000 f3ae f4", 4, 4),  # up to the first byte
        ("b905000000 e2fe f4", 7, 7),  # LOOP to itself is an instruction each time
    ],
)
def test_counts(emulator, code, instructions, iterations):
    loaded(emulator, bytes.fromhex(code))
    assert emulator.run(count=True).reason is Reason.HALTED
    assert (emulator.instructions, emulator.iterations) == (instructions, iterations)


def test_a_rep_that_faults_counts_once(emulator, tmp_path):
    # 64-bit: REP STOSB over the end of what is mapped; the handler maps it and returns.
    code = bytes.fromhex(
        "b910000000 bff8ff1f00 f3aa f4"  # MOV ECX, 16; MOV EDI, 0x1ffff8; REP STOSB; HLT
        # MOV qword [0x12008], 0x200083; ADD RSP, 8; IRETQ
        "48c7042508200100 83002000 4883c408 48cf"
    )
    cpu = replace(raw.LONG, rsp=0x9000, ss=raw.DATA32, idtr=DescriptorTable(0x4000, 0xFFF))
    cpu = replace(cpu, gdtr=DescriptorTable(0x5000, 0x1F))
    loaded(emulator, code, cpu)
    handler = raw.AT + 13
    gate = handler & 0xFFFF | 8 << 16 | 0x8E00 << 32 | handler >> 16 << 48
    emulator.write(0x4000 + 16 * 14, gate.to_bytes(8, "little"))
    emulator.write(0x5008, 0x00AF9B000000FFFF.to_bytes(8, "little"))
    emulator.write(0x5010, 0x00CF93000000FFFF.to_bytes(8, "little"))
    stop = emulator.run(count=True)
    assert (stop.reason, emulator.cpu.mode) == (Reason.HALTED, Mode.LONG)
    assert emulator.faults == [Fault(14, raw.AT + 10, 2, 0x200000)]
    # 8 bytes, the fault, 3 instructions of the handler, 8 bytes; and what is around them
    assert (emulator.instructions, emulator.iterations) == (3 + 3 + 1, 3 + 3 + 16)


@pytest.mark.parametrize(
    ("code", "mode", "expected"),
    [
        (b"\xf3\xa4", Mode.LONG, MASK), (b"\xf3\x48\xa5", Mode.LONG, MASK),
        (b"\x67\xf3\xa4", Mode.LONG, 0xFFFFFFFF), (b"\x66\xf3\xab", Mode.REAL, 0xFFFF),
        (b"\xf2\xae", Mode.PROTECTED32, 0xFFFFFFFF), (b"\x67\xf3\x6d", Mode.REAL, 0xFFFFFFFF),
        (b"\xf3\x48\xa5", Mode.PROTECTED32, 0),  # DEC EAX
        (b"\xa4\xf3", Mode.LONG, 0), (b"\xf3\x90", Mode.LONG, 0), (b"\xeb\xfe", Mode.LONG, 0),
        (b"", Mode.LONG, 0), (b"\xf3", Mode.LONG, 0), (b"\xf3\x0f\x10", Mode.LONG, 0),
    ],
)  # fmt: skip
def test_what_a_rep_is(code, mode, expected):
    assert repeat_mask(code, mode) == expected


# Stops.


def test_until_an_address(emulator):
    loaded(emulator, INC_EBX * 3 + HLT)
    stop = emulator.run([raw.AT + 4])
    assert (stop.reason, stop.address, emulator.cpu.rbx) == (Reason.UNTIL, raw.AT + 4, 2)
    assert emulator.run([raw.AT + 4]).reason is Reason.HALTED
    assert emulator.cpu.rbx == 3


def test_until_comes_round_again(emulator):
    loaded(emulator, INC_EBX + b"\xeb\xfc")
    for count in range(4):
        assert emulator.run([raw.AT]).reason is Reason.UNTIL
        assert emulator.cpu.rbx == count + 1


def test_not_outside_what_may_be_executed(emulator):
    loaded(emulator, INC_EBX * 3 + HLT)
    stop = emulator.run(within=[(raw.AT, raw.AT + 4)])
    assert (stop.reason, stop.address, emulator.cpu.rbx) == (Reason.OUTSIDE, raw.AT + 4, 2)


def test_not_outside_what_may_be_written(emulator):
    # MOV [0x200000], EAX: by its physical address, which is not the linear one here.
    cpu = replace(raw.LONG, rax=0x2A)
    loaded(emulator, b"\x89\x04\x25\x00\x00\x20\x00" + HLT, cpu)
    emulator.write(0x12008, 0x600083.to_bytes(8, "little"))
    stop = emulator.run(writes=[(0, 0x600000), (0x600004, 1 << 40)])
    assert (stop.reason, stop.address, stop.detail) == (Reason.WRITE, 0x600000, "4 bytes")
    assert emulator.memory.read(0x600000, 1) == b"\x2a"
    loaded(emulator, b"\x89\x04\x25\x00\x00\x20\x00" + HLT, cpu)
    emulator.write(0x12008, 0x600083.to_bytes(8, "little"))
    assert emulator.run(writes=[(0, 1 << 40)]).reason is Reason.HALTED


def test_what_may_be_written_can_change_from_run_to_run(emulator):
    for writes, reason in (
        ([(0, raw.MIB)], Reason.WRITE), ([(0, 3 * raw.MIB)], Reason.HALTED),
        ([(0, raw.MIB), (2 * raw.MIB, 3 * raw.MIB)], Reason.HALTED), (None, Reason.HALTED),
        ([(2 * raw.MIB + 4, 3 * raw.MIB)], Reason.WRITE), ([(0, raw.MIB)], Reason.WRITE),
    ):  # fmt: skip
        loaded(emulator, b"\xa3\0\0\x20\0" + HLT, keep=True)
        stop = emulator.run(within=[(raw.AT, raw.AT + 6)], writes=writes)
        assert (writes, stop.reason) == (writes, reason)


@pytest.mark.parametrize("count", [True, False])
def test_budget(emulator, count):
    loaded(emulator, INC_EBX * 9 + HLT)
    assert emulator.run(budget=4, count=count).reason is Reason.BUDGET
    assert emulator.cpu.rbx == 4
    assert emulator.run(count=count).reason is Reason.HALTED
    assert emulator.cpu.rbx == 9


def test_a_guest_that_faults_for_ever_has_a_budget(emulator):
    # the handler of an invalid opcode is an invalid opcode
    gate = (raw.AT & 0xFFFF | 8 << 16 | 0x8E00 << 32 | raw.AT >> 16 << 48).to_bytes(8, "little")
    cpu = replace(
        raw.FLAT32, rsp=0x900000, idtr=DescriptorTable(0x4000, 0xFF),
        gdtr=DescriptorTable(0x5000, 0xF),
    )  # fmt: skip
    loaded(emulator, raw.UD2, cpu)
    emulator.write(0x4000 + 8 * 6, gate)
    emulator.write(0x5008, 0x00CF9B000000FFFF.to_bytes(8, "little"))
    assert emulator.run(budget=50_000).reason is Reason.BUDGET
    assert len(emulator.faults) == 50


@pytest.mark.parametrize("count", [True, False])
def test_a_budget_of_nothing_runs_nothing(emulator, count):
    loaded(emulator, INC_EBX + raw.SPIN)
    for budget in (0, -1):
        assert emulator.run(budget=budget, count=count).reason is Reason.BUDGET
    assert emulator.cpu.rbx == 0
    assert emulator.run(budget=3, count=count).reason is Reason.BUDGET
    assert emulator.cpu.rbx == 1


@pytest.mark.parametrize(
    ("code", "budget", "reason"),
    [
        ("b8000000f4 90 f4", 1, Reason.BUDGET),  # MOV EAX, 0xf4000000 ends in the byte of HLT
        ("75f4 90 f4", 1, Reason.HALTED),  # JNE, which jumps to the HLT before it
        ("39c0 75f4 90 f4", 2, Reason.BUDGET),  # and which does not
        ("90 f4", 2, Reason.HALTED), ("66f4", 1, Reason.HALTED), ("90 f4", 1, Reason.BUDGET),
    ],
)  # fmt: skip
def test_where_instructions_are_counted_only_hlt_is_halted(emulator, code, budget, reason):
    loaded(emulator, bytes.fromhex(code))
    emulator.write(raw.AT - 10, HLT)
    assert emulator.run(budget=budget + (code[:2] == "75"), count=True).reason is reason


def test_halted_says_where(emulator):
    loaded(emulator, NOP + HLT)
    stop = emulator.run()
    assert (stop.reason, stop.address) == (Reason.HALTED, raw.AT + 2)


def test_what_is_said_apart_from_the_console(emulator):
    loaded(emulator, raw.out(0xE9, ord("?")) + raw.say(b"!") + HLT)
    emulator.run()
    assert (emulator.ports.debug, emulator.ports.serial) == (b"?", b"!")


def test_a_triple_fault_leaves_the_state_before_it(emulator):
    cpu = replace(raw.FLAT32, cr2=0x777, rsp=0x8000, rbx=3, idtr=DescriptorTable(0, 0))
    loaded(emulator, raw.UD2, cpu)
    assert emulator.run().reason is Reason.TRIPLE_FAULT
    assert emulator.cpu == cpu


def test_nothing_is_executed_after_the_end(emulator):
    loaded(emulator, raw.out(0xF4, 3) + INC_EBX + HLT)
    assert emulator.run().outcome == Outcome(Ending.EXITED, 3)
    assert emulator.cpu.rbx == 0


def test_virtual_8086_mode_is_told(emulator):
    cpu = replace(raw.FLAT32, rflags=0x20002, rip=0, cs=SegmentRegister(0x1000, 0x10000, dpl=3),
                  ss=SegmentRegister(dpl=3))  # fmt: skip
    emulator.load(raw.plan(raw.UD2), cpu)
    emulator.write(0x10000, raw.UD2)
    with pytest.raises(EngineLost, match=r"^unicorn: an exception in virtual 8086 mode found"):
        emulator.run()


def test_system_calls_are_told():
    emulator = Emulator(qemu.machine(16 * raw.MIB, 1))
    loaded(emulator, b"\x0f\x05" + HLT, replace(raw.LONG, efer=0x501))
    with pytest.raises(EngineLost, match=r"^unicorn: SYSCALL found, which is not emulated$"):
        emulator.run()


def test_a_processor_of_an_unknown_name():
    with pytest.raises(RequestError, match=r"^processor Z80: not known"):
        Emulator(qemu.machine(raw.MIB, 1), "Z80")


# A real kernel.


def linux(kernels) -> GuestPlan:
    return hvmlite.plan(kernels["6.12-cloud"], protocol="pvh", memory=96 * raw.MIB)


LOWER, UPPER = [(0, 1 << 47)], [(MASK >> 1, MASK + 1)]


def test_linux_from_its_pvh_entry_into_its_own_page_tables(kernels):
    plan = linux(kernels)
    seen = []
    for _ in range(2):
        emulator = Emulator(plan.machine)
        emulator.load(plan)
        assert emulator.cpu.mode is Mode.PROTECTED32
        # xen_prepare_pvh and, after startup_64, what follows it run at their final addresses
        for within in (LOWER, UPPER, LOWER):
            assert emulator.run(within=within, count=True).reason is Reason.OUTSIDE
            assert emulator.cpu.mode is Mode.LONG
        assert emulator.cpu.rip >> 47 == MASK >> 47
        memory = emulator.memory.read(0, plan.machine.memory)
        seen.append((emulator.instructions, emulator.iterations, emulator.cpu, crc32(memory)))
        emulator.close()
    assert seen[0] == seen[1]
    assert 9_000 < seen[0][0] < seen[0][1] < 12_000
