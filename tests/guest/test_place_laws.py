"""The placer's laws, over random entries and machines."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest.placing import GIB, MIB, entry, lay_out, pc, refused, starts
from hvmlite.errors import PlacementError
from hvmlite.guest.place import place
from hvmlite.model import (
    BootInfo,
    Machine,
    MemoryRange,
    MemoryType,
    Piece,
    Preference,
    RamBlock,
    Relocation,
)

PAGE = 0x1000
SMALL = 64 * PAGE
ALIGNS = st.sampled_from([1, 2, 8, 16, 0x100, PAGE, 4 * PAGE])
TYPES = st.sampled_from([MemoryType.RAM] * 4 + [MemoryType.ACPI, MemoryType.NVS])


@st.composite
def machines(draw):
    blocks, at, offset = [], 0, 0
    for _ in range(draw(st.integers(1, 3))):
        at += draw(st.sampled_from([0, 0, PAGE, 0x800]))
        size = draw(st.integers(1, 40)) * PAGE
        blocks.append(RamBlock(at, size, offset))
        at, offset = at + size, offset + size
    if draw(st.booleans()):  # groups are moved to 1 MiB or above only
        blocks.append(RamBlock(MIB, 40 * PAGE, offset))
        at, offset = MIB + 40 * PAGE, offset + 40 * PAGE
    reserved = draw(st.lists(st.tuples(st.integers(0, at), st.integers(1, 3 * PAGE)), max_size=2))
    ranges = tuple(
        MemoryRange(start, start + size, MemoryType.RESERVED) for start, size in reserved
    )
    return Machine("random", offset, tuple(blocks), ranges)


@st.composite
def pieces(draw, name):
    low = draw(st.integers(0, SMALL))
    free = Piece(
        name,
        size=draw(st.one_of(st.integers(0, 64), st.integers(0, 8 * PAGE))),
        align=draw(ALIGNS),
        low=low if draw(st.booleans()) else 0,
        high=draw(st.one_of(st.just(1 << 32), st.integers(low, low + SMALL))),
        top=draw(st.booleans()),
        memory_type=draw(TYPES),
    )
    if draw(st.integers(0, 4)):
        return free
    group = draw(st.sampled_from(["", "g", "h"]))
    at = draw(st.integers(0, SMALL // PAGE)) * PAGE
    return replace(free, at=at, group=group, low=0, high=1 << 32)


@st.composite
def entries(draw):
    names = [f"p{index}" for index in range(draw(st.integers(0, 8)))]
    relocation = Relocation(
        draw(ALIGNS),
        draw(st.integers(0, SMALL)),
        (1 << 32) - 1,
        draw(st.sampled_from(Preference)),
    )
    relocations = {"g": relocation} if draw(st.booleans()) else {}
    return entry(*(draw(pieces(name)) for name in names), relocations=relocations)


def usable(machine, address):
    """Whether a byte is RAM; written out plainly, to judge the placer's intervals."""
    in_ram = any(b.start <= address < b.start + b.size for b in machine.ram)
    return in_ram and not any(r.start <= address < r.end for r in machine.reserved)


def corners(machine, start, end):
    """The bytes of a run at which RAM could begin or end, and the run's own ends."""
    edges = {start, end - 1}
    for run in (*machine.ram, *machine.reserved):
        edges |= {run.start - 1, run.start, run.end - 1, run.end}
    return {edge for edge in edges if start <= edge < end}


@given(machines(), entries())
def test_laws_of_placement(machine, entry_):
    try:
        plan = place(entry_, machine, BootInfo())
    except PlacementError:
        return
    assert place(entry_, machine, BootInfo()) == plan  # deterministic
    at, wanted = starts(plan), {p.name: p for p in entry_.pieces}
    assert at.keys() == wanted.keys()
    runs = sorted((p.start, p.end) for p in plan.pieces if p.start < p.end)
    assert all(end <= start for (_, end), (start, _) in pairwise(runs))
    for start, end in runs:
        assert all(usable(machine, byte) for byte in corners(machine, start, end))
    distances = {}
    for name, piece in wanted.items():
        assert piece.low <= at[name]
        assert at[name] + piece.length <= piece.high
        if piece.at is None:
            assert at[name] % piece.align == 0
            assert at[name] >= PAGE
            assert usable(machine, at[name])  # pieces without bytes as well
        elif piece.group:
            distances.setdefault(piece.group, set()).add(at[name] - piece.at)
        else:
            assert at[name] == piece.at
    assert all(len(moved) == 1 for moved in distances.values())
    assert distances.get("h", {0}) == {0}
    check_map(machine, entry_, plan)


