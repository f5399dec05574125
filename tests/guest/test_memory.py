"""Filling guest memory and reading it back."""

from __future__ import annotations

import mmap
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmlite.errors import FormatError, PlacementError
from hvmlite.guest.memory import FlatMemory, PlanMemory, fill
from hvmlite.model import (
    BootInfo,
    CpuState,
    GuestPlan,
    Kind,
    Machine,
    MemoryRange,
    MemoryType,
    PlacedPiece,
    RamBlock,
)

# Two blocks that touch in the guest but lie the other way round in the file, and one far away.
MACHINE = Machine(
    "test",
    0x6000,
    (
        RamBlock(0x0, 0x2000, 0x4000),
        RamBlock(0x2000, 0x2000, 0x0),
        RamBlock(0x9000, 0x2000, 0x2000),
    ),
    (MemoryRange(0xA000, 0xA800, MemoryType.RESERVED),),
)


def plan(*pieces, machine=MACHINE):
    placed = [PlacedPiece(n, Kind.KERNEL, at, at + size, data) for n, at, size, data in pieces]
    return GuestPlan("test", machine, CpuState(), tuple(placed), BootInfo())


def both(plan_):
    buffer = bytearray(plan_.machine.memory)
    fill(plan_, buffer)
    return PlanMemory(plan_), FlatMemory(buffer, plan_.machine)


def test_a_piece_may_lie_across_blocks_that_are_apart_in_the_file():
    plan_ = plan(("a", 0x1FFE, 8, b"abcd"))
    buffer = bytearray(MACHINE.memory)
    fill(plan_, buffer)
    assert buffer[0x5FFE:0x6000] == b"ab"
    assert buffer[0:2] == b"cd"
    assert buffer.count(0) == len(buffer) - 4
    for memory in both(plan_):
        assert memory.read(0x1FFC, 12) == b"\0\0abcd\0\0\0\0\0\0"


@pytest.mark.parametrize(
    ("address", "size"),
    [
        (0x3FFF, 2),
        (0x4000, 1),
        (0x8FFF, 2),
        (0x9FFF, 2),  # into a reserved range
        (0xA000, 1),
        (0xB000, 1),
        (-1, 1),
        (0, -1),
        (0, 1 << 62),
        ((1 << 64) - 1, 1),
    ],
)
def test_what_is_not_all_ram_cannot_be_read(address, size):
    for memory in both(plan()):
        with pytest.raises(FormatError, match="they are not all RAM"):
            memory.read(address, size)


@given(st.data())
def test_both_memories_agree_with_a_flat_model(data):
    starts = sorted(data.draw(st.sets(st.integers(0, 0x3F), max_size=6)))
    pieces, model = [], bytearray(0x4000)
    for index, (start, end) in enumerate(pairwise([*starts, 0x40])):
        content = data.draw(st.binary(max_size=(end - start) * 0x100))
        pieces.append((str(index), start * 0x100, (end - start) * 0x100, content))
        model[start * 0x100 : start * 0x100 + len(content)] = content
    for memory in both(plan(*pieces)):
        assert memory.read(0, 0x4000) == model
        at = data.draw(st.integers(0, 0x4000))
        size = data.draw(st.integers(0, 0x4000 - at))
        assert memory.read(at, size) == model[at : at + size]


def test_a_piece_outside_ram_is_refused_by_name():
    with pytest.raises(PlacementError, match=r"^initrd: 0x4000 is not in guest memory"):
        fill(plan(("initrd", 0x3FFE, 4, b"abcd")), bytearray(0x6000))


def test_a_buffer_that_is_too_small_is_refused():
    with pytest.raises(PlacementError, match=r"^a: 0x0 is not in guest memory"):
        fill(plan(("a", 0, 4, b"abcd")), bytearray(0x4000))
    with pytest.raises(FormatError, match="0 are in the buffer"):
        FlatMemory(b"", MACHINE).read(0, 4)


def test_large_pieces_are_not_copied_on_the_way():
    size = 64 << 20
    machine = Machine("test", size, (RamBlock(0, size, 0),))
    source, target = mmap.mmap(-1, size), mmap.mmap(-1, size)
    source[-4:] = b"last"
    plan_ = plan(("initrd", 0, size, memoryview(source)), machine=machine)
    tracemalloc.start()
    try:
        fill(plan_, memoryview(target))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20
    assert FlatMemory(memoryview(target), machine).read(size - 4, 4) == b"last"
