"""The placer: hand-made cases with their messages, then laws over random entries."""

from __future__ import annotations

import mmap
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmlite.errors import PlacementError
from hvmlite.guest.memory import PlanMemory
from hvmlite.guest.place import place
from hvmlite.model import (
    BootInfo,
    CpuState,
    Entry,
    Fixup,
    Kind,
    Machine,
    MemoryRange,
    MemoryType,
    Piece,
    RamBlock,
    Ref,
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


# What lies where


def test_fixed_pieces_then_groups_then_the_tightest_window():
    assert lay_out(
        Piece("wide", size=0x1000),
        Piece("tight", size=0x2000, high=0x8000),
        Piece("kernel", size=MIB, at=MIB, group="kernel"),
        Piece("fixed", size=0x1000, at=0x2000),
    ) == {"tight": 0x3000, "fixed": 0x2000, "kernel": MIB, "wide": 0x1000}


def test_larger_alignment_then_larger_size_then_order():
    assert lay_out(
        Piece("a", size=0x10),
        Piece("b", size=0x20),
        Piece("c", size=0x10),
        Piece("d", size=0x10, align=0x1000),
        machine=pc(),
    ) == {"d": 0x1000, "b": 0x1010, "a": 0x1030, "c": 0x1040}


def test_page_zero_is_given_only_to_those_who_ask():
    assert lay_out(Piece("free", size=1)) == {"free": 0x1000}
    assert lay_out(Piece("ivt", size=0x400, at=0)) == {"ivt": 0}
    error = refused(Piece("free", size=1, high=0x1000))
    assert str(error) == (
        "free: no room between 0x0 and 0x1000, 0x1 free bytes at a multiple of 0x1 are needed"
    )
    assert error.hint is None


def test_top_takes_the_highest_place():
    assert lay_out(
        Piece("initrd", size=0x1001, align=0x1000, top=True),
        Piece("low", size=0x1000, top=True, high=MIB),
    ) == {"initrd": 64 * MIB - 0x2000, "low": 0x9F000}


def test_windows_bind_fixed_pieces_and_groups_as_well():
    low = Piece("low", size=1, at=MIB, low=MIB + 1)
    assert str(refused(low)).startswith("low: 0x100000-0x100001 is not inside 0x100001-")
    text, data = kernel()
    low = replace(data, low=40 * MIB)
    assert lay_out(text, low, relocations={"kernel": RELOCATION})["data"] == 41 * MIB
    high = replace(data, high=18 * MIB)
    assert "no other place" in str(refused(text, high, relocations={"kernel": RELOCATION}))


def test_ram_above_four_gib_is_used_where_allowed():
    machine = pc(8 * GIB)
    big = Piece("big", size=4 * GIB, high=1 << 40)
    assert lay_out(big, machine=machine) == {"big": 4 * GIB}
    assert refused(replace(big, high=4 * GIB), machine=machine).limit == 4 * GIB
    assert lay_out(Piece("fixed", size=MIB, at=5 * GIB, high=1 << 40), machine=machine)
    assert str(refused(Piece("fixed", size=MIB, at=5 * GIB), machine=machine)) == (
        "fixed: 0x140000000-0x140100000 is not inside 0x0-0x100000000, which it must be"
    )


def test_blocks_that_touch_are_one():
    machine = Machine("two", 4 * MIB, (RamBlock(0, MIB, 3 * MIB), RamBlock(MIB, 3 * MIB, 0)))
    assert lay_out(Piece("a", size=3 * MIB), machine=machine) == {"a": 0x1000}


# Groups

RELOCATION = Relocation(align=2 * MIB, lowest=16 * MIB, highest=GIB - 1)


def kernel(at=16 * MIB):
    return (
        Piece("text", size=2 * MIB, at=at, group="kernel"),
        Piece("data", size=MIB, at=at + 3 * MIB, group="kernel"),
    )


def test_a_group_stays_where_it_is_linked_if_that_is_free():
    placed = lay_out(*kernel(), relocations={"kernel": replace(RELOCATION, lowest=32 * MIB)})
    assert placed == {"text": 16 * MIB, "data": 19 * MIB}


def test_a_group_moves_as_one_to_the_lowest_place_where_all_of_it_fits():
    rom = Piece("rom", size=0x1000, at=17 * MIB)
    table = Piece("table", size=0x1000, at=23 * MIB)
    placed = lay_out(*kernel(), rom, table, relocations={"kernel": RELOCATION})
    # 18 MiB: text fits, data lies at 21 MiB
    assert (placed["text"], placed["data"]) == (18 * MIB, 21 * MIB)
    table = replace(table, at=21 * MIB)
    placed = lay_out(*kernel(), rom, table, relocations={"kernel": RELOCATION})
    assert (placed["text"], placed["data"]) == (22 * MIB, 25 * MIB)


def test_the_start_of_a_group_is_aligned_not_its_distance():
    # Xen's dom0 builder does it so (find_kernel_memory in xen/arch/x86/hvm/dom0_build.c).
    placed = lay_out(
        Piece("text", size=MIB, at=16 * MIB + 0x1000, group="kernel"),
        Piece("rom", size=1, at=17 * MIB),
        relocations={"kernel": RELOCATION},
    )
    assert placed["text"] == 16 * MIB


def test_a_group_may_move_down_but_not_below_one_mib():
    relocation = Relocation(align=0x1000, lowest=0, highest=0xFFFFFFFF)
    placed = lay_out(*kernel(), machine=pc(16 * MIB), relocations={"kernel": relocation})
    assert placed == {"text": MIB, "data": 4 * MIB}


def test_the_highest_byte_of_a_relocation_counts():
    rom = Piece("rom", size=0x1000, at=17 * MIB)
    just = Relocation(2 * MIB, 16 * MIB, 22 * MIB - 1)
    assert lay_out(*kernel(), rom, relocations={"kernel": just})["data"] == 21 * MIB
    error = refused(*kernel(), rom, relocations={"kernel": replace(just, highest=22 * MIB - 2)})
    assert str(error) == (
        "kernel: 0x1000000-0x1400000, where it is linked, is not free, and no other place at a "
        "multiple of 0x200000 in 0x1000000-0x15fffff is"
    )


def test_xen_issue_180_fixed_load_address_with_and_without_relocation():
    # gitlab.com/xen-project/xen/-/issues/180: firmware lies where the kernel is linked.
    machine = replace(pc(), reserved=(LEGACY, MemoryRange(0x1100000, 0x1200000, MemoryType.NVS)))
    error = refused(*kernel(), machine=machine)
    assert str(error) == (
        "text: 0x1000000-0x1200000 overlaps 0x1100000-0x1200000, which is reserved"
    )
    assert error.hint is None
    placed = lay_out(*kernel(), machine=machine, relocations={"kernel": RELOCATION})
    assert placed["text"] == 18 * MIB


def test_a_register_follows_the_group():
    pieces = (*kernel(), Piece("rom", size=0x1000, at=17 * MIB))
    plan = place(
        entry(*pieces, registers={"rip": Ref("text", 0x30)}, relocations={"kernel": RELOCATION}),
        pc(),
        BootInfo(),
    )
    assert plan.cpu.rip == 18 * MIB + 0x30


# Conflicts, named


def test_overlap_names_both():
    error = refused(
        Piece("kernel segment 1", size=0x2000, at=MIB),
        Piece("initrd", size=0x2000, at=MIB + 0x1000),
    )
    assert str(error) == "initrd: 0x101000-0x103000 overlaps kernel segment 1 at 0x100000-0x102000"
    assert (error.piece, error.need, error.hint) == ("initrd", 0x2000, None)


def test_segments_of_one_group_that_overlap_are_refused():
    a, b = kernel()
    error = refused(a, replace(b, at=a.at + 0x1000), relocations={"kernel": RELOCATION})
    assert str(error).startswith("data: 0x1001000-0x1101000 overlaps text at 0x1000000")


def test_beyond_ram_says_how_much_would_do():
    error = refused(*kernel(), machine=pc(17 * MIB))
    assert str(error) == "text: 0x1000000-0x1200000 is not all RAM, RAM is 0x0-0x1100000"
    assert error.hint == "20 MiB of RAM would do"
    assert lay_out(*kernel(), machine=pc(20 * MIB))
    error = refused(*kernel(), Piece("initrd", size=50 * MIB, low=MIB), machine=pc())
    assert error.piece == "initrd"
    assert error.hint == "70 MiB of RAM would do"


def test_no_amount_of_ram_helps_beyond_a_limit():
    rom = MemoryRange(64 * MIB, 65 * MIB, MemoryType.RESERVED)
    machine = replace(pc(), reserved=(LEGACY, rom))
    assert refused(Piece("initrd", size=64 * MIB), machine=machine).hint is None
    assert refused(Piece("initrd", size=4 * GIB)).hint is None
    assert refused(Piece("info", size=MIB, high=MIB)).hint is None


def test_hyperkit_66_no_piece_lies_in_the_hole_below_four_gib():
    # github.com/moby/hyperkit/pull/66: an initrd was put where no RAM is.
    machine = pc(6 * GIB)
    assert lay_out(Piece("initrd", size=GIB, top=True), machine=machine) == {"initrd": 2 * GIB}
    error = refused(Piece("initrd", size=GIB, at=3 * GIB), machine=machine)
    assert "is not all RAM, RAM is 0x0-0xc0000000, 0x100000000-0x1c0000000" in str(error)


@pytest.mark.parametrize(
    ("pieces", "options", "words"),
    [
        ((Piece("a", b"1"), Piece("a", b"2")), {}, "a: two pieces have this name"),
        ((Piece("a", bytes(8), fixups=(Fixup(0, 8, Ref("b")),)),), {}, "a: it refers to 'b'"),
        ((Piece("a", bytes(8)),), {"registers": {"rbx": Ref("b")}}, "rbx: it refers to 'b'"),
        ((Piece("a", bytes(8)),), {"registers": {"foo": Ref("a")}}, "foo: it refers to 'a'"),
        ((Piece("a", bytes(8)),), {"registers": {"cs": Ref("a")}}, "cs: it refers to 'a'"),
        ((Piece("a", bytes(7), fixups=(Fixup(0, 8, Ref("a")),)),), {}, "a: fixup of 8 bytes"),
        ((Piece("a", bytes(8), fixups=(Fixup(-1, 4, Ref("a")),)),), {}, "a: fixup of 4 bytes"),
        ((Piece("a", bytes(8), fixups=(Fixup(0, 2, Ref("a")),)),), {}, "a: fixup of 2 bytes"),
        ((Piece("a", align=3),), {}, "a: alignment 0x3 found, a power of two needed"),
        ((Piece("a", align=0),), {}, "a: alignment 0x0 found"),
        ((Piece("a", at=-1),), {}, "a: address -0x1 found"),
        ((Piece("a", group="g"),), {}, "a: it is in group 'g', an address is needed"),
        ((), {"relocations": {"g": Relocation(0, 0, 0)}}, "g: alignment 0 found"),
        (
            (Piece("a", size=8, late=lambda _: b"", memory_type=MemoryType.ACPI),),
            {},
            "a: it is made from the memory map and changes it",
        ),
        ((Piece("a", size=8, late=lambda _: bytes(9)),), {}, "a: 0x9 bytes made, 0x8 were set"),
    ],
)
def test_contradictions_are_refused(pieces, options, words):
    assert str(refused(*pieces, **options)).startswith(words)


def test_an_address_must_fit_its_field_and_register():
    far = Piece("far", size=8, low=4 * GIB, high=1 << 40)
    near = Piece("near", bytes(8), fixups=(Fixup(2, 4, Ref("far")),))
    assert str(refused(near, far, machine=pc(4 * GIB))) == (
        "near: 0x100000000, the address of far, does not fit the 4 bytes at 0x2"
    )
    negative = Piece("a", bytes(8), fixups=(Fixup(0, 8, Ref("a", -0x2000)),))
    assert "does not fit the 8 bytes" in str(refused(negative))
    registers = {"rbx": Ref("far")}
    assert str(refused(far, registers=registers, machine=pc(4 * GIB))) == (
        "rbx: 0x100000000, the address of far, does not fit 32 bits"
    )
    plan = place(entry(far, cpu=LONG, registers=registers), pc(4 * GIB), BootInfo())
    assert plan.cpu.rbx == 4 * GIB


# Contents


def test_references_late_contents_and_seals_come_in_this_order():
    def checksum(data):
        data[0] = -sum(data) & 0xFF

    map_piece = Piece(
        "map",
        size=0x40,
        kind=Kind.MEMORY_MAP,
        late=lambda map_: bytes([0, len(map_), *(r.type for r in map_)]),
        fixups=(Fixup(0x38, 8, Ref("data", 5)),),
        seal=checksum,
    )
    data = Piece("data", b"data", size=0x20, memory_type=MemoryType.ACPI)
    plan = place(
        entry(map_piece, data, registers={"rbx": Ref("map", 1), "gdtr": Ref("map")}),
        pc(),
        BootInfo(cmdline=b"quiet"),
    )
    address = starts(plan)
    content = PlanMemory(plan).read(address["map"], 0x40)
    types = [r.type for r in plan.boot_info.memory_map]
    assert content[1 : 2 + len(types)] == bytes([len(types), *types])
    assert content[0x38:] == (address["data"] + 5).to_bytes(8, "little")
    assert sum(content) % 256 == 0
    assert plan.cpu.rbx == plan.cpu.gdtr.base + 1 == address["map"] + 1
    assert plan.cpu.gdtr.limit == PROTECTED.gdtr.limit
    assert PlanMemory(plan).read(address["data"], 5) == b"data\0"
    assert plan.boot_info.cmdline == b"quiet"


def test_references_may_go_round_in_a_circle():
    plan = place(
        entry(
            Piece("a", bytes(8), fixups=(Fixup(0, 8, Ref("b")),)),
            Piece("b", bytes(4), fixups=(Fixup(0, 4, Ref("a", 3)),)),
        ),
        pc(),
        BootInfo(),
    )
    memory, at = PlanMemory(plan), starts(plan)
    assert int.from_bytes(memory.read(at["a"], 8), "little") == at["b"]
    assert int.from_bytes(memory.read(at["b"], 4), "little") == at["a"] + 3


def test_contents_that_nothing_changes_are_not_copied():
    size = 256 * MIB
    data = memoryview(mmap.mmap(-1, size))
    plan = place(entry(Piece("initrd", data)), pc(GIB), BootInfo())
    assert plan.pieces[0].data is data


# The memory map


def test_memory_map_of_a_pc():
    machine = replace(
        pc(4 * GIB),
        reserved=(
            MemoryRange(0x9FC00, 0xA0000, MemoryType.RESERVED),
            LEGACY,
            MemoryRange(0xB0000000, 0xC0000000, MemoryType.RESERVED),  # over RAM
            MemoryRange(0xFFFC0000, 4 * GIB, MemoryType.RESERVED),  # where no RAM is
        ),
    )
    acpi = (
        Piece("b", size=8, top=True, high=0x9F000, memory_type=MemoryType.ACPI),
        Piece("a", size=0x24, align=16, top=True, high=0x9F000, memory_type=MemoryType.ACPI),
    )
    plan = place(entry(*acpi, Piece("info", size=8)), machine, BootInfo())
    assert starts(plan) == {"info": 0x1000, "a": 0x9E000, "b": 0x9E024}
    assert [(r.start, r.end, r.type) for r in plan.boot_info.memory_map] == [
        (0, 0x9E000, MemoryType.RAM),
        (0x9E000, 0x9F000, MemoryType.ACPI),
        (0x9F000, 0x9FC00, MemoryType.RAM),
        (0x9FC00, 0x100000, MemoryType.RESERVED),
        (0x100000, 0xB0000000, MemoryType.RAM),
        (0xB0000000, 0xC0000000, MemoryType.RESERVED),
        (0xFFFC0000, 4 * GIB, MemoryType.RESERVED),
        (4 * GIB, 5 * GIB, MemoryType.RAM),
    ]


def test_a_fixed_piece_of_another_type_is_in_the_map_to_the_byte():
    piece = Piece("nvs", size=0x123, at=0x2001, memory_type=MemoryType.NVS)
    map_ = place(entry(piece), pc(), BootInfo()).boot_info.memory_map
    assert map_[1] == MemoryRange(0x2001, 0x2124, MemoryType.NVS)


def test_overlapping_reserved_ranges_the_larger_type_wins():
    reserved = (
        MemoryRange(0x5000, 0x8000, MemoryType.UNUSABLE),
        MemoryRange(0x4000, 0x6000, MemoryType.RESERVED),
        MemoryRange(0x7000, 0x9000, 99),
    )
    map_ = place(entry(), replace(pc(), reserved=reserved), BootInfo()).boot_info.memory_map
    assert [(r.start, r.type) for r in map_] == [
        (0, 1), (0x4000, 2), (0x5000, 5), (0x7000, 99), (0x9000, 1),
    ]  # fmt: skip


# Sizes at the edges


def test_empty_pieces_have_a_valid_address_of_their_own():
    placed = lay_out(
        Piece("module 0", low=MIB, align=0x1000),
        Piece("module 1", low=MIB, align=0x1000),
        Piece("module 2", b"x", low=MIB, align=0x1000),
    )
    assert sorted(placed.values()) == [MIB, MIB + 0x1000, MIB + 0x2000]
    assert all(address % 0x1000 == 0 for address in placed.values())


def test_an_empty_table_has_an_address_of_its_own():
    tables = [Piece(name, memory_type=MemoryType.ACPI) for name in "ab"]
    assert lay_out(*tables) == {"a": 0x1000, "b": 0x1001}


def test_tables_that_are_packed_keep_their_alignment():
    placed = lay_out(
        Piece("a", size=1, memory_type=MemoryType.ACPI),
        Piece("b", size=1, align=0x4000, memory_type=MemoryType.ACPI),
        Piece("c", size=1, align=16, memory_type=MemoryType.ACPI),
    )
    assert placed == {"b": 0x4000, "c": 0x4010, "a": 0x4011}


def test_an_empty_segment_takes_no_room():
    a, b = kernel()
    empty = Piece("empty", at=a.at + 0x100, group="kernel")
    assert lay_out(a, b, empty)["empty"] == a.at + 0x100
    assert refused(Piece("free", high=0)).need == 1


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, GIB, 3 * GIB - MIB])
def test_modules_from_nothing_to_all_the_ram_there_is(size):
    module = Piece("module", size=size, low=MIB, align=0x1000)
    assert lay_out(module, machine=pc(3 * GIB)) == {"module": MIB}


