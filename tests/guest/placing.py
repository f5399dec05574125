"""What the placer's tests lay out: a PC, entries, a kernel of two segments."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hvmlite.errors import PlacementError
from hvmlite.guest.place import place
from hvmlite.model import (
    BootInfo,
    CpuState,
    Entry,
    Machine,
    MemoryRange,
    MemoryType,
    Piece,
    RamBlock,
    Relocation,
    SegmentRegister,
)

MIB = 1 << 20
GIB = 1 << 30
LEGACY = MemoryRange(0xA0000, 0x100000, MemoryType.RESERVED)
PROTECTED = CpuState(cr0=0x11, cs=SegmentRegister(type=0xB, limit=0xFFFFFFFF, db=1, g=1))
LONG = replace(PROTECTED, cr0=0x80000011, efer=0x500, cs=replace(PROTECTED.cs, l=1, db=0))


def pc(memory=64 * MIB):
    """RAM as a PC has it: a hole below 4 GiB, the legacy hole below 1 MiB."""
    low = min(memory, 3 * GIB)
    blocks = (RamBlock(0, low, 0),)
    if memory > low:
        blocks += (RamBlock(4 * GIB, memory - low, low),)
    return Machine("pc", memory, blocks, (LEGACY,))


def entry(*pieces, cpu=PROTECTED, **options):
    return Entry("test", pieces, cpu, **options)


def starts(plan):
    return {piece.name: piece.start for piece in plan.pieces}


def lay_out(*pieces, machine=None, **options):
    return starts(place(entry(*pieces, **options), machine or pc(), BootInfo()))


def refused(*pieces, machine=None, **options):
    with pytest.raises(PlacementError) as caught:
        lay_out(*pieces, machine=machine, **options)
    return caught.value


RELOCATION = Relocation(align=2 * MIB, lowest=16 * MIB, highest=GIB - 1)


def kernel(at=16 * MIB):
    return (
        Piece("text", size=2 * MIB, at=at, group="kernel"),
        Piece("data", size=MIB, at=at + 3 * MIB, group="kernel"),
    )
