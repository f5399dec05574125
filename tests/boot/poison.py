"""Processor states and memory in which all that an entry ABI leaves open holds garbage.

What a document does not promise nobody may rely on, neither a guest nor hvmlite's tests of it. Some
tables say what *is* promised (GENERAL and those called PROMISED), others which bits and selectors
are not (those called OPEN). General registers and RAM of which no table speaks are fair game.
"""

from __future__ import annotations

import random
from dataclasses import replace

from hvmlite.model import (
    CpuState,
    DescriptorTable,
    GuestPlan,
    Kind,
    MemoryType,
    PlacedPiece,
    SegmentRegister,
)

GENERAL = {
    # xen/docs/misc/pvh.pandoc, "CPU and memory state at entry"
    "pvh": {"rbx"},
    # Multiboot 0.6.96, 3.2 Machine state; Multiboot2 2.0, 3.3 I386 machine state
    "multiboot1": {"rax", "rbx"},
    "multiboot2": {"rax", "rbx"},
    # Documentation/arch/x86/boot.rst, "Running the kernel", "32-bit Boot Protocol" and "64-bit"
    "linux16": {"rsp"},
    "linux32": {"rsi", "rbx", "rbp", "rdi"},
    "linux64": {"rsi"},
}
"""The general registers that have a meaning, by ABI."""

NEW = {f"r{n}" for n in range(8, 16)}
"""Registers of 64-bit mode only, which are 64 bits wide whatever the mode is."""

SELECTORS_OPEN = {"pvh", "multiboot1", "multiboot2"}
"""ABIs that promise what segment registers hold, but not by which selector."""

FS_GS_PROMISED = {"multiboot1", "multiboot2"}

GDT_PROMISED = {"linux32", "linux64"}

CONTROL_PROMISED = {"pvh", "linux16"}
"""ABIs after which CR0 and CR4 have no bit that may be anything: PVH says that the others are
clear; real mode's are those of a BIOS, which is alive."""

PE, MP, EM, TS, NE, WP, AM = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 5, 1 << 16, 1 << 18
CR0_OPEN = (MP, EM, TS, NE, WP, AM)

VME, PVI, TSD, DE, PSE, PAE, MCE, PGE, PCE, OSFXSR, OSXMMEXCPT = (1 << n for n in range(11))
CR4_OPEN = (VME, PVI, TSD, DE, PSE, PAE, MCE, PGE, PCE, OSFXSR, OSXMMEXCPT)
"""LA57 is left alone: it changes what page tables mean, and no header here allows it."""

SCE, LME, NXE = 1 << 0, 1 << 8, 1 << 11

CF, PF, AF, ZF, SF, DF, OF, IOPL, NT, AC, ID = (
    1 << 0, 1 << 2, 1 << 4, 1 << 6, 1 << 7, 1 << 10, 1 << 11, 3 << 12, 1 << 14, 1 << 18, 1 << 21,
)  # fmt: skip
FLAGS_OPEN = (CF, PF, AF, ZF, SF, DF, OF, IOPL, NT, AC, ID)
"""TF is left alone, though multiboot and Linux do not name it: no kernel can survive a trap after
its first instruction."""

PATTERN = 4 << 10
MARGIN = 0x1000
"""Below it are interrupt vectors and BIOS data, which kernels read by any ABI (guest/layout.py)."""


def poisoned(plan: GuestPlan, protocol: str, seed: int, *, window: bool = False) -> GuestPlan:
    """A copy of `plan` with garbage in every register, and all RAM, that the ABI leaves open.

    :param window: whether that includes what a bzImage's kernel has been given beyond its file:
        its init_size bytes are reserved, nobody promises what is in them. An ELF's BSS is zeros.
    """
    chance = random.Random(f"{protocol} {seed}")
    pattern = chance.randbytes(PATTERN)
    pieces = tuple(_used(p, pattern) for p in plan.pieces) if window else plan.pieces
    changed = replace(plan, cpu=_cpu(plan.cpu, protocol, chance), pieces=pieces)
    return replace(changed, pieces=_pieces(changed, pattern))


