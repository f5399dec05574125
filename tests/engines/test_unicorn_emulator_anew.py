"""What one run, or one guest, leaves to the next."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engines import raw_guests as raw
from engines.unicorn_guests import HLT, INC_EBX, NOP, loaded
from hvmlite.engines._unicorn_emulator import Emulator, Fault, Reason
from hvmlite.errors import EngineLost
from hvmlite.model import (
    DescriptorTable,
    SegmentRegister,
)


def handled(emulator: Emulator, code: bytes, vector: int, **changes: int) -> None:
    """Load 64-bit code; the handler of `vector`, and none else, is at AT + 0x800: HLT."""
    cpu = replace(
        raw.LONG, rsp=0x9000, ss=raw.DATA32, cr2=0x777, idtr=DescriptorTable(0x4000, 0xFFF),
        gdtr=DescriptorTable(0x5000, 0x1F), **changes,
    )  # fmt: skip
    loaded(emulator, code, cpu)
    handler = raw.AT + 0x800
    gate = handler & 0xFFFF | 8 << 16 | 0x8E00 << 32 | handler >> 16 << 48
    emulator.write(handler, HLT)
    emulator.write(0x4000 + 16 * vector, gate.to_bytes(8, "little"))
    emulator.write(0x5008, 0x00AF9B000000FFFF.to_bytes(8, "little"))


LOAD = bytes.fromhex("8b042500002000")  # MOV EAX, [0x200000], behind what is mapped


@pytest.mark.parametrize("count", [True, False])
@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (LOAD, Fault(14, raw.AT + 5, 0, 0x200000)),
        (raw.UD2, Fault(6, raw.AT + 5)),
        (b"\x8e\xd8", Fault(13, raw.AT + 5, 0x30)),  # MOV DS, AX
    ],
)
def test_a_stop_does_not_change_the_next_exception(emulator, code, fault, count):
    # As if it were one run, however it is cut: each end is a chance for a page fault of its own.
    run = {"count": count}
    for stops in (
        [], [{"budget": 2}], [{"budget": 2}] * 2, [{"until": [raw.AT + 2]}],
        [{"until": [raw.AT + 2, 0x40000000]}, {"until": [raw.AT + 4]}, {"budget": 1}],
        [{"within": [(raw.AT, raw.AT + 3)]}, {"writes": [(0, raw.MIB)], "budget": 1}],
    ):  # fmt: skip
        handled(emulator, NOP * 5 + code, fault.vector, rax=0x30)
        for stop in stops:
            assert emulator.run(**stop, **run).reason is not Reason.HALTED
            assert emulator.cpu.cr2 == 0x777
        assert emulator.run(**run).reason is Reason.HALTED
        assert (stops, emulator.faults) == (stops, [fault])
        assert emulator.cpu.cr2 == (fault.cr2 or 0x777)


def test_page_tables_may_change_where_it_stopped(emulator):
    # What has been run and watched is not mapped any more, what is next still is.
    handled(emulator, NOP * 5 + LOAD, 14)
    table = bytearray(0x1000)
    for page in range(512):
        table[8 * page : 8 * page + 8] = (page << 12 | 3).to_bytes(8, "little")
    emulator.write(0x20000, table)
    emulator.write(0x12000, 0x20003.to_bytes(8, "little"))
    assert emulator.run([raw.AT + 3, 0x6000], count=True).reason is Reason.UNTIL
    emulator.write(0x20000 + 8 * 6, bytes(8))
    assert emulator.run([0x7000], budget=1).reason is Reason.BUDGET
    assert emulator.run().reason is Reason.HALTED
    assert emulator.faults == [Fault(14, raw.AT + 5, 0, 0x200000)]


def test_what_was_mapped_is_forgotten(emulator):
    loaded(emulator, LOAD + HLT, raw.LONG)
    emulator.write(0x12008, 0x600083.to_bytes(8, "little"))
    emulator.run()  # 0x200000 is at 0x600000
    emulator.write(0x12008, 0x800083.to_bytes(8, "little"))
    emulator.write(0x800000, b"\x33")
    emulator.cpu = raw.LONG
    emulator.run()
    assert emulator.cpu.rax == 0x33
    loaded(emulator, b"\xa1\0\0\x20\0" + HLT)  # without paging
    emulator.write(0x200000, b"\x55")
    emulator.run()
    assert emulator.cpu.rax == 0x55


def test_the_next_guest_has_no_breakpoints(emulator):
    # MOV EAX, AT + 32; MOV DR0, EAX; MOV EAX, 2; MOV DR7, EAX
    loaded(emulator, bytes.fromhex("b820001000 0f23c0 b802000000 0f23f8") + HLT)
    assert emulator.run().reason is Reason.HALTED
    for run in ({}, {"count": True}, {"within": [(raw.AT, raw.AT + 41)]}):
        loaded(emulator, NOP * 40 + HLT, keep=True)
        assert emulator.run(**run).reason is Reason.HALTED


def test_the_next_guest_has_no_mtrrs(emulator):
    read = bytes.fromhex("b9ff020000 0f32") + HLT  # RDMSR of MTRRdefType
    loaded(emulator, bytes.fromhex("b9ff020000 b8060c0000 31d2 0f30") + read)
    emulator.run()
    assert emulator.cpu.rax == 0xC06
    loaded(emulator, read, replace(raw.FLAT32, rax=7))
    emulator.run()
    assert emulator.cpu.rax == 0


def test_the_next_guest_may_run_after_one_that_could_not(emulator):
    loaded(emulator, b"\x0f\x05" + HLT, replace(raw.LONG, efer=0x501))
    with pytest.raises(EngineLost, match=r"^unicorn: SYSCALL found"):
        emulator.run()
    loaded(emulator, INC_EBX + HLT)
    assert emulator.run().reason is Reason.HALTED


@pytest.mark.parametrize("cr4", [0x20, 1 << 20 | 0x20, 1 << 21 | 0x20])  # also SMEP, SMAP
def test_code_of_ring_3_can_be_looked_at(emulator, cr4):
    # INT 0x30, and before it a string instruction with REP: both are read from a page of ring 3.
    code = bytes.fromhex("b903000000 bf00800100 f3aa cd30")
    user = {"ss": replace(raw.DATA32, dpl=3), "cs": replace(raw.LONG.cs, dpl=3)}
    cpu = replace(
        raw.LONG, **user, rsp=0x9000, cr4=cr4, idtr=DescriptorTable(0x4000, 0xFFF),
        gdtr=DescriptorTable(0x5000, 0x1F),
        tr=SegmentRegister(0x18, 0x6000, 0x67, type=0xB, s=0),
    )  # fmt: skip
    loaded(emulator, code, cpu)
    for table in (0x10000, 0x11000):
        entry = int.from_bytes(emulator.memory.read(table, 8), "little")
        emulator.write(table, (entry | 4).to_bytes(8, "little"))
    emulator.write(0x30000, b"".join((p << 12 | 7).to_bytes(8, "little") for p in range(512)))
    emulator.write(0x12000, 0x30007.to_bytes(8, "little"))
    for page in (4, 5, 6, 7, 0xB):  # of the system: the tables, the stack, the handler
        emulator.write(0x30000 + 8 * page, (page << 12 | 3).to_bytes(8, "little"))
    gate = 0xB000 | 8 << 16 | 0xEE00 << 32
    emulator.write(0x4000 + 16 * 0x30, gate.to_bytes(8, "little"))
    emulator.write(0x5008, 0x00AF9B000000FFFF.to_bytes(8, "little"))
    emulator.write(0x6004, 0x8000.to_bytes(8, "little"))
    emulator.write(0xB000, HLT)
    assert emulator.run(count=True).reason is Reason.HALTED
    assert emulator.faults == [Fault(0x30, raw.AT + len(code))]
    assert emulator.instructions == 5
