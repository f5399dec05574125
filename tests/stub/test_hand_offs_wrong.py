"""Bad hand-offs to the stub's machine code: one line that names what is wrong, and the end."""

from __future__ import annotations

import random
import struct
from dataclasses import replace

import pytest

from hvmlite.engines._unicorn_emulator import Reason
from hvmlite.model import BootInfo, Kind, MemoryRange, Module
from stub.hand_offs import GIB, MIB, PROTOCOLS, hand_off, stopped, text, world
from stub.test_hand_offs import entered, granted

WAYS = pytest.mark.parametrize("way", PROTOCOLS)
RAM = (MemoryRange(0, 0x9F000), MemoryRange(MIB, 128 * MIB))
INFO = BootInfo(b"quiet", (Module(b"initrd" * 50),))
NOBODY = "hvmlite: start: the registers of a boot protocol are needed"
BEYOND = 0xC0000000


def made(way, seed=1, info=INFO, map_=RAM, **kind):
    """A hand-off of something that is told; encoders need not find that it is too long."""
    world_ = world(way, **kind)
    offer = replace(world_.offer, cmdline_limit=100_000)
    return hand_off(replace(world_, offer=offer), seed, info=info, map_=map_)


def line_of(runners, plan, way, **kind):
    runner = runners(world(way, **kind))
    line = stopped(runner, runner.run(plan))
    assert not runner.emulator.faults
    return line


def patched(plan, *changes):
    """Replace bytes in all that a loader says."""
    pieces = []
    for piece in plan.pieces:
        data = bytes(piece.data)
        for old, new in changes if piece.kind not in (Kind.KERNEL, Kind.MODULE) else ():
            data = data.replace(old, new)
        pieces.append(replace(piece, data=data))
    assert [p.data for p in pieces] != [p.data for p in plan.pieces]
    return replace(plan, pieces=tuple(pieces))


def word(value):
    return struct.pack("<I", value)


@WAYS
def test_it_goes_well_if_nothing_is_wrong(runners, way):
    runner = runners(world(way))
    entered(runner, given := made(way), runner.run(given.plan))


@WAYS
@pytest.mark.parametrize("magic", [0, 0x12345678, 0xFFFFFFFF])
def test_a_wrong_magic(runners, way, magic):
    """In 32-bit and in 64-bit mode; what else is in the registers is poison as ever."""
    for seed in range(20):
        plan = made(way, seed).plan
        if way in ("multiboot1", "multiboot2"):
            plan = replace(plan, cpu=plan.cpu.with_register("rax", magic))
        else:
            old = 0x336EC578 if way == "pvh" else 0x53726448
            plan = patched(plan, (word(old), word(magic)))
        assert line_of(runners, plan, way) == NOBODY


@pytest.mark.parametrize(("way", "other"), [("multiboot1", 0x36D76289), ("multiboot2", 0x2BADB002)])
def test_the_other_multiboot_s_magic(runners, way, other):
    plan = made(way).plan
    plan = replace(plan, cpu=plan.cpu.with_register("rax", other))
    line = line_of(runners, plan, way)
    assert line.startswith(f"hvmlite: {'multiboot1' if way == 'multiboot2' else 'multiboot2'}: ")


@WAYS
def test_a_memory_map_without_ram(runners, way):
    map_ = (*(replace(each, type=2) for each in RAM), MemoryRange(5, 5, 1))
    line = line_of(runners, made(way, map_=map_).plan, way)
    assert line == f"hvmlite: {way}: memory map: 0x3, an entry that is RAM is needed"


@WAYS
def test_a_memory_map_with_too_many_entries(runners, way):
    map_ = (*RAM, *[MemoryRange(GIB + n, GIB + n + 1, 2) for n in range(1023)])
    line = line_of(runners, made(way, map_=map_).plan, way)
    assert line.startswith(f"hvmlite: {way}: mem")
    assert "0x401" in line


@WAYS
def test_a_memory_map_with_as_many_entries_as_there_may_be(runners, way):
    runner = runners(world(way))
    map_ = (*RAM, *[MemoryRange(GIB + n, GIB + n + 1, 2) for n in range(1022)])
    entered(runner, given := made(way, map_=map_), runner.run(given.plan))


@pytest.mark.parametrize("way", ["pvh", "multiboot1", "multiboot2"])
def test_a_memory_map_with_one_entry(runners, way):
    """Linux takes a table of one entry for none; found by damaged hand-offs."""
    runner = runners(world(way))
    given = made(way, map_=(MemoryRange(0, 128 * MIB),))
    halves = (MemoryRange(0, 64 * MIB), MemoryRange(64 * MIB, 128 * MIB))
    stop = runner.run(given.plan)
    entered(runner, replace(given, info=replace(given.info, memory_map=halves)), stop)