def check_map(machine, entry_, plan):
    map_ = plan.boot_info.memory_map
    assert all(a.end <= b.start for a, b in pairwise(map_))
    assert not any(a.end == b.start and a.type == b.type for a, b in pairwise(map_))
    assert all(r.start < r.end for r in map_)

    def type_of(address):
        return next((r.type for r in map_ if r.start <= address < r.end), None)

    for piece in plan.pieces:
        if piece.start < piece.end:
            assert type_of(piece.start) == type_of(piece.end - 1) == piece.memory_type
    for run in (*machine.ram, *machine.reserved, *map_):
        for address in (run.start, run.end - 1):
            if any(r.start <= address < r.end for r in machine.reserved):
                assert type_of(address) == MemoryType.RESERVED
            elif usable(machine, address):
                assert type_of(address) in (1, 3, 4)
            else:
                assert type_of(address) is None


@given(entries(), st.integers(1, 80))
def test_the_hint_is_enough_and_without_movable_groups_not_too_much(entry_, pages):
    # Only pieces that are content with low addresses: for others the hint is an estimate.
    low = tuple(replace(p, top=False, size=p.size * 64) for p in entry_.pieces)
    entry_ = replace(entry_, pieces=low)
    memory = pages * 16 * PAGE
    try:
        place(entry_, pc(memory), BootInfo())
    except PlacementError as error:
        if error.hint is None:
            with pytest.raises(PlacementError):
                place(entry_, pc(3 * GIB), BootInfo())
            return
        enough = int(error.hint.split()[0]) * MIB
        assert enough > memory
        place(entry_, pc(enough), BootInfo())
        # A group that may move is counted where it is linked: there less could do as well.
        if enough - MIB >= memory and not entry_.relocations:
            with pytest.raises(PlacementError):
                place(entry_, pc(enough - MIB), BootInfo())


@given(st.lists(st.integers(1, 9 * PAGE), min_size=1, max_size=6))
def test_the_least_ram_is_exact_to_the_page(sizes):
    pieces_ = [Piece(f"p{i}", size=s, low=MIB, align=PAGE) for i, s in enumerate(sizes)]
    need = MIB + sum(-(-size // PAGE) for size in sizes) * PAGE
    assert lay_out(*pieces_, machine=pc(need))
    # One page less: the piece that is placed last finds its last page missing.
    assert (
        refused(*pieces_, machine=pc(need - PAGE)).hint == f"{-(-need // MIB)} MiB of RAM would do"
    )


@given(st.integers(0, 63), st.integers(1, 8), st.integers(1, 8), st.integers(1, 8))
def test_a_movable_group_lands_at_the_first_or_last_place_that_a_search_finds(hole, a, gap, b):
    base = MIB
    linked = 2 * MIB
    group = (
        Piece("a", size=a * PAGE, at=linked, group="g"),
        Piece("b", size=b * PAGE, at=linked + (a + gap) * PAGE, group="g"),
    )
    blocked = MemoryRange(base + hole * PAGE, base + (hole + 1) * PAGE, MemoryType.RESERVED)
    away = MemoryRange(linked, linked + PAGE, MemoryType.RESERVED)
    machine = Machine("test", 4 * MIB, (RamBlock(0, 4 * MIB, 0),), (blocked, away))
    free = {page for page in range(0, 4 * MIB, PAGE) if usable(machine, page)}
    places = [
        at
        for at in range(base, 4 * MIB, PAGE)
        if all(
            at + piece.at - linked + byte in free
            for piece in group
            for byte in range(0, piece.size, PAGE)
        )
    ]
    relocation = Relocation(PAGE, base, 4 * MIB - 1)
    placed = lay_out(*group, machine=machine, relocations={"g": relocation})
    assert placed["a"] == places[0]
    relocation = replace(relocation, preference=Preference.HIGHEST)
    placed = lay_out(*group, machine=machine, relocations={"g": relocation})
    assert placed["a"] == places[-1]
