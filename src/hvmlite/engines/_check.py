"""Which processor states exist: what RSM and VMX would choke on is refused here, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.errors import RequestError
from hvmlite.model import Mode

if TYPE_CHECKING:
    from hvmlite.model import CpuState, SegmentRegister

__all__ = ["check"]

_PE, _NW, _CD, _PG = 1, 1 << 29, 1 << 30, 1 << 31
_CR0 = 0xE005003F  # PG CD NW AM WP NE ET TS EM MP PE
_PAE = 1 << 5
_LME, _LMA = 1 << 8, 1 << 10
_VM = 1 << 17
_RFLAGS, _RFLAGS_ONES = 0x3F7FD7, 2

# MSRs that are part of the state in a field of their own.
_OWN = {0xC000_0080: "efer", 0xC000_0100: "fs", 0xC000_0101: "gs"}


def check(cpu: CpuState) -> None:
    """Raise the error for the first register of `cpu` that cannot have its value.

    :raises RequestError: no processor can be in this state
    """
    for name, value in cpu.general.items():
        _bits(name, value, 64)
    _bits("rip", cpu.rip, 64 if cpu.mode is Mode.LONG else 32)
    _control(cpu)
    _flags(cpu)
    for name in ("cs", "ss", "ds", "es", "fs", "gs", "tr", "ldtr"):
        _segment(cpu, name, getattr(cpu, name))
    for name in ("gdtr", "idtr"):
        table = getattr(cpu, name)
        _bits(f"{name} base", table.base, 64 if cpu.efer & _LMA else 32)
        _bits(f"{name} limit", table.limit, 16)
    for index, value in cpu.msrs:
        _bits("msrs", index, 32)
        _bits(f"msr {index:#x}", value, 64)
        if index in _OWN:
            raise _bad("msrs", f"{index:#x}", f"its own field, {_OWN[index]},")


def _bad(name: str, found: str, needed: str) -> RequestError:
    return RequestError(f"cpu {name}: {found} found, {needed} needed", field=name)


def _bits(name: str, value: int, bits: int) -> None:
    if not 0 <= value < 1 << bits:
        raise _bad(name, f"{value:#x}", f"{bits} bits")


def _control(cpu: CpuState) -> None:
    cr0 = cpu.cr0
    if cr0 & ~_CR0:
        raise _bad("cr0", f"{cr0:#x}", f"no bits but {_CR0:#x}")
    if (cr0 & _PG and not cr0 & _PE) or (cr0 & _NW and not cr0 & _CD):
        raise _bad("cr0", f"{cr0:#x}", "PE with PG, and CD with NW")
    _bits("cr2", cpu.cr2, 64)
    _bits("cr3", cpu.cr3, 52)
    _bits("cr4", cpu.cr4, 32)
    _bits("cr8", cpu.cr8, 4)
    _bits("efer", cpu.efer, 32)
    active = bool(cr0 & _PG and cpu.efer & _LME)
    if active != bool(cpu.efer & _LMA):
        raise _bad("efer", f"{cpu.efer:#x}", "LMA exactly where LME and CR0.PG are")
    if active and not cpu.cr4 & _PAE:
        raise _bad("cr4", f"{cpu.cr4:#x}", "PAE in long mode")


def _flags(cpu: CpuState) -> None:
    flags = cpu.rflags
    if flags & ~_RFLAGS or not flags & _RFLAGS_ONES:
        raise _bad("rflags", f"{flags:#x}", f"bit 1 and no bits but {_RFLAGS:#x}")
    if flags & _VM and (cpu.efer & _LMA or not cpu.cr0 & _PE):
        raise _bad("rflags", f"{flags:#x}", "VM in protected mode only")


def _segment(cpu: CpuState, name: str, segment: SegmentRegister) -> None:
    _bits(f"{name} selector", segment.selector, 16)
    _bits(f"{name} limit", segment.limit, 32)
    wide = cpu.efer & _LMA and name in ("fs", "gs", "tr", "ldtr")
    _bits(f"{name} base", segment.base, 64 if wide else 32)
    for part, size in (("type", 4), ("dpl", 2), ("s", 1), ("avl", 1), ("l", 1), ("db", 1)):
        _bits(f"{name} {part}", getattr(segment, part), size)
    if not segment.present:
        if name in ("cs", "tr"):
            raise _bad(name, "present 0", "present 1")
        return
    if segment.limit & 0xFFF != 0xFFF and segment.g:
        raise _bad(name, f"limit {segment.limit:#x} in pages", "an end in 0xfff")
    if segment.limit >> 20 and not segment.g:
        raise _bad(name, f"limit {segment.limit:#x} in bytes", "granularity")
    _segment_type(cpu, name, segment)


def _segment_type(cpu: CpuState, name: str, segment: SegmentRegister) -> None:
    kind = f"s {segment.s} type {segment.type:#x}"
    if name == "tr":
        if segment.s or segment.type not in ((0xB,) if cpu.efer & _LMA else (0x3, 0xB)):
            raise _bad(name, kind, "a busy TSS (type 0xb, or 0x3 outside long mode)")
    elif name == "ldtr":
        if segment.s or segment.type != 2:
            raise _bad(name, kind, "an LDT (type 0x2)")
    elif not segment.s or not segment.type & 1:
        raise _bad(name, kind, "an accessed code or data segment")
    elif name == "cs" and not (segment.type & 8 or cpu.mode is Mode.REAL or cpu.rflags & _VM):
        raise _bad(name, kind, "a code segment")
    elif name == "cs" and segment.l and segment.db and cpu.efer & _LMA:
        raise _bad(name, "l 1 db 1", "at most one of them")
    elif name == "ss" and segment.type & 8:
        raise _bad(name, kind, "a data segment")
