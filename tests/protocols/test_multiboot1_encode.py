"""Multiboot 1: what lies in memory and in the registers."""

from __future__ import annotations

import struct

import pytest

from hvmlite.errors import PlacementError, RequestError
from hvmlite.guest.segments import decode as decode_descriptor
from hvmlite.model import (
    BootInfo,
    Framebuffer,
    Kind,
    MemoryRange,
    MemoryType,
    Mode,
    Module,
    Origin,
    SetupNode,
)
from hvmlite.protocols import multiboot1
from makers.elf import Sect
from makers.multiboot import HOLE, MIB, START, elf, header1, machine, symbols
from protocols.multiboot_plans import plan as any_plan
from protocols.multiboot_plans import text, u32, u64

GIB = 1 << 30
KERNEL = elf(header1())


def plan(data=KERNEL, info=None, on=None, **options):
    return any_plan(multiboot1, data, info, on, **options)


# The CPU (the document's section 3.2)


def test_the_cpu_state_is_the_document_s_to_the_bit():
    made, _ = plan()
    cpu = made.cpu
    assert cpu.mode is Mode.PROTECTED32
    assert (cpu.cr0, cpu.cr3, cpu.cr4, cpu.efer, cpu.rflags) == (0x11, 0, 0, 0, 2)
    assert cpu.rip == START + 0x10
    assert cpu.rax == 0x2BADB002
    assert cpu.rbx == made.address_of("multiboot information")
    assert {n for n, value in cpu.general.items() if value} == {"rax", "rbx"}
    assert (cpu.cs.base, cpu.cs.limit, cpu.cs.attributes) == (0, 0xFFFFFFFF, 0xC09B)
    for data in (cpu.ds, cpu.es, cpu.fs, cpu.gs, cpu.ss):
        assert (data.base, data.limit, data.attributes) == (0, 0xFFFFFFFF, 0xC093)


def test_a_guest_that_reloads_its_selectors_gets_the_same_segments():
    made, memory = plan()
    table = memory.read(made.cpu.gdtr.base, made.cpu.gdtr.limit + 1)
    for name in ("cs", "ds", "es", "fs", "gs", "ss"):
        register = getattr(made.cpu, name)
        assert decode_descriptor(table[register.selector :][:8], register.selector) == register


# The information


def test_without_anything_to_tell():
    made, memory = plan()
    at = made.cpu.rbx
    assert u32(memory, at) == 0x1 | 0x4 | 0x40 | 0x200
    assert text(memory, u32(memory, at + 16)) == b""
    assert text(memory, u32(memory, at + 64)) == b"hvmlite (as GRUB 2)"
    for absent in (12, 20, 24, 28, 32, 36, 40, 52, 56, 60, 68, 72, 76, 80, 84, 88, 92):
        assert u32(memory, at + absent) == 0
    assert made.dropped == ()


def test_the_memory_map_is_the_finished_one():
    made, memory = plan(on=machine(8 * GIB), tables=True)
    at = made.cpu.rbx
    length, address = u32(memory, at + 44), u32(memory, at + 48)
    told = []
    for record in range(address, address + length, 24):
        assert u32(memory, record) == 20
        start, size = u64(memory, record + 4), u64(memory, record + 12)
        told.append(MemoryRange(start, start + size, u32(memory, record + 20)))
    assert told == list(made.boot_info.memory_map)
    assert {MemoryType.ACPI, MemoryType.RESERVED} <= {r.type for r in told}
    assert MemoryRange(1 << 32, (1 << 32) + 5 * GIB) in told


def test_mem_lower_and_mem_upper_end_at_the_first_hole():
    made, memory = plan(on=machine(8 * GIB), tables=True)
    first = made.boot_info.memory_map[0]
    assert u32(memory, made.cpu.rbx + 4) == first.end >> 10 == 620  # the BIOS lies there
    assert u32(memory, made.cpu.rbx + 8) == (3 * GIB - MIB) >> 10
    holes = (HOLE, MemoryRange(15 * MIB, 16 * MIB, MemoryType.RESERVED))
    made, memory = plan(on=machine(reserved=holes))
    assert u32(memory, made.cpu.rbx + 8) == 14 << 10


