"""Exceptions in every mode: what handlers find, by the manual, and the same as on QEMU."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from engines import raw_guests as raw
from engines.programs import assembled
from hvmlite.engines import qemu, unicorn
from hvmlite.model import CpuState, Ending, GuestPlan, Kind, PlacedPiece, RunOptions

pytestmark = pytest.mark.boot

RF = 1 << 16


class Seen(NamedTuple):
    """What a handler reports: it knows no names, only what is on its stack."""

    vector: int
    cr2: int
    sp: int
    stack: tuple[int, ...]

    def frame(self, error: int | None) -> tuple[int, ...]:
        return self.stack if error is None else self.stack[1:]


def said(engine, plan: GuestPlan, word: int, cr2: int, count: int) -> list[Seen]:
    """What a guest reports by an engine, until it ends in a triple fault."""
    with engine.start(plan, RunOptions("tcg")) as session:
        outcome = session.wait(120)
        data = b"".join(chunk.data for chunk in session.console.chunks)
    assert outcome.kind is Ending.TRIPLE_FAULT, outcome
    size = 1 + cr2 + word * (count + 1)
    assert len(data) % size == 0
    found = []
    for at in range(0, len(data), size):
        numbers = data[at + 1 + cr2 : at + size]
        words = [
            int.from_bytes(numbers[i : i + word], "little") for i in range(0, len(numbers), word)
        ]
        address = int.from_bytes(data[at + 1 : at + 1 + cr2], "little")
        found.append(Seen(data[at], address, words[0], tuple(words[1:])))
    return found


def entries(size: int, *values: tuple[int, int]) -> bytes:
    """A page of a paging structure: (index, value)."""
    page = bytearray(0x1000)
    for index, value in values:
        page[index * size : index * size + size] = value.to_bytes(size, "little")
    return bytes(page)


def paged(code: bytes, cpu: CpuState, tables: bytes) -> GuestPlan:
    plan = raw.plan(code, replace(cpu, cr0=cpu.cr0 & 0x7FFFFFFF))
    piece = PlacedPiece(
        "page tables", Kind.PAGE_TABLES, raw.TABLES, raw.TABLES + len(tables), tables
    )
    return replace(plan, cpu=cpu, pieces=(piece, *plan.pieces))


def check(seen: list[Seen], expected: list[tuple], label: dict[str, int]) -> None:
    """Compare vectors, error codes, return addresses and CR2 with what the manual says."""
    assert len(seen) == len(expected)
    for found, (vector, error, rip, *cr2) in zip(seen, expected, strict=True):
        assert found.vector == vector, rip
        where = label[rip] if isinstance(rip, str) else rip
        assert (rip, found.frame(error)[0]) == (rip, where)
        if error is not None:
            assert (rip, found.stack[0]) == (rip, error)
        if cr2:
            assert (rip, found.cr2) == (rip, *cr2)


def check_qemu(seen: list[Seen], qemu_seen: list[Seen], expected: list[tuple], odd: dict) -> None:
    """Compare every byte with QEMU's but for RF, which QEMU 7.2 does not set for faults (18.3.1.1).

    `odd` are error codes, by label, that QEMU gives and the manual does not.
    """
    assert len(qemu_seen) == len(seen)
    for ours, theirs, (_, error, rip, *_) in zip(seen, qemu_seen, expected, strict=True):
        stack = list(ours.stack)
        stack[2 if error is None else 3] &= ~RF
        if rip in odd:
            stack[0] = odd[rip]
        assert (rip, theirs) == (rip, ours._replace(stack=tuple(stack)))


DE, DB, BP, OF, BR, UD, NM, DF = 0, 1, 3, 4, 5, 6, 7, 8
TS, NP, SS, GP, PF, MF = 10, 11, 12, 13, 14, 16


def idt(vector: int) -> int:
    """The error code that names a gate: the index, and that it is the IDT's (SDM 6.13)."""
    return vector << 3 | 2