def _cpu(cpu: CpuState, protocol: str, chance: random.Random) -> CpuState:
    wide = protocol == "linux64"
    open_ = [name for name in cpu.general if name not in GENERAL[protocol]]
    bits = {name: 64 if wide or name in NEW else 32 for name in open_}
    cpu = replace(cpu, **{name: chance.getrandbits(bits[name]) for name in open_})
    if protocol == "linux16":
        # IDTR is the BIOS's. All segment registers: fs = gs = ds is recommended only.
        return replace(
            cpu,
            rflags=cpu.rflags | _some(FLAGS_OPEN, chance),
            fs=_real(chance),
            gs=_real(chance),
            gdtr=_table(chance),
        )
    cpu = replace(
        cpu,
        rflags=cpu.rflags | _some(FLAGS_OPEN, chance),
        cr2=chance.getrandbits(32),
        idtr=_table(chance),
        ldtr=SegmentRegister(chance.getrandbits(16) | 4, chance.getrandbits(32), 0xFFFF, 2, s=0),
    )
    return _segments(_control(cpu, protocol, chance), protocol, chance)


def _control(cpu: CpuState, protocol: str, chance: random.Random) -> CpuState:
    if protocol == "linux64":
        return replace(
            cpu,
            cr0=cpu.cr0 | _some(CR0_OPEN, chance),
            cr4=cpu.cr4 | _some(CR4_OPEN, chance),
            cr8=chance.getrandbits(4),
            efer=cpu.efer | _some((SCE, NXE), chance),
        )
    # Without paging CR3 means nothing, and EFER nothing yet.
    cpu = replace(cpu, cr3=chance.getrandbits(32), efer=_some((SCE, LME, NXE), chance))
    if protocol in CONTROL_PROMISED:
        return cpu
    return replace(
        cpu, cr0=cpu.cr0 | _some(CR0_OPEN, chance), cr4=cpu.cr4 | _some(CR4_OPEN, chance)
    )


def _segments(cpu: CpuState, protocol: str, chance: random.Random) -> CpuState:
    if protocol in SELECTORS_OPEN:
        # The low bits of CS and SS are a privilege level.
        names = ("cs", "ds", "es", "ss", "fs", "gs")
        selectors = {name: chance.getrandbits(16) & 0xFFFC for name in names}
        cpu = replace(
            cpu, **{n: replace(getattr(cpu, n), selector=s) for n, s in selectors.items()}
        )
    if protocol not in FS_GS_PROMISED:
        cpu = replace(cpu, fs=_any(chance), gs=_any(chance))
    if protocol not in GDT_PROMISED:
        cpu = replace(cpu, gdtr=_table(chance))
    selector, base = chance.getrandbits(16) & 0xFFF8, chance.getrandbits(32)
    if protocol == "pvh":  # base and limit are promised
        return replace(cpu, tr=replace(cpu.tr, selector=selector))
    return replace(cpu, tr=replace(cpu.tr, selector=selector, base=base))


def _some(bits: tuple[int, ...], chance: random.Random) -> int:
    return sum(bit for bit in bits if chance.random() < 0.5)


def _table(chance: random.Random) -> DescriptorTable:
    return DescriptorTable(chance.getrandbits(32), chance.getrandbits(16))


def _any(chance: random.Random) -> SegmentRegister:
    selector, base, limit = (chance.getrandbits(n) for n in (16, 32, 20))
    return SegmentRegister(selector, base, limit, type=chance.choice((1, 3, 5, 7)), db=1)


def _real(chance: random.Random) -> SegmentRegister:
    selector = chance.getrandbits(16)
    return SegmentRegister(selector, selector << 4)


def _used(piece: PlacedPiece, pattern: bytes) -> PlacedPiece:
    if piece.kind is not Kind.KERNEL:
        return piece
    data = bytes(piece.data)
    return replace(piece, data=data + _filling(pattern, piece.end - piece.start - len(data)))


def _filling(pattern: bytes, size: int) -> bytes:
    return (pattern * -(-size // len(pattern)))[:size]


def _pieces(plan: GuestPlan, pattern: bytes) -> tuple[PlacedPiece, ...]:
    # RAM between the pieces, as the guest's own memory map has it.
    pieces = list(plan.pieces)
    for ram in plan.boot_info.memory_map:
        if ram.type != MemoryType.RAM:
            continue
        at = max(ram.start, MARGIN)
        taken = [(p.start, p.end) for p in plan.pieces if p.start < ram.end and p.end > at]
        for start, end in [*sorted(taken), (ram.end, ram.end)]:
            if start > at:
                filling = _filling(pattern, start - at)
                pieces.append(PlacedPiece("poison", Kind.CODE, at, start, filling))
            at = max(at, end)
    return tuple(sorted(pieces, key=lambda piece: piece.start))
