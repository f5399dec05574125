"""Hand-offs that are damaged: whatever they say, the stub starts the kernel rightly or stops.

It never executes anything but itself and the kernel, never writes but to the image and to RAM that
the map grants, and when it stops it says one line.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given

from hvmlite.engines._unicorn_emulator import Reason
from hvmlite.model import Kind
from stub.hand_offs import FREE, GIB, MIB, PROTOCOLS, RAM, hand_off, stopped, world
from stub.test_hand_offs import BATCH, granted, mapped, ram_of, runs, seeds, within
from stub.told_map import told_map

BASES = 64
A_WHILE = 1_500_000
DATA = (Kind.KERNEL, Kind.MODULE, Kind.PAGE_TABLES, Kind.DESCRIPTORS)
"""What is no hand-off's word: without these a processor does not get far."""


KINDS = ({}, {"bits": 32}, {"relocatable": False})
"""The kernels that are wrapped: also one of 32 bits, and one that cannot be moved."""


@cache
def base(way, number, kind=0):
    return hand_off(world(way, **KINDS[kind]), f"fuzz {number}")


def damaged(given_, chance):
    """The same plan with some bytes, words or registers that are something else."""
    plan = given_.plan
    told = [piece for piece in plan.pieces if piece.kind not in DATA and len(piece.data)]
    changed = {}
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        piece = chance.choice(told)
        data = changed.setdefault(piece.name, bytearray(piece.data))
        damage(given_, chance, data)
    pieces = tuple(
        replace(piece, data=bytes(changed[piece.name])) if piece.name in changed else piece
        for piece in plan.pieces
    )
    cpu = plan.cpu
    if chance.random() < 0.2:
        register = chance.choice(("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"))
        wide = (1 << 64) - 1 if given_.world.way == "linux64" else (1 << 32) - 1
        cpu = cpu.with_register(register, interesting(given_, chance) & wide)
    return replace(plan, pieces=pieces, cpu=cpu)


def damage(given_, chance, data):
    kind = chance.randrange(6)
    at = chance.randrange(min(len(data), 4096))
    if kind == 0:
        data[at] = chance.randrange(256)
    elif kind == 1:
        data[at] ^= 1 << chance.randrange(8)
    elif kind in (2, 3):
        size = 4 if kind == 2 else 8
        at &= -4
        value = (interesting(given_, chance) & (1 << 8 * size) - 1).to_bytes(size, "little")
        data[at : at + size] = value[: len(data) - at]
    elif kind == 4:
        size = chance.choice((1, 8, 24, 100))
        data[at : at + size] = bytes(len(data[at : at + size]))
    else:
        size = chance.choice((4, 8, 20, 24))
        other = chance.randrange(len(data))
        part = bytes(data[other : other + size])[: len(data) - at]
        data[at : at + len(part)] = part


def interesting(given_, chance):
    """A number that may hurt."""
    world_ = given_.world
    piece = chance.choice(given_.plan.pieces)
    edges = (0, 1 << 32, 1 << 36, 1 << 40, 1 << 47, 1 << 52, 1 << 63, 1 << 64, 0xA0000, 1 << 20,
             RAM[0].end, 4 * GIB, FREE[0], world_.start, world_.image[1], world_.start + 0x6000,
             world_.params.kernel_address, piece.start, piece.end)  # fmt: skip
    near = (chance.choice(edges) + chance.choice((-1, 0, 0, 1, 8, -8, -4096, 4096))) % (1 << 64)
    few = chance.choice((0, 1, 2, 3, 64, 65, 128, 129, 1024, 1025, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF))
    return chance.choice((near, near, few, chance.getrandbits(64), chance.getrandbits(32)))


def copies(runner):
    """Whether it moves a module that is most of the RAM."""
    return max((end - start for start, end in runner.written()), default=0) > MIB // 4


def survived(runner, given_, plan):
    """Run it; returns what became of it: the field that was wrong, or "entered"."""
    runner.load(plan)
    memory, params = runner.emulator.memory, given_.world.params
    map_ = told_map(given_.world.way, memory, plan.cpu)
    stop = runner.run(budget=A_WHILE)
    if stop.reason is Reason.BUDGET and copies(runner):
        granted(runner, plan, map_)
        return "busy copying"
    if stop.reason is Reason.BUDGET:
        stop = runner.run()
    cpu = runner.emulator.cpu
    faults = runner.emulator.faults
    if faults and not has_ram(faults[0].rip):
        # Where the map said that there is RAM, but there is none: it was started there.
        kernel = faults[0].rip - params.kernel_entry
        assert within(ram_of(map_), kernel, kernel + params.kernel_memory)
        return "entered nowhere"
    line = stopped(runner, stop)
    granted(runner, plan, map_)
    assert not faults, line
    if line is not None:
        return line.split(": ")[2]
    assert stop.reason is Reason.OUTSIDE
    kernel = stop.address - params.kernel_entry
    assert within(ram_of(map_), kernel, kernel + params.kernel_memory)
    assert memory.read(kernel, len(given_.world.kernel)) == given_.world.kernel
    assert within([given_.world.image], cpu.rsi, cpu.rsi + 0x1000)
    if cpu.efer & 1 << 10:
        mapped(memory, cpu, [(kernel, kernel + params.kernel_memory)])
    assert ram_of(told_map("linux64", memory, cpu)) == ram_of(map_)
    return "entered"


def has_ram(address):
    return any(block.start <= address < block.end for block in RAM)


@pytest.mark.parametrize("way", PROTOCOLS)
@runs(4_000, 100_000)
@given(seed=seeds)
def test_damage_is_survived(runners, way, seed):
    kind = (0, 0, 0, 1, 2)[seed // BATCH % 5]
    for one in range(seed, seed + BATCH):
        chance = random.Random(f"{way} {one}")
        given_ = base(way, chance.randrange(BASES), kind)
        survived(runners(given_.world), given_, damaged(given_, chance))


@pytest.mark.parametrize(("missing", "field"), [(1, "entered"), (7, "entered"), (8, "total_size")])
def test_the_end_tag_may_be_cut(runners, missing, field):
    """kexec-tools leaves a module's padding out of the size: part of the last tag is behind it."""
    given_ = base("multiboot2", 0)
    told = next(piece for piece in given_.plan.pieces if piece.start == given_.plan.cpu.rbx)
    size = int.from_bytes(told.data[:4], "little") - missing
    short = replace(told, data=size.to_bytes(4, "little") + bytes(told.data[4:]))
    pieces = tuple(short if piece is told else piece for piece in given_.plan.pieces)
    plan = replace(given_.plan, pieces=pieces)
    assert survived(runners(given_.world), given_, plan) == field
