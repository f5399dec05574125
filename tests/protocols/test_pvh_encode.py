"""PVH: what lies in memory and in the registers; each trap of a loader has its test."""

from __future__ import annotations

import mmap
from dataclasses import replace

import pytest

from hvmlite.errors import PlacementError, RequestError
from hvmlite.guest import acpi
from hvmlite.guest.memory import PlanMemory, fill
from hvmlite.guest.place import place
from hvmlite.guest.segments import decode as decode_descriptor
from hvmlite.model import (
    BootInfo,
    Kind,
    MemoryRange,
    MemoryType,
    Mode,
    Module,
    Origin,
    Piece,
    Ref,
)
from hvmlite.protocols import pvh
from hvmlite.spec.pvh import HvmMemmapTableEntry, HvmModlistEntry, HvmStartInfo, HvmStartInfoV0
from makers.pvh import (
    ENTRY,
    HOLE,
    LINUX,
    MIB,
    START,
    bzimage,
    kernel,
    machine,
    note,
    reloc,
    segment,
)

GIB = 1 << 30
RSDP = Piece("ACPI RSDP", b"RSD PTR ", Kind.ACPI, align=16, high=MIB, memory_type=MemoryType.ACPI)


def encode(image=None, info=None, on=None, *, rsdp=None, **options):
    offer = pvh.offers(image or kernel())
    return pvh.encode(offer, info or BootInfo(), on or machine(), rsdp, **options)


def plan(image=None, info=None, on=None, *, pieces=(), **options):
    info, on = info or BootInfo(), on or machine()
    entry = encode(image, info, on, **options)
    made = place(replace(entry, pieces=entry.pieces + pieces), on, info)
    return made, PlanMemory(made)


def start_info(made, memory, layout=HvmStartInfo):
    return layout.unpack(memory.read(made.cpu.rbx, layout.SIZE))


def linux(**options):
    return kernel(note(ENTRY), LINUX, **options)


# The CPU (the document's "CPU state" section; the values Xen itself has)


def test_the_cpu_state_is_the_document_s_to_the_bit():
    made, _ = plan()
    cpu = made.cpu
    assert cpu.mode is Mode.PROTECTED32
    assert (cpu.cr0, cpu.cr3, cpu.cr4, cpu.efer, cpu.rflags) == (0x11, 0, 0, 0, 2)
    assert cpu.rip == ENTRY
    assert {name: value for name, value in cpu.general.items() if value} == {"rbx": cpu.rbx}
    assert (cpu.cs.base, cpu.cs.limit, cpu.cs.attributes) == (0, 0xFFFFFFFF, 0xC09B)
    for data in (cpu.ds, cpu.es, cpu.ss):
        assert (data.base, data.limit, data.attributes) == (0, 0xFFFFFFFF, 0xC093)
    assert (cpu.tr.base, cpu.tr.limit, cpu.tr.attributes) == (0, 0x67, 0x8B)
    assert not cpu.ldtr.present
    assert cpu.msrs == ()


def test_a_guest_that_reloads_its_selectors_gets_the_same_segments():
    # The document leaves GDTR open; a guest that trusts it all the same must not fault.
    made, memory = plan()
    table = memory.read(made.cpu.gdtr.base, made.cpu.gdtr.limit + 1)
    assert table[:8] == bytes(8)
    for name in ("cs", "ds", "es", "fs", "gs", "ss", "tr"):
        register = getattr(made.cpu, name)
        descriptor = table[register.selector :][:8]
        assert decode_descriptor(descriptor, register.selector) == register


def test_trap_2_eax_is_no_multiboot_magic():
    assert plan()[0].cpu.rax == 0


# The start info


