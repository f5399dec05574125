"""Guests of a few bytes of machine code, and processor states to start them in."""

from __future__ import annotations

from dataclasses import replace

from hvmlite.engines import qemu
from hvmlite.guest.segments import CODE32, CODE64, DATA32, TSS
from hvmlite.model import (
    BootInfo,
    CpuState,
    GuestPlan,
    Kind,
    MemoryRange,
    PlacedPiece,
    RunOptions,
    SegmentRegister,
)

MIB = 1 << 20
AT = 0x100000
TABLES = 0x10000
TCG = RunOptions(accelerator="tcg")

SPIN = b"\xeb\xfe"  # jmp .
UD2 = b"\x0f\x0b"

FLAT32 = CpuState(
    rip=AT, cs=CODE32, ds=DATA32, es=DATA32, ss=DATA32, fs=DATA32, gs=DATA32, tr=TSS, cr0=0x11
)
LONG = replace(FLAT32, cs=CODE64, cr0=0x80000011, cr3=TABLES, cr4=0x20, efer=0x500)
LONG_LA57 = replace(LONG, cr4=0x1020)
COMPATIBILITY = replace(LONG, cs=CODE32)
PROTECTED16 = CpuState(
    rip=0x20, cs=SegmentRegister(0x20, 0x30000, type=0xB), cr0=0x11, tr=TSS, rsp=0x7000
)
REAL = CpuState(rip=0x10, cs=SegmentRegister(0x1234, 0x12340, type=0xB))


def out(port: int, value: int, size: int = 1) -> bytes:
    """32 or 64-bit code: mov edx, port; mov eax, value; out dx, al/ax/eax."""
    opcode = {1: b"\xee", 2: b"\x66\xef", 4: b"\xef"}[size]
    return b"\xba" + port.to_bytes(4, "little") + b"\xb8" + value.to_bytes(4, "little") + opcode


def leave(status: int) -> bytes:
    return out(0xF4, status) + SPIN


def say(text: bytes) -> bytes:
    return b"".join(out(0x3F8, byte) for byte in text)


def identity_map(levels: int = 4) -> PlacedPiece:
    """The first 2 MiB, one table of each level from TABLES on."""
    data = bytearray(levels * 0x1000 - 0x1000)
    for level in range(levels - 1):
        last = level == levels - 2
        entry = 0x83 if last else TABLES + (level + 1) * 0x1000 | 3
        data[level * 0x1000 : level * 0x1000 + 8] = entry.to_bytes(8, "little")
    return PlacedPiece("page tables", Kind.PAGE_TABLES, TABLES, TABLES + len(data), bytes(data))


def linear(cpu: CpuState) -> int:
    return cpu.rip if cpu.cs.l and cpu.efer & 0x400 else (cpu.cs.base + cpu.rip) & 0xFFFFFFFF


def plan(code: bytes, cpu: CpuState = FLAT32, *, memory: int = 16 * MIB, **machine) -> GuestPlan:
    """A plan whose first instruction is the first byte of `code`."""
    at = linear(cpu)
    pieces = [PlacedPiece("code", Kind.CODE, at, at + len(code), code)]
    if cpu.cr0 >> 31:
        pieces.append(identity_map(5 if cpu.cr4 & 0x1000 else 4))
    board = qemu.machine(memory, machine.get("cpus", 1), machine.get("disks", ()))
    told = BootInfo(cmdline=b"secret", memory_map=(MemoryRange(0, memory),))
    return GuestPlan("raw", board, cpu, tuple(sorted(pieces, key=lambda p: p.start)), told)