def test_a_huge_module_is_refused_at_once():
    error = refused(Piece("module", size=1 << 63, high=1 << 64))
    assert (error.need, error.limit, error.hint) == (1 << 63, 1 << 64, None)


def test_sixty_four_modules():
    modules = [Piece(f"module {i}", size=i * 1000, low=MIB, align=0x1000) for i in range(64)]
    placed = lay_out(*modules)
    assert len(set(placed.values())) == 64


def test_xsa_55_a_segment_at_the_end_of_all_addresses():
    top = Piece("segment", size=0x2000, at=(1 << 64) - 0x1000, high=1 << 65)
    assert "0xfffffffffffff000-0x10000000000001000 is not all RAM" in str(refused(top))
    moved = replace(top, group="kernel")
    everywhere = Relocation(align=1, lowest=0, highest=(1 << 64) - 1)
    assert lay_out(moved, relocations={"kernel": everywhere}) == {"segment": MIB}
    first = replace(moved, name="first", at=0x1000)  # group of almost 2**64 bytes
    assert "where it is linked, is not free" in str(
        refused(first, moved, relocations={"kernel": everywhere})
    )


def test_cve_2020_15707_sizes_of_modules_whose_sum_wraps():
    modules = [Piece(f"module {i}", size=(1 << 32) // 4, low=MIB, top=True) for i in range(5)]
    assert "module 2: no room" in str(refused(*modules, machine=pc(8 * GIB)))
    modules = [Piece(f"module {i}", size=1 << 63, high=1 << 64) for i in range(3)]
    assert "module 0: no room" in str(refused(*modules, machine=pc(8 * GIB)))


def test_a_module_never_lies_over_the_kernel():
    module = Piece("module 0", size=40 * MIB, low=MIB)
    placed = lay_out(module, *kernel(at=2 * MIB))
    assert placed["module 0"] == 6 * MIB  # the first place beside the segments that is large enough


# Laws

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
    relocation = Relocation(draw(ALIGNS), draw(st.integers(0, SMALL)), (1 << 32) - 1)
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
def test_a_movable_group_lands_at_the_first_place_that_a_search_finds(hole, a, gap, b):
    base = MIB
    linked = 2 * MIB
    group = (
        Piece("a", size=a * PAGE, at=linked, group="g"),
        Piece("b", size=b * PAGE, at=linked + (a + gap) * PAGE, group="g"),
    )
    blocked = MemoryRange(base + hole * PAGE, base + (hole + 1) * PAGE, MemoryType.RESERVED)
    away = MemoryRange(linked, linked + PAGE, MemoryType.RESERVED)
    machine = Machine("test", 4 * MIB, (RamBlock(0, 4 * MIB, 0),), (blocked, away))
    placed = lay_out(
        *group, machine=machine, relocations={"g": Relocation(PAGE, base, 4 * MIB - 1)}
    )
    first = next(
        at
        for at in range(base, 4 * MIB, PAGE)
        if all(
            usable(machine, at + piece.at - linked + byte)
            for piece in group
            for byte in range(0, piece.size, PAGE)
        )
    )
    assert placed["a"] == first