def test_all_fields_of_the_start_info():
    modules = (Module(b"initrd", b"first"), Module(b"second"))
    info = BootInfo(b"console=ttyS0", modules)
    made, memory = plan(kernel(), info, rsdp=Ref("ACPI RSDP"), pieces=(RSDP,))
    start = start_info(made, memory)
    assert start == HvmStartInfo(
        magic=0x336EC578,
        version=1,
        flags=0,
        nr_modules=2,
        modlist_paddr=made.address_of("module list"),
        cmdline_paddr=made.address_of("command line"),
        rsdp_paddr=made.address_of("ACPI RSDP"),
        memmap_paddr=made.address_of("memory map"),
        memmap_entries=len(made.boot_info.memory_map),
    )
    assert memory.read(start.cmdline_paddr, 14) == b"console=ttyS0\0"
    first, second = HvmModlistEntry.unpack_all(memory.read(start.modlist_paddr, 64))
    assert memory.read(first.paddr, first.size) == b"initrd"
    assert memory.read(first.cmdline_paddr, 6) == b"first\0"
    assert memory.read(second.paddr, second.size) == b"second"
    assert second.cmdline_paddr == 0
    table = memory.read(start.memmap_paddr, 24 * start.memmap_entries)
    records = HvmMemmapTableEntry.unpack_all(table)
    told = [MemoryRange(r.addr, r.addr + r.size, r.type) for r in records]
    assert told == list(made.boot_info.memory_map)
    assert MemoryType.ACPI in {r.type for r in told}
    assert HOLE in told


def test_the_memory_map_is_the_finished_one():
    made, memory = plan(on=machine(8 * GIB), rsdp=Ref("ACPI RSDP"), pieces=(RSDP,))
    start = start_info(made, memory)
    assert start.memmap_entries == len(made.boot_info.memory_map) >= 4
    assert made.boot_info.memory_map[-1] == MemoryRange(1 << 32, (1 << 32) + 5 * GIB)


def test_without_modules_there_is_no_list():
    start = start_info(*plan())
    assert (start.nr_modules, start.modlist_paddr) == (0, 0)


def test_an_empty_command_line_is_there_all_the_same():
    made, memory = plan()
    start = start_info(made, memory)
    assert start.cmdline_paddr
    assert memory.read(start.cmdline_paddr, 1) == b"\0"


def test_without_an_rsdp_piece_the_address_of_the_boot_info_is_told():
    assert start_info(*plan(info=BootInfo(rsdp=0xE0000))).rsdp_paddr == 0xE0000
    assert start_info(*plan()).rsdp_paddr == 0


def test_version_0_is_40_bytes_without_memory_map():
    made, memory = plan(version=0)
    assert start_info(made, memory, HvmStartInfoV0).version == 0
    assert made.dropped[0].field == "memory_map"
    placed = {piece.name: piece for piece in made.pieces}
    assert placed["start info"].end - placed["start info"].start == 40
    assert "memory map" not in placed


@pytest.mark.parametrize("version", [-1, 2])
def test_unknown_versions_are_refused(version):
    with pytest.raises(RequestError, match="0 or 1 needed"):
        encode(version=version)


def test_the_same_request_gives_the_same_memory_byte_for_byte():
    info = BootInfo(b"a", (Module(b"b", b"c"), Module(b"")))
    images = []
    for _ in range(2):
        made, _ = plan(kernel(note(ENTRY), reloc()), info)
        memory = bytearray(made.machine.memory)
        fill(made, memory)
        images.append((made.cpu, memory))
    assert images[0] == images[1]


# The traps of docs/protocols/pvh.md


@pytest.mark.parametrize("memory", [32 * MIB, 3 * GIB, 8 * GIB])
def test_trap_1_tables_lie_below_1_gib(memory):
    info = BootInfo(b"x" * 2047, tuple(Module(b"m", b"line") for _ in range(64)))
    made, _ = plan(linux(), info, machine(memory))
    for piece in made.pieces:
        if piece.kind in (Kind.BOOT_INFO, Kind.COMMAND_LINE, Kind.MEMORY_MAP, Kind.DESCRIPTORS):
            assert piece.end <= MIB, piece


def test_trap_1_holds_when_the_first_mib_is_full():
    lines = tuple(Module(b"m", b"x" * 60_000) for _ in range(20))
    made, _ = plan(linux(), BootInfo(modules=lines), machine(8 * GIB))
    info = [piece for piece in made.pieces if piece.kind is not Kind.MODULE]
    assert max(piece.end for piece in info) > MIB
    assert max(piece.end for piece in info) <= GIB


def test_trap_1_is_an_error_when_there_is_no_room_below_1_gib():
    full = linux(segments=(segment(memsz=GIB), segment(MIB, 15 * MIB)))
    on = machine(8 * GIB, reserved=(HOLE, MemoryRange(0x2000, 0xA0000, MemoryType.RESERVED)))
    with pytest.raises(PlacementError, match=r"no room between 0x1000 and 0x40000000"):
        plan(full, BootInfo(), on)


