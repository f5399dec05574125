"""Multiboot2: what lies in memory and in the registers."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from hvmlite.errors import RequestError
from hvmlite.model import (
    BootInfo,
    Framebuffer,
    MemoryRange,
    MemoryType,
    Mode,
    Module,
    Platform,
    Ref,
)
from hvmlite.protocols import multiboot2
from makers.elf import Elf, Segment
from makers.multiboot import HOLE, MIB, START, elf, header2, image, machine, symbols, tag
from protocols.multiboot_plans import one, tags2, text, u32
from protocols.multiboot_plans import plan as any_plan

GIB = 1 << 30
KERNEL = elf(header2())
FRAME = Framebuffer(0xFD000000, 1024, 768, 4096, 32, (16, 8), (8, 8), (0, 8))


def plan(data=KERNEL, info=None, on=None, **options):
    return any_plan(multiboot2, data, info, on, **options)


def told(data=KERNEL, info=None, on=None, **options):
    made, memory = plan(data, info, on, **options)
    return made, memory, tags2(memory, made.cpu.rbx)


def test_the_cpu_state_is_the_document_s():
    cpu = plan()[0].cpu
    assert cpu.mode is Mode.PROTECTED32
    assert (cpu.cr0, cpu.rflags, cpu.rax) == (0x11, 2, 0x36D76289)
    assert cpu.rip == START + 0x20
    assert {n for n, value in cpu.general.items() if value} == {"rax", "rbx"}


def test_without_anything_to_tell():
    made, memory, tags = told()
    assert [kind for kind, _ in tags] == [1, 2, 4, 6, 0]
    assert one(tags, 1) == b"\0"
    assert one(tags, 2) == b"hvmlite (as GRUB 2)\0"
    assert made.dropped == ()
    placed = {p.name: p for p in made.pieces}["multiboot2 information"]
    total = u32(memory, made.cpu.rbx)
    assert total <= placed.end - placed.start
    assert not any(memory.read(placed.start + total, placed.end - placed.start - total))


def test_the_memory_map_and_its_sizes():
    made, _, tags = told(on=machine(8 * GIB), tables=True)
    body = one(tags, 6)
    assert struct.unpack("<II", body[:8]) == (24, 0)
    records = [struct.unpack("<QQII", body[at : at + 24]) for at in range(8, len(body), 24)]
    assert [MemoryRange(a, a + n, t) for a, n, t, _ in records] == list(made.boot_info.memory_map)
    assert not any(zero for *_, zero in records)
    assert struct.unpack("<II", one(tags, 4)) == (620, (3 * GIB - MIB) >> 10)


def test_modules_and_their_strings():
    modules = (Module(b"first" * 1000, b"one two"), Module(b"", b""), Module(b"third", b"x" * 99))
    _, memory, tags = told(info=BootInfo(b"root=x", modules))
    assert one(tags, 1) == b"root=x\0"
    bodies = [body for kind, body in tags if kind == 3]
    for module, body in zip(modules, bodies, strict=True):
        start, end = struct.unpack("<II", body[:8])
        assert start % 0x1000 == 0
        assert memory.read(start, end - start) == module.data
        assert body[8:] == module.cmdline + b"\0"


@pytest.mark.parametrize("bits", [32, 64])
def test_elf_sections_are_there_with_what_they_describe(bits):
    _, memory, tags = told(elf(header2(), bits=bits, sections=symbols()))
    body = one(tags, 9)
    size = 40 if bits == 32 else 64
    assert struct.unpack("<III", body[:12]) == (7, size, 6)
    layout = "<10I" if bits == 32 else "<IIQQQQIIQQ"
    rows = [struct.unpack_from(layout, body, 12 + n * size) for n in range(7)]
    found = {text(memory, rows[6][3] + row[0]): row for row in rows[1:]}
    assert found[b".text"][3] == START
    assert memory.read(found[b".symtab"][3], found[b".symtab"][5]) == b"symbols!" * 3
    assert found[b".empty"][3] == 0


def test_both_root_pointers_are_copies_that_lead_to_the_tables():
    made, memory, tags = told(tables=True)
    new, old = one(tags, 15), one(tags, 14)
    assert new == memory.read(made.boot_info.rsdp, 36)
    assert sum(new) & 0xFF == sum(new[:20]) & 0xFF == 0
    assert (len(old), old[:8], old[15], sum(old) & 0xFF) == (20, b"RSD PTR ", 0, 0)
    (rsdt,) = struct.unpack_from("<I", old, 16)
    (xsdt,) = struct.unpack_from("<Q", new, 24)
    assert (memory.read(rsdt, 4), memory.read(xsdt, 4)) == (b"RSDT", b"XSDT")
    assert u32(memory, rsdt + 36) == u32(memory, xsdt + 36)


def test_an_rsdp_of_which_only_the_address_is_known_is_dropped():
    made, _, tags = told(info=BootInfo(rsdp=0xE0000))
    assert not {14, 15} & {kind for kind, _ in tags}
    assert [d.field for d in made.dropped] == ["rsdp"]
    offer = multiboot2.offers(image(KERNEL))
    entry = multiboot2.encode(offer, BootInfo(), machine(), Ref("somebody's"))
    assert [d.field for d in entry.dropped] == ["rsdp"]


def test_a_frame_buffer_is_told():
    body = one(told(info=BootInfo(framebuffer=FRAME))[2], 8)
    assert struct.unpack("<QIIIBBH6B", body) == (
        0xFD000000, 4096, 1024, 768, 32, 1, 0, 16, 8, 8, 8, 0, 8
    )  # fmt: skip


# What required tags ask for


def test_a_required_frame_buffer_must_be_there():
    asking = elf(header2(tag(5, 0, 0, 0)))
    with pytest.raises(RequestError, match="framebuffer tag: a required one found") as caught:
        plan(asking)
    assert caught.value.field == "framebuffer"
    assert plan(asking, BootInfo(framebuffer=FRAME))
    assert plan(elf(header2(tag(5, 0, 0, 0, optional=True))))


@pytest.mark.parametrize(
    ("flags", "vga", "frame", "starts"),
    [
        (0, False, False, True),
        (2, False, False, True),
        (1, False, False, False),
        (3, False, False, False),
        (1, True, False, False),
        (3, True, False, True),
        (1, False, True, True),
    ],
)
def test_a_console_that_is_required_must_be_there(flags, vga, frame, starts):
    on = replace(machine(), platform=Platform(vga=vga))
    info = BootInfo(framebuffer=FRAME if frame else None)
    data = elf(header2(tag(4, flags)))
    if starts:
        assert plan(data, info, on)
    else:
        with pytest.raises(RequestError, match=f"console flags tag: {flags:#x} found"):
            plan(data, info, on)


# Relocation


def moved(*words, **options):
    return elf(header2(tag(10, *words)), **options)


@pytest.mark.parametrize(
    ("words", "base"),
    [
        ((0, 0xFFFFFFFF, 0x1000, 0), START),
        ((4 * MIB, 0xFFFFFFFF, 0x1000, 1), 4 * MIB),
        ((0, 0xFFFFFFFF, 2 * MIB, 2), 62 * MIB),
        ((0, 32 * MIB, 0x1000, 2), 32 * MIB - 0x2000),
    ],
)
def test_a_relocatable_image_is_moved_with_its_entry_and_told_where(words, base):
    made, memory, tags = told(moved(*words), BootInfo(modules=(Module(b"m"),)), tables=True)
    assert made.address_of("kernel segment 0") == base
    assert memory.read(made.cpu.rip, 2) == b"\xfa\xf4"
    assert made.cpu.rip == base + (made.cpu.rip & 0xFF)
    assert struct.unpack("<I", one(tags, 21)) == (base,)


def test_an_image_that_cannot_be_moved_is_told_no_load_base():
    assert 21 not in {kind for kind, _ in told()[2]}


def test_what_is_in_the_way_moves_it():
    hole = MemoryRange(START, 2 * MIB, MemoryType.RESERVED)
    made, _, _ = told(moved(0, 0xFFFFFFFF, 0x1000, 0), on=machine(reserved=(HOLE, hole)))
    assert made.address_of("kernel segment 0") == 2 * MIB


def test_segments_move_together():
    first = Segment(
        header2(tag(10, 0, 0xFFFFFFFF, 0x200000, 2)) + b"\xfa\xf4", paddr=START, align=8
    )
    second = Segment(b"data", paddr=START + 0x5000, memsz=0x1000, align=8)
    data = Elf(bits=32, machine=3, entry=START, segments=[first, second]).build()
    made, _, tags = told(data, on=machine(8 * GIB))
    base = made.address_of("kernel segment 0")
    assert base == 3 * GIB - 2 * MIB
    assert made.address_of("kernel segment 1") == base + 0x5000
    assert struct.unpack("<I", one(tags, 21)) == (base,)
