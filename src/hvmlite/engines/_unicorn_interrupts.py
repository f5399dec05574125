"""What a processor does on an exception or a software interrupt (SDM volume 3, chapter 6).

Unicorn only says that there is one. Here the handler is found in the interrupt table of the mode,
the old state is put on the right stack, and the new state comes back. An exception on the way
becomes another one, a double fault or a triple fault by the rules of 6.15.

Not done, because no boot code that is known needs it: task gates and virtual 8086 mode.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hvmlite.engines._unicorn_memory import Access, PageFault, translate
from hvmlite.errors import UnsupportedError
from hvmlite.guest.segments import decode
from hvmlite.model import CpuState, Mode, SegmentRegister
from hvmlite.spec.x86 import RFLAGS

if TYPE_CHECKING:
    from hvmlite.engines._unicorn_memory import PhysicalMemory

__all__ = ["DB", "PF", "UD", "Interrupt", "TripleFault", "deliver"]

DB, BP, OF, UD, DF, TS, NP, SS, GP, PF = 1, 3, 4, 6, 8, 10, 11, 12, 13, 14
_WITH_ERROR = {DF, TS, NP, SS, GP, PF, 17, 21, 30}
_CONTRIBUTORY = {0, TS, NP, SS, GP}
_NOT_FAULTS = {2, DB, BP, OF, DF, 18}  # traps and aborts
_EXT = 1  # of an error code: while something else was delivered
_IDT = 2  # of an error code: the index is one of the interrupt table

_GATE_TASK, _GATE_INTERRUPT16, _GATE_TRAP16, _GATE_INTERRUPT, _GATE_TRAP = 5, 6, 7, 14, 15
_CODE, _CONFORMING, _WRITABLE = 8, 4, 2
_TF, _IF, _NT, _RF = int(RFLAGS.TF), int(RFLAGS.IF), int(RFLAGS.NT), int(RFLAGS.RF)
_VM, _AC = int(RFLAGS.VM), int(RFLAGS.AC)
_LMA = 1 << 10
_NULL_DATA = SegmentRegister(limit=0, type=0, s=0, present=0)


@dataclass(frozen=True, slots=True)
class Interrupt:
    """An exception, or of a `software` one the instruction INT n, INT3 or INTO.

    `address` is what a page fault puts into CR2. `length` is that of the instruction, behind which
    a software interrupt comes from: one that fails comes from the instruction itself.
    """

    vector: int
    error: int = 0
    software: bool = False
    address: int | None = None
    length: int = 0

    @property
    def has_error(self) -> bool:
        """Whether the handler finds an error code on its stack."""
        return not self.software and self.vector in _WITH_ERROR


class TripleFault(Exception):
    """A double fault could not be delivered: the processor shuts down."""


class _Fault(Exception):
    # An exception while another one is delivered.
    def __init__(self, vector: int, error: int, address: int | None = None) -> None:
        super().__init__(vector)
        self.interrupt = Interrupt(vector, error, address=address)


def deliver(
    memory: PhysicalMemory, cpu: CpuState, interrupt: Interrupt
) -> tuple[CpuState, Interrupt]:
    """Return the processor at the first instruction of the handler, and what it handles.

    :raises TripleFault: there is no handler even for the double fault
    :raises UnsupportedError: a task gate, or virtual 8086 mode
    """
    while True:
        if interrupt.address is not None:
            cpu = replace(cpu, cr2=interrupt.address)
        try:
            return _Delivery(memory, cpu, interrupt).run(), interrupt
        except PageFault as fault:
            second = Interrupt(PF, fault.code, address=fault.address)
        except _Fault as fault:
            second = fault.interrupt
        cpu = replace(cpu, rip=cpu.rip - interrupt.length)
        interrupt = _combine(interrupt, second)


def _combine(first: Interrupt, second: Interrupt) -> Interrupt:
    # Table 6-5; what is no fault of this kind goes before the first, which comes again later.
    if first.software:
        return second
    if first.vector == DF:
        raise TripleFault
    serious = second.vector in _CONTRIBUTORY
    if first.vector == PF:
        serious = serious or second.vector == PF
    elif first.vector not in _CONTRIBUTORY:
        serious = False
    return Interrupt(DF, address=second.address) if serious else second


class _Delivery:
    """One attempt; nothing is changed but the stack's memory until all of it has succeeded."""

    def __init__(self, memory: PhysicalMemory, cpu: CpuState, interrupt: Interrupt) -> None:
        self._memory, self._cpu, self._interrupt = memory, cpu, interrupt
        self._ext = 0 if interrupt.software else _EXT
        self._cpl = cpu.ss.dpl
        # 18.3.1.1. That the next instruction clears RF, QEMU does not always see to.
        fault = not interrupt.software and interrupt.vector not in _NOT_FAULTS
        self._flags = cpu.rflags & ~_RF | (_RF if fault else 0)

    def run(self) -> CpuState:
        if self._cpu.mode is Mode.REAL:
            return self._real()
        if self._cpu.rflags & _VM:
            raise UnsupportedError(
                "unicorn: an exception in virtual 8086 mode found, another mode needed",
                feature="virtual 8086 mode",
            )
        return self._long() if self._cpu.efer & _LMA else self._protected()

    # 20.1.4: real-address mode.

    def _real(self) -> CpuState:
        cpu, vector = self._cpu, self._interrupt.vector
        if 4 * vector + 3 > cpu.idtr.limit:
            raise self._gp(_IDT | 8 * vector)
        entry = self._read(cpu.idtr.base + 4 * vector, 4)
        sp = self._push(
            [cpu.rflags & 0xFFFF, cpu.cs.selector, cpu.rip & 0xFFFF], 2, cpu.rsp, cpu.ss
        )
        selector = entry >> 16
        return replace(
            cpu,
            rsp=sp,
            rip=entry & 0xFFFF,
            cs=replace(cpu.cs, selector=selector, base=selector << 4),
            rflags=cpu.rflags & ~(_TF | _IF | _AC | _RF),
        )

    # 6.12.1: protected mode.

    def _protected(self) -> CpuState:
        cpu, vector = self._cpu, self._interrupt.vector
        if 8 * vector + 7 > cpu.idtr.limit:
            raise self._gp(_IDT | 8 * vector)
        gate = self._read(cpu.idtr.base + 8 * vector, 8)
        kind = self._check_gate(
            gate, {_GATE_TASK, _GATE_INTERRUPT16, _GATE_TRAP16, _GATE_INTERRUPT, _GATE_TRAP}
        )
        if kind == _GATE_TASK:
            raise UnsupportedError(
                f"unicorn: a task gate for vector {vector:#x} found, another gate needed",
                feature="task gate",
            )
        size = 4 if kind & 8 else 2
        target = (gate & 0xFFFF) | (gate >> 48 << 16 if size == 4 else 0)
        code = self._code_segment(gate >> 16 & 0xFFFF)
        rsp, stack, values = cpu.rsp, cpu.ss, []
        inner = not code.type & _CONFORMING and code.dpl < self._cpl
        if inner:
            rsp, stack = self._inner_stack(code.dpl)
            values = [cpu.ss.selector, cpu.rsp]
        rsp = self._push([*values, *self._frame()], size, rsp, stack)
        if target > code.limit:
            raise self._gp(0)
        cpl = code.dpl if inner else self._cpl
        return replace(
            cpu,
            rsp=rsp,
            ss=stack,
            rip=target,
            cs=replace(code, selector=code.selector & ~3 | cpl),
            rflags=self._handler_flags(interrupt=not kind & 1),
        )

    def _inner_stack(self, dpl: int) -> tuple[int, SegmentRegister]:
        # From the 32-bit or 16-bit TSS.
        tr = self._cpu.tr
        size = 4 if tr.type & 8 else 2
        at = size + 2 * size * dpl
        if at + size + 1 > tr.limit:
            raise _Fault(TS, tr.selector & ~3 | self._ext)
        rsp = self._read(tr.base + at, size)
        selector = self._read(tr.base + at + size, 2)
        error = selector & ~3 | self._ext
        if not selector & ~3 or selector & 3 != dpl:
            raise _Fault(TS, error)
        stack = self._descriptor(selector, TS)
        if not stack.s or stack.type & _CODE or not stack.type & _WRITABLE or stack.dpl != dpl:
            raise _Fault(TS, error)
        if not stack.present:
            raise _Fault(SS, error)
        return rsp, stack

    # 6.14: 64-bit mode, compatibility mode included.

    def _long(self) -> CpuState:
        cpu, vector = self._cpu, self._interrupt.vector
        if 16 * vector + 15 > cpu.idtr.limit:
            raise self._gp(_IDT | 8 * vector)
        gate = self._read(cpu.idtr.base + 16 * vector, 16)
        kind = self._check_gate(gate, {_GATE_INTERRUPT, _GATE_TRAP})
        target = gate & 0xFFFF | (gate >> 48 & 0xFFFF_FFFF_FFFF) << 16
        code = self._code_segment(gate >> 16 & 0xFFFF)
        if not code.l or code.db:
            raise self._gp(code.selector & ~3)
        inner = not code.type & _CONFORMING and code.dpl < self._cpl
        cpl = code.dpl if inner else self._cpl
        ist = gate >> 32 & 7
        rsp, stack = cpu.rsp, cpu.ss
        if ist or inner:
            rsp = self._task_stack(36 + 8 * ist - 8 if ist else 4 + 8 * cpl)
        if inner:
            stack = replace(_NULL_DATA, selector=cpl, dpl=cpl)
        values = [cpu.ss.selector, cpu.rsp, *self._frame()]
        rsp = self._push(values, 8, rsp & ~0xF, stack)
        if not _canonical(cpu, target):
            raise self._gp(0)
        return replace(
            cpu,
            rsp=rsp,
            ss=stack,
            rip=target,
            cs=replace(code, selector=code.selector & ~3 | cpl),
            rflags=self._handler_flags(interrupt=kind == _GATE_INTERRUPT),
        )

    def _task_stack(self, at: int) -> int:
        # RSP0-2 or IST1-7 of the 64-bit TSS.
        tr = self._cpu.tr
        if at + 7 > tr.limit:
            raise _Fault(TS, tr.selector & ~3 | self._ext)
        rsp = self._read(tr.base + at, 8)
        if not _canonical(self._cpu, rsp):
            raise _Fault(SS, self._ext)
        return rsp

    # What the modes have in common.

    def _check_gate(self, gate: int, kinds: set[int]) -> int:
        error = _IDT | 8 * self._interrupt.vector
        kind = gate >> 40 & 0x1F
        if kind not in kinds:
            raise self._gp(error)
        if self._interrupt.software and gate >> 45 & 3 < self._cpl:
            raise self._gp(error)
        if not gate >> 47 & 1:
            raise _Fault(NP, error | self._ext)
        return kind

    def _code_segment(self, selector: int) -> SegmentRegister:
        if not selector & ~3:
            raise self._gp(0)
        code = self._descriptor(selector, GP)
        error = selector & ~3
        if not code.s or not code.type & _CODE or code.dpl > self._cpl:
            raise self._gp(error)
        if not code.present:
            raise _Fault(NP, error | self._ext)
        return code

    def _descriptor(self, selector: int, vector: int) -> SegmentRegister:
        # Of the GDT or LDT, and marked as accessed; `vector` is raised where there is none.
        cpu, index = self._cpu, selector & ~7
        table = cpu.ldtr if selector & 4 else cpu.gdtr
        if (selector & 4 and not cpu.ldtr.present) or index + 7 > table.limit:
            raise _Fault(vector, selector & ~3 | self._ext)
        raw = self._read(table.base + index, 8)
        if raw >> 44 & 1 and not raw >> 40 & 1:
            raw |= 1 << 40
            self._write(table.base + index + 5, (raw >> 40 & 0xFF).to_bytes(1, "little"))
        return decode(raw.to_bytes(8, "little"), selector)

    def _frame(self) -> list[int]:
        cpu, interrupt = self._cpu, self._interrupt
        values = [self._flags, cpu.cs.selector, cpu.rip]
        return [*values, interrupt.error] if interrupt.has_error else values

    def _handler_flags(self, *, interrupt: bool) -> int:
        return self._cpu.rflags & ~(_TF | _NT | _RF | _VM | (_IF if interrupt else 0))

    def _push(self, values: list[int], size: int, rsp: int, stack: SegmentRegister) -> int:
        # Push `values` in this order and return the stack pointer; SS says how wide that is.
        mask = 0xFFFF_FFFF_FFFF_FFFF if size == 8 else 0xFFFF_FFFF if stack.db else 0xFFFF
        base = 0 if size == 8 else stack.base
        for value in values:
            offset = (rsp - size) & mask
            rsp = rsp & ~mask | offset
            if size == 8:
                if not _canonical(self._cpu, offset):
                    raise _Fault(SS, self._ext)
            elif not _within(stack, offset, size):
                raise _Fault(SS, self._ext)
            data = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
            self._write(base + offset if size == 8 else (base + offset) & 0xFFFF_FFFF, data)
        return rsp

    def _gp(self, error: int) -> _Fault:
        return _Fault(GP, error | self._ext)

    def _read(self, address: int, size: int) -> int:
        data = b"".join(
            self._memory.read(self._at(at, Access()), length)
            for at, length in _pages(address, size)
        )
        return int.from_bytes(data, "little")

    def _write(self, address: int, data: bytes) -> None:
        parts = _pages(address, len(data))
        places = [self._at(at, Access(write=True)) for at, _ in parts]
        for place, (at, length) in zip(places, parts, strict=True):
            self._memory.write(place, data[at - address : at - address + length])

    def _at(self, address: int, access: Access) -> int:
        return translate(self._memory, self._cpu, address, access)


def _pages(address: int, size: int) -> list[tuple[int, int]]:
    # The parts of a range that lie in one page each.
    first = min(size, 0x1000 - address % 0x1000)
    parts = [(address, first)]
    return [*parts, (address + first, size - first)] if first < size else parts


def _canonical(cpu: CpuState, address: int) -> bool:
    top = address >> (56 if cpu.cr4 & 1 << 12 else 47)
    return top in (0, (1 << 64) - 1 >> (56 if cpu.cr4 & 1 << 12 else 47))


def _within(stack: SegmentRegister, offset: int, size: int) -> bool:
    if stack.type & 0xC == 4:  # expand-down data
        top = 0xFFFF_FFFF if stack.db else 0xFFFF
        return stack.limit < offset and offset + size - 1 <= top
    return offset + size - 1 <= stack.limit