def test_modules_and_their_strings():
    modules = (Module(b"first" * 1000, b"one two"), Module(b"", b""), Module(b"third"))
    made, memory = plan(info=BootInfo(b"root=x", modules))
    at = made.cpu.rbx
    assert u32(memory, at) & 8
    assert text(memory, u32(memory, at + 16)) == b"root=x"
    assert u32(memory, at + 20) == 3
    listed = u32(memory, at + 24)
    for number, module in enumerate(modules):
        start, end, line, pad = struct.unpack("<4I", memory.read(listed + 16 * number, 16))
        assert start % 0x1000 == 0
        assert memory.read(start, end - start) == module.data
        assert text(memory, line) == module.cmdline
        assert line
        assert pad == 0


def test_modules_lie_behind_the_kernel_as_low_as_possible():
    modules = (Module(b"a" * 0x1001), Module(b"b"))
    made, _ = plan(elf(header1(), memsz=0x12345), BootInfo(modules=modules), machine(8 * GIB))
    assert made.address_of("module 0") == START + 0x13000
    assert made.address_of("module 1") == START + 0x15000


def test_modules_lie_in_their_order_whatever_their_sizes_are():
    # Kernels take the end of the last module, or even of the first, for the end of what is used.
    sizes = (1, 0x5000, 0, 0x1001, 7)
    modules = tuple(Module(b"m" * size) for size in sizes)
    made, memory = plan(info=BootInfo(modules=modules), on=machine(reserved=(HOLE, BEHIND)))
    listed = u32(memory, made.cpu.rbx + 24)
    rows = [struct.unpack("<II", memory.read(listed + 16 * n, 8)) for n in range(len(sizes))]
    assert rows == sorted(rows)
    assert [end - start for start, end in rows] == list(sizes)
    assert rows[0][0] == BEHIND.end  # all of them, since they do not fit before it


BEHIND = MemoryRange(START + 0x5000, START + 0x6000, MemoryType.RESERVED)


def test_modules_lie_before_a_kernel_behind_which_there_is_no_room():
    at = elf(header1(), paddr=60 * MIB)
    made, _ = plan(at, BootInfo(modules=(Module(bytes(8 * MIB)),)))
    assert made.address_of("kernel segment 0") == 60 * MIB
    assert made.address_of("module 0") == MIB


def test_the_information_lies_in_base_memory_above_64_kib():
    info = BootInfo(b"x" * 5000, tuple(Module(b"m", b"y" * 100) for _ in range(100)))
    made, _ = plan(elf(header1(), sections=symbols()), info, tables=True)
    for piece in made.pieces:
        if piece.kind in (Kind.BOOT_INFO, Kind.COMMAND_LINE, Kind.MEMORY_MAP):
            if piece.name.startswith("ELF section ") or piece.name == "BIOS data area":
                continue
            assert 0x10000 <= piece.start < piece.end <= 0xA0000, piece


def test_what_does_not_fit_base_memory_lies_above_1_mib():
    lines = tuple(Module(b"m", b"x" * 60_000) for _ in range(20))
    made, memory = plan(info=BootInfo(modules=lines))
    listed = u32(memory, made.cpu.rbx + 24)
    assert [text(memory, u32(memory, listed + 16 * n + 8)) for n in range(20)] == [
        b"x" * 60_000
    ] * 20


def test_elf_sections_are_there_with_what_they_describe():
    made, memory = plan(elf(header1(), sections=symbols()))
    at = made.cpu.rbx
    assert u32(memory, at) & 0x20
    num, size, addr, shndx = struct.unpack("<4I", memory.read(at + 28, 16))
    assert (num, size, shndx) == (7, 40, 6)
    rows = [struct.unpack("<10I", memory.read(addr + n * size, size)) for n in range(num)]
    names = rows[shndx][3]
    found = {text(memory, names + row[0]): row for row in rows[1:]}
    assert found[b".text"][3] == START
    assert found[b".bss"][3] == START + 0x1000
    assert memory.read(found[b".symtab"][3], found[b".symtab"][5]) == b"symbols!" * 3
    assert found[b".symtab"][3] % 8 == 0
    assert memory.read(found[b".strtab"][3], 6) == b"\0main\0"
    assert found[b".empty"][3] == 0