@WAYS
def test_a_module_beyond_ram(runners, way):
    given = made(way)
    ((start, end),) = given.modules
    moved = (word(start), word(BEYOND)), (word(end), word(BEYOND + end - start))
    line = line_of(runners, patched(given.plan, *moved), way)
    assert line == f"hvmlite: {way}: module: 0xc0000000, a range in the memory map's RAM is needed"


@WAYS
def test_a_module_that_is_half_in_ram(runners, way):
    given = made(way)
    ((start, end),) = given.modules
    end_of_ram = RAM[1].end
    moved = (word(start), word(end_of_ram - 8)), (word(end), word(end_of_ram - 8 + end - start))
    line = line_of(runners, patched(given.plan, *moved), way)
    assert line.startswith(f"hvmlite: {way}: module: {end_of_ram - 8:#x}, ")


@WAYS
@pytest.mark.parametrize("built_in", [False, True])
def test_a_command_line_as_long_as_the_kernel_takes_and_longer(runners, way, built_in):
    """Never half a line."""
    most = 2047 - (9 if built_in else 0)
    runner = runners(world(way, built_in=built_in))
    chance = random.Random(way)
    given = made(way, info=BootInfo(text(chance, most)), built_in=built_in)
    entered(runner, given, runner.run(given.plan))
    for size in (most + 1, 5000, 60_000):
        plan = made(way, info=BootInfo(text(chance, size)), built_in=built_in).plan
        line = line_of(runners, plan, way, built_in=built_in)
        joined = size + 2047 - most
        needed = "no more characters than the kernel takes are needed"
        assert line == f"hvmlite: {way}: command line: {joined:#x}, {needed}"


def test_a_truncated_tag_list(runners):
    """At whatever byte, but within the end tag, of which kexec-tools cuts a part."""
    plan = made("multiboot2").plan
    info = next(p for p in plan.pieces if p.start == plan.cpu.rbx)
    (total,) = struct.unpack_from("<I", info.data)
    seen = set()
    for size in range(total - 7):
        cut = replace(info, data=word(size) + bytes(info.data)[4:])
        pieces = tuple(cut if piece is info else piece for piece in plan.pieces)
        line = line_of(runners, replace(plan, pieces=pieces), "multiboot2")
        way, field = line.split(": ")[1:3]
        assert way == "multiboot2"
        seen.add(field)
    assert seen == {"total_size", "tag size"}


@WAYS
def test_no_room_for_the_kernel(runners, way):
    """As much RAM as the image has, and modules in what is left."""
    world_ = world(way)
    map_ = (MemoryRange(0, 0x9F000), MemoryRange(MIB, world_.image[1]))
    line = line_of(runners, made(way, info=BootInfo(b""), map_=map_).plan, way)
    assert line == f"hvmlite: {way}: kernel: 0x60000, as many bytes of free RAM are needed"


@WAYS
def test_a_type_of_memory_that_is_the_stub_s_own_mark(runners, way):
    """It was RAM for the kernel then, whatever the loader meant; found by damaged hand-offs."""
    runner = runners(world(way))
    map_ = (*RAM, MemoryRange(GIB, 2 * GIB, 0x10000001))
    given = made(way, map_=map_)
    told = (*RAM, MemoryRange(GIB, 2 * GIB, 2))
    entered(
        runner, replace(given, info=replace(given.info, memory_map=told)), runner.run(given.plan)
    )


def test_an_exception_says_where_it_was(runners):
    """At the kernel's entry the stack is empty: what is printed lay where printing put its own."""
    world_ = world("pvh")
    there_is_none = 2 * GIB
    map_ = (MemoryRange(0, 0x9F000), MemoryRange(MIB, world_.image[1]),
            MemoryRange(there_is_none, there_is_none + GIB))  # fmt: skip
    given = made("pvh", info=BootInfo(b""), map_=map_)
    runner = runners(world_)
    stop = runner.run(given.plan)
    assert stop.reason is Reason.ENDED
    line = stopped(runner, stop)
    at = there_is_none + world_.params.kernel_entry - world_.start
    assert line.startswith(f"hvmlite: pvh: exception: 6, error code 0x0, at _start + {at:#x}, CR2 ")
    granted(runner, given.plan, map_)
