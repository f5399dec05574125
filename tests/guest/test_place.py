"""The placer: hand-made cases with their messages."""

from __future__ import annotations

import mmap
from dataclasses import replace

import pytest

from guest.placing import (
    GIB,
    LEGACY,
    LONG,
    MIB,
    PROTECTED,
    RELOCATION,
    entry,
    kernel,
    lay_out,
    pc,
    refused,
    starts,
)
from hvmlite.guest.memory import PlanMemory
from hvmlite.guest.place import place
from hvmlite.model import (
    BootInfo,
    Fixup,
    Kind,
    Machine,
    MemoryRange,
    MemoryType,
    Piece,
    Preference,
    RamBlock,
    Ref,
    Relocation,
)

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


def test_where_its_alignment_finds_no_room_less_will_do_down_to_the_least():
    # 8 MiB and 2 MiB of room: nothing at a multiple of 8, something at a multiple of 2.
    rom = Piece("rom", size=4 * MIB, at=16 * MIB)
    rest = Piece("rest", size=39 * MIB, at=25 * MIB)
    loose = Relocation(8 * MIB, 16 * MIB, GIB - 1, least=MIB)
    placed = lay_out(*kernel(), rom, rest, relocations={"kernel": loose})
    assert (placed["text"], placed["data"]) == (20 * MIB, 23 * MIB)
    tight = replace(loose, least=8 * MIB)
    error = refused(*kernel(), rom, rest, relocations={"kernel": tight})
    assert "no other place at a multiple of 0x800000 in" in str(error)
    full = replace(rest, at=22 * MIB, size=4 * MIB)
    error = refused(*kernel(), rom, full, machine=pc(26 * MIB), relocations={"kernel": loose})
    assert "no other place at a multiple of 0x100000 in" in str(error)


def test_its_own_alignment_comes_first_even_if_that_is_higher_up():
    rom = Piece("rom", size=MIB, at=16 * MIB)
    loose = Relocation(16 * MIB, 16 * MIB, GIB - 1, least=MIB)
    assert lay_out(*kernel(), rom, relocations={"kernel": loose})["text"] == 32 * MIB


def test_the_highest_byte_of_a_relocation_counts():
    rom = Piece("rom", size=0x1000, at=17 * MIB)
    just = Relocation(2 * MIB, 16 * MIB, 22 * MIB - 1)
    assert lay_out(*kernel(), rom, relocations={"kernel": just})["data"] == 21 * MIB
    error = refused(*kernel(), rom, relocations={"kernel": replace(just, highest=22 * MIB - 2)})
    assert str(error) == (
        "kernel: 0x1000000-0x1400000, where it is linked, is not free, and no other place at a "
        "multiple of 0x200000 in 0x1000000-0x15fffff is"
    )


@pytest.mark.parametrize(
    ("preference", "low", "text"),
    [
        (Preference.LINKED, 32 * MIB, 16 * MIB),
        (Preference.LOWEST, 32 * MIB, 32 * MIB),
        (Preference.LOWEST, 0, 2 * MIB),
        (Preference.HIGHEST, 0, 60 * MIB),  # 4 MiB below the end
    ],
)
def test_a_group_lies_where_it_prefers_to(preference, low, text):
    relocation = Relocation(2 * MIB, low, 0xFFFFFFFF, preference)
    placed = lay_out(*kernel(), relocations={"kernel": relocation})
    assert placed == {"text": text, "data": text + 3 * MIB}


def test_the_highest_place_ends_at_the_highest_byte_that_is_allowed():
    relocation = Relocation(MIB, 16 * MIB, 24 * MIB - 1, Preference.HIGHEST)
    assert lay_out(*kernel(), relocations={"kernel": relocation})["text"] == 20 * MIB
    for highest, text in ((24 * MIB - 2, 19 * MIB), (20 * MIB - 1, 16 * MIB)):
        tighter = replace(relocation, highest=highest)
        assert lay_out(*kernel(), relocations={"kernel": tighter})["text"] == text
    error = refused(*kernel(), relocations={"kernel": replace(relocation, highest=20 * MIB - 2)})
    assert str(error) == (
        "kernel: no room for 0x400000 bytes at a multiple of 0x100000 in 0x1000000-0x13fffff"
    )


def test_a_wish_for_the_highest_place_does_not_count_in_how_much_ram_would_do():
    relocation = Relocation(MIB, 16 * MIB, 0xFFFFFFFF, Preference.HIGHEST)
    error = refused(*kernel(), machine=pc(16 * MIB), relocations={"kernel": relocation})
    assert error.hint == "20 MiB of RAM would do"


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


def test_an_address_may_be_written_in_halves():
    halves = (Fixup(0, 4, Ref("far"), 0), Fixup(8, 4, Ref("far"), 32))
    plan = place(
        entry(
            Piece("near", b"\xee" * 12, fixups=halves),
            Piece("far", b"x", at=(4 << 30) + 0x5000, high=1 << 40),
        ),
        pc(8 << 30),
        BootInfo(),
    )
    table = PlanMemory(plan).read(starts(plan)["near"], 12)
    assert table == bytes.fromhex("00500000 eeeeeeee 01000000")


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