def test_elf64_sections_have_64_bit_headers():
    made, memory = plan(elf(header1(), bits=64, sections=symbols()))
    num, size, addr, _ = struct.unpack("<4I", memory.read(made.cpu.rbx + 28, 16))
    assert (num, size) == (7, 64)
    symtab = struct.unpack("<IIQQQQIIQQ", memory.read(addr + 3 * size, size))
    assert memory.read(symtab[3], symtab[5]) == b"symbols!" * 3


def test_a_section_beyond_the_file_costs_the_sections_only():
    bad = [*symbols(), Sect(".debug", b"", offset=0x100000, size=5)]
    made, memory = plan(elf(header1(), sections=bad))
    assert not u32(memory, made.cpu.rbx) & 0x20
    assert "beyond the file" in {d.field: d.reason for d in made.dropped}["ELF sections"]


def test_a_frame_buffer_is_told():
    frame = Framebuffer(0xFD000000, 1024, 768, 4096, 32, (16, 8), (8, 8), (0, 8))
    made, memory = plan(info=BootInfo(framebuffer=frame))
    at = made.cpu.rbx
    assert u32(memory, at) & 0x1000
    told = struct.unpack("<QIIIBB6B", memory.read(at + 88, 28))
    assert told == (0xFD000000, 4096, 1024, 768, 32, 1, 16, 8, 8, 8, 0, 8)


# What a PC's BIOS leaves behind (Xen reads all of it)


def test_a_bios_and_its_data_area_are_there():
    made, memory = plan(tables=True)
    low = struct.unpack("<H", memory.read(0x413, 2))[0]
    ebda = struct.unpack("<H", memory.read(0x40E, 2))[0]
    assert low == u32(memory, made.cpu.rbx + 4) == 620
    assert memory.read(ebda << 4, 8) == b"RSD PTR "
    assert ebda << 4 == made.boot_info.rsdp
    assert u32(memory, 0x15 * 4)


def test_a_kernel_that_lies_there_goes_without():
    low = elf(header1(), paddr=0x100)
    made, _ = plan(low)
    assert made.address_of("kernel segment 0") == 0x100
    assert "BIOS" not in {piece.name for piece in made.pieces}
    assert made.dropped == ()
    assert [d.field for d in plan(low, tables=True)[0].dropped] == ["rsdp"]


# What cannot be said


def test_what_is_dropped_is_listed():
    info = BootInfo(rsdp=5, origin=Origin("Xen"), setup_data=(SetupNode(1, b""),),
                    hardware_subarch=1)  # fmt: skip
    fields = {d.field for d in plan(info=info)[0].dropped}
    assert fields == {"rsdp", "origin", "setup_data", "hardware_subarch"}
    video = elf(header1(4, video=(0, 640, 480, 32)))
    (dropped,) = plan(video)[0].dropped
    assert (dropped.field, "video mode" in dropped.reason) == ("framebuffer", True)
    assert plan(video, BootInfo(framebuffer=Framebuffer(1, 2, 3, 4)))[0].dropped == ()


@pytest.mark.parametrize("type_", [6, 7, 12, 0xFFFFFFFF])
def test_memory_of_other_types_is_told_as_reserved(type_):
    on = machine(reserved=(HOLE, MemoryRange(32 * MIB, 33 * MIB, type_)))
    made, memory = plan(on=on)
    assert made.dropped[0].field == "memory_map"
    address, length = u32(memory, made.cpu.rbx + 48), u32(memory, made.cpu.rbx + 44)
    told = {
        u64(memory, at + 4): u32(memory, at + 20) for at in range(address, address + length, 24)
    }
    assert told[32 * MIB] == 2


def test_a_nul_in_a_command_line_is_refused():
    with pytest.raises(RequestError, match="command line: NUL found at byte 1"):
        plan(info=BootInfo(b"a\0b"))
    with pytest.raises(RequestError, match="command line of module 0: NUL"):
        plan(info=BootInfo(modules=(Module(b"", b"\0"),)))


def test_a_kernel_that_is_linked_where_there_is_no_ram_is_named():
    with pytest.raises(PlacementError, match="kernel segment 0"):
        plan(on=machine(reserved=(HOLE, MemoryRange(MIB, MIB + 1, MemoryType.RESERVED))))


def test_the_same_request_gives_the_same_plan():
    info = BootInfo(b"a", (Module(b"b", b"c"),))
    assert plan(info=info)[0].pieces == plan(info=info)[0].pieces