def test_trap_3_the_start_info_is_in_ram():
    made, _ = plan()
    ram = [r for r in made.boot_info.memory_map if r.type == MemoryType.RAM]
    assert any(r.start <= made.cpu.rbx and made.cpu.rbx + 56 <= r.end for r in ram)


def ranges(count):
    # Each reserved page is a record, and the RAM after it another.
    step = 0x2000
    return tuple(
        MemoryRange(32 * MIB + i * step, 32 * MIB + i * step + 0x1000, MemoryType.RESERVED)
        for i in range(count)
    )


def test_trap_4_a_map_of_128_records_is_the_most_that_linux_takes():
    on = machine(reserved=(*ranges(63), MemoryRange(63 * MIB, 64 * MIB, MemoryType.RESERVED)))
    made, memory = plan(linux(), on=on)
    assert start_info(made, memory).memmap_entries == 128


@pytest.mark.parametrize("count", [64, 128, 129, 200])  # 257 records would count as 1
def test_trap_4_a_longer_map_is_refused_for_linux(count):
    with pytest.raises(RequestError, match=r"memory map: .* records found, at most 128 needed"):
        plan(linux(), on=machine(reserved=ranges(count)))
    made, memory = plan(kernel(), on=machine(reserved=ranges(count)))
    assert start_info(made, memory).memmap_entries == 2 * count + 1


def test_trap_5_linux_sees_one_module_and_no_module_command_line():
    modules = (Module(b"a", b"line"), Module(b"b"), Module(b"c"))
    made, memory = plan(linux(), BootInfo(modules=modules))
    assert [dropped.field for dropped in made.dropped] == ["modules[0].cmdline", "modules[1:]"]
    assert "2 modules are in memory" in made.dropped[1].reason
    assert start_info(made, memory).nr_modules == 3
    assert plan(kernel(), BootInfo(modules=modules))[0].dropped == ()
    assert plan(linux(), BootInfo(modules=modules[1:2]))[0].dropped == ()


def test_trap_6_linux_is_told_that_version_0_starts_it_on_xen_only():
    dropped = {d.field: d.reason for d in plan(bzimage(kernel()), version=0)[0].dropped}
    assert "Xen" in dropped["memory_map"]
    assert "Xen" not in plan(kernel(), version=0)[0].dropped[0].reason


def test_trap_6_version_1_always_has_a_memory_map():
    assert start_info(*plan(linux())).memmap_entries > 0


RESERVED_THERE = (HOLE, MemoryRange(START, START + 0x1000, MemoryType.RESERVED))


def test_trap_7_a_kernel_that_cannot_be_moved_stays_or_is_refused():
    with pytest.raises(PlacementError, match=r"kernel segment 0: 0x1000000-0x1004000 overlaps"):
        plan(kernel(), on=machine(reserved=RESERVED_THERE))


def test_trap_7_a_kernel_that_can_be_moved_is_moved_with_its_entry():
    image = kernel(
        note(ENTRY),
        reloc(0x200000, START, 0x3FFFFFFF),
        segments=(segment(), segment(START + 0x4000, 0x1000, b"\x90" * 16)),
    )
    made, memory = plan(image, on=machine(reserved=RESERVED_THERE))
    first = made.address_of("kernel segment 0")
    assert first == START + 0x200000
    assert made.address_of("kernel segment 1") == first + 0x4000
    assert made.cpu.rip == first + 0x100
    assert memory.read(made.cpu.rip, 1) == b"\xf4"
    assert plan(image)[0].cpu.rip == ENTRY  # not moved without need


def test_a_moved_kernel_stays_within_its_own_bounds():
    image = kernel(note(ENTRY), reloc(0x1000, START, START + 0x4FFF))
    with pytest.raises(PlacementError, match="not free"):
        plan(image, on=machine(reserved=(HOLE, MemoryRange(START + 0x1000, START + 0x2000, 2))))


def test_zero_filled_memory_of_a_segment_belongs_to_it():
    placed = {piece.name: piece for piece in plan()[0].pieces}
    assert placed["kernel segment 0"].end == START + 0x4000


def test_the_entry_may_lie_in_any_segment():
    image = kernel(note(START + 0x8010), segments=(segment(), segment(START + 0x8000)))
    assert plan(image)[0].cpu.rip == START + 0x8010


