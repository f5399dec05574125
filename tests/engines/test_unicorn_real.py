"""INT n in real mode: done in the midst of a run, and just as it is done step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines import raw_guests as raw
from hvmlite.engines._unicorn_emulator import Emulator, Fault, Reason, linear
from hvmlite.engines._unicorn_interrupts import UD, Interrupt, TripleFault, deliver
from hvmlite.engines._unicorn_memory import PhysicalMemory
from hvmlite.model import CpuState, DescriptorTable, Machine, RamBlock, SegmentRegister

CODE = raw.REAL.cs.base + raw.REAL.rip
LENGTH = 2
SIZE = 0x120000
AC, RF, TF = 1 << 18, 1 << 16, 1 << 8
NUMBERS = st.integers(0, (1 << 64) - 1)
BASES = st.one_of(st.integers(0x4000, 0xF0000), st.sampled_from([0, 0xFFFF0, 0xFFFFFFF0]))
STACKS = st.builds(
    SegmentRegister,
    selector=st.integers(0, 0xFFFF),
    base=BASES,
    limit=st.sampled_from([0xFFFF, 0xFFFFF, 0x7FFF, 0x800]),
    type=st.sampled_from([3, 7, 11]),
    db=st.sampled_from([0, 0, 1]),
)
VECTORS = st.integers(0, 255).filter(lambda vector: vector != UD)  # the library knows no INT 6
POINTERS = st.one_of(NUMBERS, st.sampled_from([0, 2, 5, 6, 7, 0x7FFF, 0x8000, 0x8001, 0x801]))


@pytest.fixture(scope="module")
def machines():
    """An emulator, and the same memory for the other way."""
    machine = Machine("small", SIZE, (RamBlock(0, SIZE, 0),))
    emulator = Emulator(machine)
    yield emulator, PhysicalMemory(machine)
    emulator.close()


@settings(max_examples=400)
@given(
    rsp=POINTERS, ss=STACKS, vector=VECTORS, entry=st.integers(0, 0xFFFFFFFF),
    flags=st.integers(0, 0x3FFFFF), limit=st.sampled_from([0x3FF, 0x3FF, 0xFFFF, 0x4A, 0x4B, 0x20]),
    table=st.sampled_from([0, 0x1003, 0xFFFFFF00]), rax=NUMBERS,
)  # fmt: skip
def test_it_is_what_a_processor_does(machines, rsp, ss, vector, entry, flags, limit, table, rax):
    emulator, memory = machines
    flags = flags & (0xDD5 | 3 << 12 | 1 << 14 | AC | RF) & ~TF | 2
    idtr = DescriptorTable(table, limit)
    cpu = replace(raw.REAL, rsp=rsp, ss=ss, rflags=flags, idtr=idtr, rax=rax)
    plan = raw.plan(bytes((0xCD, vector)), cpu)
    emulator.load(plan)
    memory.forget(0, SIZE)
    for each in (emulator.memory, memory):
        each.write(table, entry.to_bytes(4, "little") * 256)
        each.write(CODE, plan.pieces[0].data)
    before = replace(cpu, rip=cpu.rip + LENGTH, rflags=flags & ~RF)
    stop = emulator.run(within=[(CODE, CODE + LENGTH)], budget=5000)
    interrupt = Interrupt(vector, software=True, length=LENGTH)
    try:
        expected, handled = deliver(memory, before, interrupt)
    except TripleFault:
        assert stop.reason is Reason.TRIPLE_FAULT
        return
    if handled is not interrupt:
        assert (emulator.faults[0].vector, emulator.faults[0].rip) == (handled.vector, cpu.rip)
        return
    assert emulator.faults[0] == Fault(vector, before.rip)
    if linear(expected) not in range(CODE, CODE + LENGTH):
        assert stop.reason is Reason.OUTSIDE
        assert len(emulator.faults) == 1
        assert emulator.cpu == expected
        assert emulator.memory.read(0, SIZE) == memory.read(0, SIZE)


def endless(emulator: Emulator) -> CpuState:
    # INT 0x21, whose handler is that instruction.
    cpu = replace(raw.REAL, rsp=0x8000, idtr=DescriptorTable(0, 0x3FF))
    emulator.load(raw.plan(b"\xcd\x21", cpu))
    emulator.memory.write(0x21 * 4, raw.REAL.rip.to_bytes(2, "little"))
    emulator.memory.write(0x21 * 4 + 2, raw.REAL.cs.selector.to_bytes(2, "little"))
    return cpu


def test_one_is_a_thousand_of_the_budget(machines):
    emulator = machines[0]
    cpu = endless(emulator)
    assert emulator.run(budget=7500).reason is Reason.BUDGET
    assert len(emulator.faults) == 8
    assert emulator.cpu == replace(cpu, rsp=0x8000 - 8 * 6)


@pytest.mark.parametrize("count", [1, 2, 50])
def test_it_is_one_instruction_where_they_are_counted(machines, count):
    emulator = machines[0]
    endless(emulator)
    assert emulator.run(budget=count, count=True).reason is Reason.BUDGET
    assert emulator.instructions == emulator.iterations == count
    assert len(emulator.faults) == count


def test_a_handler_is_stopped_before(machines):
    emulator = machines[0]
    cpu = endless(emulator)
    emulator.memory.write(0x21 * 4, bytes.fromhex("00003412"))
    stop = emulator.run(until=[0x12340], count=True)
    assert (stop.reason, stop.address) == (Reason.UNTIL, 0x12340)
    assert emulator.cpu == replace(cpu, rip=0, rsp=0x8000 - 6)
    assert emulator.instructions == 1
