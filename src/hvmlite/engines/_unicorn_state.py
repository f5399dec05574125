"""The whole state of Unicorn's processor, hidden parts of segment registers included.

Unicorn's own calls read and write registers as the mode allows that an object was made for: one for
32-bit code has no R8, and none has a call for a segment's base and limit. But a saved context is
the emulator's processor record, and restoring one sets all of it at once; so one object, made for
64-bit mode, runs code of every mode. The record's layout is that of QEMU 5.0 (target/i386/cpu.h, on
which Unicorn 2 is built). It is found again in each process by values put in through public calls,
and refused where it looks different: see :func:`probe`.
"""

from __future__ import annotations

import ctypes
import functools
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from hvmlite.errors import EngineUnavailable
from hvmlite.model import CpuState, DescriptorTable, SegmentRegister
from hvmlite.spec.x86 import MSR, SystemType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unicorn import Uc

__all__ = ["State", "probe"]

_NAMES = [field.name for field in fields(CpuState)][:16]  # rax to r15, in the encoding's order
_SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr")

_PE, _EM_TS_MP, _PG = 1, 0xE, 1 << 31
_OSFXSR, _SMAP, _UMIP = 1 << 9, 1 << 21, 1 << 11
_LMA = 1 << 10
_DR7_ENABLED = 0xFF
_STATUS = 0x8D5  # CF PF AF ZF SF OF: kept apart from the other flags
_DF = 1 << 10
_CC_OP_EFLAGS = 1  # the status flags are in cc_src


