"""The emulator's memory, and its walk of page tables.

The walk is held against pages that the processor has walked in test_unicorn_exceptions.
"""

from __future__ import annotations

import resource
from dataclasses import replace

import pytest

from engines import raw_guests as raw
from engines.unicorn_guests import HLT, INC_EBX, MASK, loaded
from hvmlite.engines import qemu
from hvmlite.engines._unicorn_emulator import Emulator, Reason
from hvmlite.engines._unicorn_memory import Access, PageFault, PhysicalMemory, translate
from hvmlite.errors import RequestError
from hvmlite.model import (
    CpuState,
    Machine,
    RamBlock,
)


def test_where_no_ram_is(emulator):
    # MOV EAX, [0x80000000]; MOV [0x80000004], EAX; MOV EAX, 0x80000000; JMP EAX
    code = bytes.fromhex("a100000080 a304000080 b800000080 ffe0")
    loaded(emulator, code, replace(raw.FLAT32, cr2=0x777))
    emulator.run([raw.AT + 10])
    assert emulator.cpu.rax == 0xFFFFFFFF
    assert emulator.lost == [(0x80000004, 0x80000008)]
    stop = emulator.run()  # all ones are no instruction
    assert (stop.reason, stop.address) == (Reason.TRIPLE_FAULT, 0x80000000)
    assert emulator.cpu.cr2 == 0x777


def test_more_ram_than_the_host_gives():
    memory = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, memory[1]))
    try:
        with pytest.raises(RequestError, match=r"^memory: 0x1000000000 bytes found, no more than"):
            PhysicalMemory(qemu.machine(64 << 30, 1))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, memory)


def test_ram_above_4_gib():
    machine = Machine(
        "pieces", 2 * raw.MIB, (RamBlock(0, raw.MIB, 0), RamBlock(5 << 30, raw.MIB, raw.MIB))
    )
    emulator = Emulator(machine)
    tables = [(0, 0x11007), (0, 0x12007), (0, 0x83), (1, 5 << 30 | 0x83)]
    cpu = replace(raw.LONG, rip=0x8000, rax=0x2A, rbx=0x200010)
    emulator.memory.write(0x8000, b"\x48\x89\x03" + HLT)  # MOV [RBX], RAX
    for page, (index, entry) in zip((0x10000, 0x11000, 0x12000, 0x12000), tables, strict=True):
        emulator.memory.write(page + 8 * index, entry.to_bytes(8, "little"))
    emulator.cpu = cpu
    assert emulator.run().reason is Reason.HALTED
    assert emulator.memory.read(5 << 30 | 0x10, 1) == b"\x2a"
    assert emulator.memory.read((5 << 30) - 4, 8) == b"\xff\xff\xff\xff\0\0\0\0"
    emulator.close()


def test_other_code_at_the_same_place(emulator):
    run = {"within": [(raw.AT, raw.AT + 0x100)]}
    for count in (3, 5, 5, 2):
        loaded(emulator, INC_EBX * count + HLT, keep=True)
        assert emulator.run(**run).reason is Reason.HALTED
        assert emulator.cpu.rbx == count


def test_code_that_changes_itself(emulator):
    # MOV byte [AT + 10], 0x43: the instruction there becomes INC EBX
    code = bytes.fromhex("c6050a00100043 90 90 90 90 f4")
    for _ in range(2):
        loaded(emulator, code, keep=True)
        assert emulator.run(within=[(raw.AT, raw.AT + 12)]).reason is Reason.HALTED
        assert emulator.cpu.rbx == 1
    loaded(emulator, b"\x90" * 11 + HLT, keep=True)
    assert emulator.run(within=[(raw.AT, raw.AT + 12)]).reason is Reason.HALTED
    assert emulator.cpu.rbx == 0


def test_loading_forgets_what_was_written(emulator):
    loaded(emulator, b"\xa3\0\0\x20\0" + HLT, replace(raw.FLAT32, rax=MASK))
    emulator.run()
    assert emulator.memory.read(0x200000, 4) == b"\xff" * 4
    loaded(emulator, HLT)
    assert emulator.memory.read(raw.AT, 8) == HLT + bytes(7)
    assert not any(emulator.memory.read(0x200000, 0x1000))