LONG = [
    (DE, None, "divide"), (DB, None, "single"), (BP, None, "breakpoint"), (UD, None, "invalid"),
    (NM, None, "no_device"), (GP, 0x7F8, "general"), (NP, 0x28, "not_present"),
    (SS, 0x28, "stack_segment"), (GP, 0, "canonical"), (0x30, None, "software"),
    (GP, idt(0x31), "gate_missing"), (NP, idt(0x32), "gate_not_present"),
    (0x33, None, "gate_trap"), (GP, 0x18, "gate_32"),
    (PF, 0, "absent_read", 0x201234), (PF, 2, "absent_write", 0x201238),
    (PF, 3, "read_only", 0x400010), (PF, 0x10, 0x200010, 0x200010),
    (PF, 0x11, 0x600010, 0x600010), (PF, 9, "reserved", 0xA00000),
    (DF, 0, "double", 0x2007F8), (0x30, None, "mended", 0x200004),
    (0x30, None, "user_software"), (GP, idt(0x20), "user_gate"), (GP, 0, "user_flag"),
    (PF, 5, "user_page", 0x400000), (DE, None, "compatible"),
]  # fmt: skip
# QEMU 7.2 takes 16 as the size of a selector's unit, and leaves P out of a reserved bit's error.
LONG_ODD = {
    "gate_missing": 0x312, "gate_not_present": 0x322, "user_gate": 0x202, "reserved": 8,
}  # fmt: skip
PROTECTED = [
    (DE, None, "divide"), (DB, None, "single"), (BP, None, "breakpoint"), (OF, None, "overflow"),
    (BR, None, "bounds"), (UD, None, "invalid"), (NM, None, "no_device"), (TS, 0, "task"),
    (NP, 0x28, "not_present"), (SS, 0x28, "stack_segment"), (GP, 0x7F8, "general"),
    (MF, None, "coprocessor"), (0x30, None, "software"), (GP, idt(0x31), "gate_missing"),
    (NP, idt(0x32), "gate_not_present"), (0x33, None, "gate_trap"),
    (0x34, None, "gate_16"), (GP, 0x20, "gate_data"),
    (PF, 0, "absent_read", 0x401234), (PF, 2, "absent_write", 0x401238),
    (PF, 3, "read_only", 0x800010), (0x30, None, "mended", 0x400004),
    (0x30, None, "user_software"), (GP, idt(0x20), "user_gate"), (GP, 0, "user_flag"),
    (PF, 5, "user_page", 0x800000), (DF, 0, "double"),
]  # fmt: skip
REAL = [
    (DE, None, "divide"), (DB, None, "single"), (BP, None, "breakpoint"), (OF, None, "overflow"),
    (BR, None, "bounds"), (UD, None, "invalid"), (NM, None, "no_device"),
    (0x30, None, "software"), (GP, None, "limit"),
]  # fmt: skip


def test_long_mode(tmp_path):
    code, label = assembled("long", tmp_path, bits=64, at=raw.AT)
    for name in ("user_software", "user_gate", "user_flag", "user_page"):
        label[name] += 0x800000
    tables = entries(8, (0, 0x11007)) + entries(8, (0, 0x12007))
    tables += entries(
        8, (0, 0x83), (2, 0x400081), (3, 1 << 63 | 0x600083), (4, 0x87), (5, 0xA02083)
    )
    plan = paged(code, replace(raw.LONG, efer=0xD00), tables)
    seen = said(unicorn, plan, 8, 8, 6)
    check(seen, LONG, label)
    check_qemu(seen, said(qemu, plan, 8, 8, 6), LONG, LONG_ODD)


def test_protected_mode(tmp_path):
    code, label = assembled("protected", tmp_path, bits=32, at=raw.AT)
    for name in ("user_software", "user_gate", "user_flag", "user_page"):
        label[name] += 0xC00000
    label["gate_16"] = label["gate_16"] & 0xFFFF | 8 << 16  # IP and CS, two bytes each
    cpu = replace(raw.FLAT32, cr0=0x80000011, cr3=raw.TABLES, cr4=0x10)
    plan = paged(code, cpu, entries(4, (0, 0x83), (2, 0x800081), (3, 0x87)))
    seen = said(unicorn, plan, 4, 4, 6)
    check(seen, PROTECTED, label)
    check_qemu(seen, said(qemu, plan, 4, 4, 6), PROTECTED, {})


def test_real_mode(tmp_path):
    code, label = assembled("real", tmp_path, bits=32, at=0x8000)
    plan = raw.plan(code, CpuState(rip=0x8000))
    seen = said(unicorn, plan, 2, 0, 4)
    check(seen, REAL, label)
    check_qemu(seen, said(qemu, plan, 2, 0, 4), REAL, {})