# Command lines


def test_linux_takes_2047_bytes_and_finds_2048_of_ram():
    made, memory = plan(linux(), BootInfo(b"x" * 2047))
    assert memory.read(made.address_of("command line"), 2048) == b"x" * 2047 + b"\0"
    made, memory = plan(linux(), BootInfo(b"y"))
    assert memory.read(made.address_of("command line"), 2048) == b"y" + bytes(2047)


@pytest.mark.parametrize("image", [linux(), bzimage(kernel())])
def test_a_longer_command_line_is_refused_with_both_sizes(image):
    with pytest.raises(RequestError, match="2048 bytes found, at most 2047 needed") as caught:
        encode(image, BootInfo(b"x" * 2048))
    assert caught.value.field == "cmdline"


def test_the_header_s_own_limit_wins():
    image = bzimage(kernel(), cmdline_size=4095)
    encode(image, BootInfo(b"x" * 4095))
    with pytest.raises(RequestError, match="4096 bytes found, at most 4095 needed"):
        encode(image, BootInfo(b"x" * 4096))


def test_other_guests_have_no_limit():
    made, memory = plan(kernel(), BootInfo(b"x" * 60_000))
    assert memory.read(made.address_of("command line"), 60_001) == b"x" * 60_000 + b"\0"


def test_a_nul_in_a_command_line_is_refused():
    with pytest.raises(RequestError, match="command line: NUL found at byte 1"):
        encode(info=BootInfo(b"a\0b"))
    with pytest.raises(RequestError, match="command line of module 1: NUL found at byte 0"):
        encode(info=BootInfo(modules=(Module(b""), Module(b"", b"\0"))))


# Modules


@pytest.mark.parametrize("count", [1, 2, 64, 300])
def test_any_number_of_modules(count):
    modules = tuple(Module(bytes([n & 0xFF]) * n, b"%d" % n) for n in range(count))
    made, memory = plan(kernel(), BootInfo(modules=modules))
    start = start_info(made, memory)
    assert start.nr_modules == count
    table = memory.read(start.modlist_paddr, 32 * count)
    for module, record in zip(modules, HvmModlistEntry.unpack_all(table), strict=True):
        assert memory.read(record.paddr, record.size) == module.data
        assert record.paddr % 0x1000 == 0


def test_names_of_modules_are_shown_and_stay_unique():
    modules = (Module(b"a", name="initrd"), Module(b"b", name="initrd"), Module(b"c"))
    modules += (Module(b"d", name="module 0"),)
    names = {piece.name for piece in plan(info=BootInfo(modules=modules))[0].pieces}
    assert {"module 0 (initrd)", "module 1 (initrd)", "module 2", "module 3 (module 0)"} <= names


@pytest.mark.parametrize(
    ("size", "memory"), [(64 * MIB, 128 * MIB), (GIB, 2 * GIB), (GIB, 8 * GIB)]
)
def test_a_large_initrd_lies_below_4_gib_and_above_the_kernel(size, memory):
    with mmap.mmap(-1, size) as data:
        view = memoryview(data)
        made, _ = plan(linux(), BootInfo(modules=(Module(view, name="initrd"),)), machine(memory))
        placed = next(piece for piece in made.pieces if piece.kind is Kind.MODULE)
        assert placed.end - placed.start == size
        assert placed.start >= START + 0x4000
        assert placed.end == min(memory, 3 * GIB)
        assert placed.data is view  # placed, not copied
        del made, placed
        view.release()


def test_an_initrd_that_does_not_fit_is_named():
    with pytest.raises(PlacementError, match=r"module 0 \(initrd\)"):
        plan(info=BootInfo(modules=(Module(bytes(64 * MIB), name="initrd"),)))


# What cannot be carried


def test_an_origin_is_listed_as_dropped():
    dropped = plan(info=BootInfo(origin=Origin("KVM")))[0].dropped
    assert [each.field for each in dropped] == ["origin"]


def test_with_the_machine_s_real_acpi_tables():
    on = machine()
    made, memory = plan(on=on, rsdp=Ref(acpi.RSDP), pieces=tuple(acpi.tables(on)))
    start = start_info(made, memory)
    assert memory.read(start.rsdp_paddr, 8) == b"RSD PTR "
    assert start.rsdp_paddr == made.boot_info.rsdp