def walk(tables: dict[int, int], cpu: CpuState, address: int, size: int = 8, **access) -> int:
    memory = PhysicalMemory(qemu.machine(2 * raw.MIB, 1))
    for where, entry in tables.items():
        memory.write(where, entry.to_bytes(size, "little"))
    return translate(memory, cpu, address, Access(**access))


@pytest.mark.parametrize(
    ("tables", "changes", "size", "address", "expected"),
    [
        ({}, {"cr0": 1}, 4, 0x12345678, 0x12345678),
        ({0x10004: 0x800083}, {"cr4": 0x10}, 4, 0x412345, 0x812345),  # 4 MiB
        ({0x10004: 0x802083}, {"cr4": 0x10}, 4, 0x412345, 0x1_0081_2345),  # PSE-36
        ({0x10004: 0x11003, 0x11048: 0x5003}, {"cr4": 0}, 4, 0x412345, 0x5345),
        ({0x10008: 0x11001, 0x11008: 0xA00083}, {"cr4": 0x20}, 8, 0x40212345, 0xA12345),  # PAE
        ({0x10000: 0x11003, 0x11008: 0x4000_0083}, {"cr4": 0x20, "efer": 0x500}, 8, 0x40212345,
         0x40212345),  # 1 GiB
        ({0x10FF8: 0x11003, 0x11FF0: 0x12003, 0x12000: 0x13003, 0x13008: 0x7003},
         {"cr4": 0x20, "efer": 0x500}, 8, 0xFFFFFFFF80001234, 0x7234),
        ({0x10008: 0x11003, 0x11000: 0x12003, 0x12000: 0x13003, 0x13000: 0x83},
         {"cr4": 0x1020, "efer": 0x500}, 8, 1 << 48 | 0x1234, 0x1234),  # five levels
    ],
)  # fmt: skip
def test_translations(tables, changes, size, address, expected):
    cpu = replace(raw.FLAT32, **({"cr0": 0x80000011, "cr3": 0x10000} | changes))
    assert walk(tables, cpu, address, size) == expected


@pytest.mark.parametrize(
    ("entry", "access", "changes", "code"),
    [
        (0, {}, {}, 0),
        (0, {"write": True, "user": True}, {}, 6),
        (0x81, {"write": True}, {}, None),
        (0x81, {"write": True}, {"cr0": 0x80010011}, 3),
        (0x83, {"user": True}, {}, 5),
        (0x87, {}, {}, None),
        (0x87, {}, {"cr4": 0x200020}, 1),  # SMAP
        (0x87, {"fetch": True}, {"cr4": 0x100020}, 0x11),  # SMEP
        (1 << 63 | 0x83, {"fetch": True}, {"efer": 0xD00}, 0x11),
        (1 << 63 | 0x83, {}, {"efer": 0xD00}, None),
    ],
)
def test_rights(entry, access, changes, code):
    cpu = replace(raw.LONG, **changes)
    tables = {0x10000: 0x11007, 0x11000: 0x12007, 0x12008: entry | 0x200000 if entry else 0}
    if code is None:
        assert walk(tables, cpu, 0x200123, **access) == 0x200123
    else:
        with pytest.raises(PageFault) as fault:
            walk(tables, cpu, 0x200123, **access)
        assert (fault.value.address, fault.value.code) == (0x200123, code)


def test_a_walk_marks_what_it_used():
    memory = PhysicalMemory(qemu.machine(2 * raw.MIB, 1))
    for where, entry in ((0x10000, 0x11003), (0x11000, 0x12003), (0x12000, 0x83)):
        memory.write(where, entry.to_bytes(8, "little"))
    translate(memory, raw.LONG, 0, Access())
    assert [memory.read(at, 1)[0] for at in (0x10000, 0x11000, 0x12000)] == [0x23, 0x23, 0xA3]
    translate(memory, raw.LONG, 0, Access(write=True))
    assert [memory.read(at, 1)[0] for at in (0x10000, 0x11000, 0x12000)] == [0x23, 0x23, 0xE3]