class _Segment(ctypes.Structure):
    selector: int
    base: int
    limit: int
    flags: int
    _fields_ = (
        ("selector", ctypes.c_uint32),
        ("base", ctypes.c_uint64),
        ("limit", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # a descriptor's second double word without its base
    )


class _Record(ctypes.Structure):
    """The beginning of QEMU's CPUX86State."""

    regs: Any
    eip: int
    eflags: int
    cc_dst: int
    cc_src: int
    cc_src2: int
    cc_op: int
    df: int
    hflags: int
    hflags2: int
    segs: Any
    gdt: _Segment
    idt: _Segment
    cr: Any
    _fields_ = (
        ("regs", ctypes.c_uint64 * 16),
        ("eip", ctypes.c_uint64),
        ("eflags", ctypes.c_uint64),
        ("cc_dst", ctypes.c_uint64),
        ("cc_src", ctypes.c_uint64),
        ("cc_src2", ctypes.c_uint64),
        ("cc_op", ctypes.c_uint32),
        ("df", ctypes.c_int32),
        ("hflags", ctypes.c_uint32),
        ("hflags2", ctypes.c_uint32),
        ("segs", _Segment * 8),
        ("gdt", _Segment),
        ("idt", _Segment),
        ("cr", ctypes.c_uint64 * 5),
    )


class State:
    """The processor of one Unicorn object: read it, write it, look at the last exception.

    :raises EngineUnavailable: the processor's record does not look as expected
    """

    def __init__(self, uc: Uc) -> None:
        from unicorn import x86_const

        self._uc = uc
        self._flags = x86_const.UC_X86_REG_EFLAGS
        self._cr8, self._dr7 = x86_const.UC_X86_REG_CR8, x86_const.UC_X86_REG_DR7
        self._context = uc.context_save()
        self._fresh = bytes(self._context)
        address = self._context.context.value
        assert address is not None
        record, efer, error = probe()
        self.record = _Record.from_address(address + record)
        """The processor as of :meth:`look`; what is changed in it :meth:`go_on` puts back."""
        self._efer = ctypes.c_uint64.from_address(address + efer)
        self._error = ctypes.c_uint32.from_address(address + error)
        self._software = ctypes.c_uint32.from_address(address + error + 4)
        self._old = ctypes.c_int32.from_address(address + error + _OLD_EXCEPTION)

    def read(self) -> CpuState:
        """Return the state as it is now; MSRs that have no field of their own are left out."""
        self.look()
        return self.seen()

    def seen(self) -> CpuState:
        """Return the state as of :meth:`look`."""
        record = self.record
        values: dict[str, Any] = dict(zip(_NAMES, record.regs, strict=True))
        for name, segment in zip(_SEGMENTS, record.segs, strict=True):
            values[name] = _segment_register(segment)
        if values["tr"].type in (SystemType.TSS16_AVAILABLE, SystemType.TSS_AVAILABLE):
            # LTR makes a TSS busy; QEMU notes that in the descriptor only.
            values["tr"] = replace(values["tr"], type=values["tr"].type | 2)
        return CpuState(
            **values,
            rip=record.eip,
            rflags=self.flags,
            gdtr=DescriptorTable(record.gdt.base, record.gdt.limit),
            idtr=DescriptorTable(record.idt.base, record.idt.limit),
            cr0=record.cr[0],
            cr2=record.cr[2],
            cr3=record.cr[3],
            cr4=record.cr[4],
            cr8=self._uc.reg_read(self._cr8),
            efer=self._efer.value,
        )

    def reset(self, cpu: CpuState) -> None:
        """Put the processor into the state `cpu`; floating point and the rest are as after INIT."""
        address = self._context.context.value
        assert address is not None
        # The header before the record is the library's own.
        start = ctypes.addressof(self.record) - address
        ctypes.memmove(address + start, self._fresh[start:], len(self._fresh) - start)
        self._set(cpu)
        self._uc.context_restore(self._context)
        self.forget_pages()
        self._uc.reg_write(self._cr8, cpu.cr8)
        for index, value in cpu.msrs:
            self._uc.msr_write(index, value)

    @property
    def marked(self) -> bool:
        """Whether there is what :meth:`reset` leaves: breakpoints in debug registers, MTRRs.

        The library keeps both apart from the record.
        """
        breakpoints = self._uc.reg_read(self._dr7) & _DR7_ENABLED
        return bool(breakpoints or self._uc.msr_read(MSR.MTRR_DEF_TYPE))

    def forget_pages(self) -> None:
        """Walk the page tables anew. Writing CR3 does it only where there is paging."""
        from unicorn import UC_CTL_IO_WRITE, UC_CTL_TLB_FLUSH

        self._uc.ctl(UC_CTL_TLB_FLUSH, UC_CTL_IO_WRITE)

    def write(self, cpu: CpuState) -> None:
        """Go on from where :meth:`look` was, but with the registers of `cpu`."""
        self._set(cpu)
        self.go_on()

    def go_on(self) -> None:
        """Go on from where :meth:`look` was, with what was changed in the record since.

        The processor is not in the midst of an exception then: QEMU would take the next one for a
        double fault.
        """
        self._old.value = -1
        self._uc.context_restore(self._context)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the processor as it is, the exception in delivery included, whatever is done."""
        self.look()
        yield
        self._uc.context_restore(self._context)

    def look(self) -> None:
        """Take a copy of the processor's record: what follows reads from there."""
        self._uc.context_update(self._context)

    @property
    def error_code(self) -> int:
        """The error code of the last exception, as of :meth:`look`."""
        return self._error.value

    @property
    def software(self) -> bool:
        """Whether the last exception was an instruction's: INT, INT3 or INTO."""
        return bool(self._software.value)

    @property
    def flags(self) -> int:
        """RFLAGS, as of :meth:`look`."""
        return int(self._context.reg_read(self._flags))

    def _set(self, cpu: CpuState) -> None:
        record = self.record
        record.regs[:] = [getattr(cpu, name) for name in _NAMES]
        record.eip = cpu.rip
        record.eflags = cpu.rflags  # of which a run takes these apart when it begins
        record.cc_src, record.cc_op = cpu.rflags & _STATUS, _CC_OP_EFLAGS
        record.df = -1 if cpu.rflags & _DF else 1
        record.hflags = record.hflags & ~_HIDDEN | _hidden_flags(cpu)
        for name, segment in zip(_SEGMENTS, record.segs, strict=True):
            _set_segment(segment, getattr(cpu, name))
        record.gdt.base, record.gdt.limit = cpu.gdtr.base, cpu.gdtr.limit
        record.idt.base, record.idt.limit = cpu.idtr.base, cpu.idtr.limit
        record.cr[:] = [cpu.cr0, 0, cpu.cr2, cpu.cr3, cpu.cr4]
        self._efer.value = cpu.efer


# Bits of the record's hflags that follow from the registers (HF_*_MASK in QEMU's cpu.h).
_HF_CS32, _HF_SS32, _HF_ADDSEG, _HF_PE = 1 << 4, 1 << 5, 1 << 6, 1 << 7
_HF_MP_EM_TS_SHIFT = 8  # CR0 bits 1-3 are bits 9-11
_HF_LMA, _HF_CS64, _HF_OSFXSR, _HF_SMAP = 1 << 14, 1 << 15, 1 << 22, 1 << 23
_HIDDEN = (
    3 | _HF_CS32 | _HF_SS32 | _HF_ADDSEG | _HF_PE | _EM_TS_MP << _HF_MP_EM_TS_SHIFT
    | _HF_LMA | _HF_CS64 | _HF_OSFXSR | _HF_SMAP
)  # fmt: skip
_OLD_EXCEPTION = 0x70  # from the error code to the exception that is being delivered


def _hidden_flags(cpu: CpuState) -> int:
    long = bool(cpu.efer & _LMA)
    code64 = bool(long and cpu.cs.l)
    flags = (cpu.cr0 & _EM_TS_MP) << _HF_MP_EM_TS_SHIFT
    if cpu.cr0 & _PE:
        flags |= _HF_PE | (cpu.ss.dpl if not cpu.rflags & 1 << 17 else 3)
    if cpu.cs.db or code64:
        flags |= _HF_CS32
    if cpu.ss.db or code64:
        flags |= _HF_SS32
    # Only where all bases are zero may they be left out; in 64-bit mode they always are.
    flat = cpu.cr0 & _PE and cpu.cs.db and not (cpu.ds.base or cpu.es.base or cpu.ss.base)
    if not (code64 or flat):
        flags |= _HF_ADDSEG
    flags |= _HF_LMA if long else 0
    flags |= _HF_CS64 if code64 else 0
    flags |= _HF_OSFXSR if cpu.cr4 & _OSFXSR else 0
    return flags | (_HF_SMAP if cpu.cr4 & _SMAP else 0)


def _set_segment(target: _Segment, segment: SegmentRegister) -> None:
    target.selector, target.base, target.limit = segment.selector, segment.base, segment.limit
    target.flags = segment.attributes << 8 | segment.limit & 0xF0000


def _segment_register(segment: _Segment) -> SegmentRegister:
    flags = segment.flags
    return SegmentRegister(
        selector=segment.selector & 0xFFFF,
        base=segment.base,
        limit=segment.limit,
        type=flags >> 8 & 0xF,
        s=flags >> 12 & 1,
        dpl=flags >> 13 & 3,
        present=flags >> 15 & 1,
        avl=flags >> 20 & 1,
        l=flags >> 21 & 1,
        db=flags >> 22 & 1,
        g=flags >> 23 & 1,
    )


@functools.cache
def probe() -> tuple[int, int, int]:
    """Return where in a saved context the record, EFER and the last error code are.

    Known values go in by public calls; each must be where the declarations above have it.

    :raises EngineUnavailable: it is not
    """
    from unicorn import UC_ARCH_X86, UC_HOOK_INTR, UC_MODE_64, Uc, __version__, x86_const

    uc = Uc(UC_ARCH_X86, UC_MODE_64)
    uc.mem_map(0, 0x2000)
    marks = [0x1122_3344_5566_7700 + i for i in range(16)]
    for mark, name in zip(marks, _NAMES, strict=True):
        uc.reg_write(getattr(x86_const, f"UC_X86_REG_{name.upper()}"), mark)
    tables = {"gdt": ("GDTR", (0, 0x51 << 40, 0x1357, 0)), "idt": ("IDTR", (0, 0x52 << 40, 7, 0))}
    for register, value in tables.values():
        uc.reg_write(getattr(x86_const, f"UC_X86_REG_{register}"), value)
    uc.reg_write(x86_const.UC_X86_REG_TR, (0x18, 0x53 << 40, 0x67, 0x8B00))
    uc.reg_write(x86_const.UC_X86_REG_FS_BASE, 0x54 << 40)
    uc.reg_write(x86_const.UC_X86_REG_RIP, 0x55 << 40)
    uc.reg_write(x86_const.UC_X86_REG_CR4, 1 << 5)
    before = bytes(uc.context_save())
    at = before.find(b"".join(mark.to_bytes(8, "little") for mark in marks))
    if at < 0 or at + ctypes.sizeof(_Record) > len(before):
        raise _strange(__version__)
    record = _Record.from_buffer_copy(before, at)
    seen = (
        record.eip, record.gdt.base, record.gdt.limit, record.idt.base, record.idt.limit,
        record.segs[7].selector, record.segs[7].base, record.segs[7].limit, record.segs[4].base,
        record.cc_op, record.df, record.cr[4] & 1 << 5, record.hflags & (_HF_CS64 | _HF_LMA),
    )  # fmt: skip
    if seen != (
        0x55 << 40, 0x51 << 40, 0x1357, 0x52 << 40, 7,
        0x18, 0x53 << 40, 0x67, 0x54 << 40,
        _CC_OP_EFLAGS, 1, 1 << 5, _HF_CS64 | _HF_LMA,
    ):  # fmt: skip
        raise _strange(__version__)

    # EFER: what changes when it does. The error code and what is being delivered: after a #GP.
    uc.msr_write(MSR.EFER, uc.msr_read(MSR.EFER) ^ 1 << 11)
    after = bytes(uc.context_save())
    (efer,) = _words(before, after, at, 8) or [0]
    uc.hook_add(UC_HOOK_INTR, lambda uc, _number, _data: uc.emu_stop())
    uc.mem_write(0x1000, b"\x66\xb8\x34\x72\x8e\xd8")  # MOV AX, 0x7234; MOV DS, AX
    uc.reg_write(x86_const.UC_X86_REG_GDTR, (0, 0, 7, 0))
    uc.reg_write(x86_const.UC_X86_REG_CR4, 1 << 5)
    uc.emu_start(0x1000, 0x2000)
    faulted = bytes(uc.context_save())
    error = faulted.find((0x7234).to_bytes(4, "little"), at + ctypes.sizeof(_Record))
    old = error + _OLD_EXCEPTION
    if (
        not efer
        or error < 0
        or before[old : old + 4] + faulted[old : old + 4] != (b"\xff\xff\xff\xff\x0d\0\0\0")
    ):
        raise _strange(__version__)
    return at, efer, error


def _words(before: bytes, after: bytes, start: int, size: int) -> list[int]:
    # Where two records differ, by words from their start on.
    places = range(start, len(before) - size + 1, size)
    return [i for i in places if before[i : i + size] != after[i : i + size]]


def _strange(version: str) -> EngineUnavailable:
    return EngineUnavailable(
        f"unicorn {version}: a processor record of an unknown layout found, that of 2.1 needed",
        engine="unicorn",
        hint="install another: pip install 'hvmlite[unicorn]'",
    )
