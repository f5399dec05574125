"""The SMM state-save area: the processor's own form of a complete architectural state.

AMD64 Architecture Programmer's Manual volume 2 (24593), 10.2.3, table 10-1. Both of QEMU's
accelerators use this layout for every 64-bit processor model. RSM loads all of it at once, hidden
parts included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hvmlite.wire import Struct, array, nested, u16, u32, u64

if TYPE_CHECKING:
    from hvmlite.model import CpuState, DescriptorTable, SegmentRegister

__all__ = ["ENTRY_OFFSET", "RESET_SMBASE", "SAVE_OFFSET", "SegmentSave", "StateSave", "save"]

ENTRY_OFFSET = 0x8000
"""The first SMM instruction, from SMBASE."""
SAVE_OFFSET = 0xFE00
"""The state-save area, from SMBASE."""
RESET_SMBASE = 0x30000

_SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr")
_REVISION = 0x20064  # 64-bit layout, SMBASE relocation supported
_DR6, _DR7 = 0xFFFF0FF0, 0x400  # their values after reset


class SegmentSave(Struct, size=16):
    """One segment or descriptor-table register."""

    selector: int = u16(0)
    attributes: int = u16(2)
    limit: int = u32(4)
    base: int = u64(8)


class StateSave(Struct, size=0x200):
    """The area from SMBASE + 0xFE00; fields that RSM does not use on QEMU are left out."""

    es: SegmentSave = nested(0x00, SegmentSave)
    cs: SegmentSave = nested(0x10, SegmentSave)
    ss: SegmentSave = nested(0x20, SegmentSave)
    ds: SegmentSave = nested(0x30, SegmentSave)
    fs: SegmentSave = nested(0x40, SegmentSave)
    gs: SegmentSave = nested(0x50, SegmentSave)
    gdtr: SegmentSave = nested(0x60, SegmentSave)
    ldtr: SegmentSave = nested(0x70, SegmentSave)
    idtr: SegmentSave = nested(0x80, SegmentSave)
    tr: SegmentSave = nested(0x90, SegmentSave)
    efer: int = u64(0xD0)
    revision: int = u32(0xFC, _REVISION)
    smbase: int = u32(0x100, RESET_SMBASE)
    cr4: int = u64(0x148)
    cr3: int = u64(0x150)
    cr0: int = u64(0x158)
    dr7: int = u64(0x160, _DR7)
    dr6: int = u64(0x168, _DR6)
    rflags: int = u64(0x170)
    rip: int = u64(0x178)
    general: tuple[int, ...] = array(0x180, 8, 16)
    """R15 first, RAX last."""


def _segment(register: SegmentRegister) -> SegmentSave:
    return SegmentSave(
        selector=register.selector,
        attributes=register.attributes if register.present else 0,
        limit=register.limit,
        base=register.base,
    )


def _table(register: DescriptorTable) -> SegmentSave:
    return SegmentSave(limit=register.limit, base=register.base)


def save(cpu: CpuState) -> StateSave:
    """Return the area from which RSM loads `cpu`; CR2, CR8 and MSRs other than EFER are no part."""
    values: dict[str, Any] = {name: _segment(getattr(cpu, name)) for name in _SEGMENTS}
    values |= {name: _table(getattr(cpu, name)) for name in ("gdtr", "idtr")}
    values |= {name: getattr(cpu, name) for name in ("efer", "cr4", "cr3", "cr0", "rflags", "rip")}
    return StateSave(**values, general=tuple(reversed(cpu.general.values())))
