"""Hand-offs of every kind to the stub's real machine code, on the emulator.

A `World` is a universal image around a kernel that does nothing, and one way into it. A hand-off is
made out of a seed: hvmlite's encoders say what lies in memory, this module where, which is
anywhere, and which memory map is told; tests/boot/poison.py fills the registers that nobody
promises. The emulator runs until something else than the stub is to be executed, and every write
outside of the image is seen.
"""

from __future__ import annotations

import ctypes
import random
from bisect import bisect_right
from dataclasses import dataclass, replace
from functools import cache

from unicorn.unicorn_py3.unicorn import uclib

from boot import poison
from hvmlite import images
from hvmlite.engines._unicorn_emulator import Emulator, Reason
from hvmlite.guest._link import contents, set_registers
from hvmlite.model import (
    BootInfo,
    Ending,
    Framebuffer,
    GuestPlan,
    Kind,
    Machine,
    MemoryRange,
    Module,
    Offer,
    PlacedPiece,
    RamBlock,
    SetupNode,
)
from hvmlite.protocols import linux32, linux64, multiboot1, multiboot2, pvh
from hvmlite.spec import universal as u
from hvmlite.universal import wrap
from makers import linux

MIB = 1 << 20
GIB = 1 << 30
RAM = (RamBlock(0, 128 * MIB, 0), RamBlock(4 * GIB, 16 * MIB, 128 * MIB))
MACHINE = Machine("test", 144 * MIB, RAM)
TOLD_RAM = (RamBlock(0x1000, 128 * MIB - 0x1000, 0), RAM[1])
"""What encoders are told: without the first page, there is no BIOS for multiboot kernels."""
FREE = (64 * MIB, 80 * MIB)
"""Where nothing is ever put and no hole is: there is always room."""
PROTOCOLS = {p.NAME: p for p in (pvh, multiboot1, multiboot2, linux32, linux64)}
POCKET = (0x7BFC, 0x7C00)
"""Where a start in 32-bit mode has four bytes of stack, and puts back what was there (start.S)."""
STOP_STATUS = 0x3B
"""STOP_STATUS of stub/universal/core.h."""
BUDGET = 5_000_000
BUILT_IN = b"built=in"
HEADER = {
    "init_size": 0x60000,
    "pref_address": 16 * MIB,
    "kernel_alignment": 2 * MIB,
    "min_alignment": 21,
    "relocatable_kernel": 1,
    "xloadflags": 3,
    "cmdline_size": 2047,
    "initrd_addr_max": 0x7FFFFFFF,
}
CMDLINE_MAX = 2047
Range = tuple[int, int]


@dataclass(frozen=True)
class World:
    """`image` is what belongs to the stub; more may be loaded, from `loaded` on."""

    way: str
    offer: Offer
    loaded: int
    image: Range
    code: tuple[Range, ...]
    params: u.Params
    start: int
    kernel: bytes
    built_in: tuple[bytes, bytes]

    @property
    def protocol(self):
        return PROTOCOLS[self.way]


@cache
def world(way, *, bits=64, relocatable=True, built_in=False):
    """The image that `way` starts, around a kernel of `bits`."""
    header = HEADER if bits == 64 else HEADER | {"xloadflags": 0}
    if not relocatable:
        header = header | {"relocatable_kernel": 0}
    told = (BUILT_IN, b"initrd!" * 9) if built_in else (b"", b"")
    made = wrap(linux.bzimage(code=0x300, **header), initrds=[told[1]], cmdline=told[0])
    in_elf = way in ("pvh", "multiboot2")
    file = made.elf_bytes() if in_elf else made.image_bytes()
    offer = PROTOCOLS[way].offers(images.parse(memoryview(file), "universal"))
    assert isinstance(offer, Offer), offer
    if way == "pvh":  # without its notes it may be told more than Linux can
        offer = replace(offer, image=replace(offer.image, notes=()))
    stub = u.ELF_STUB_OFFSET if in_elf else u.STUB_AT
    params = u.Params.unpack(file, stub + u.PARAMS_OFFSET)
    kernel = file[stub + params.kernel_offset :][: params.kernel_size]
    if way in ("linux32", "linux64"):
        jumps = offer.entry - (u.PROTECTED_ENTRY64 if way == "linux64" else u.PROTECTED_ENTRY32)
        start = jumps + u.PROTECTED_ELF + u.ELF_STUB_OFFSET
        code = ((jumps, jumps + u.PROTECTED_ELF), (start, start + u.STUB_MAX))
    else:
        start = offer.entry
        code = ((start, start + u.STUB_MAX),)
    image = (start + params.image_offset, start + params.image_offset + params.image_size)
    loaded = image[0]
    if way.startswith("linux"):
        loaded = jumps
    elif way == "multiboot1":
        loaded = min(segment.paddr for segment in offer.image.segments)
    return World(way, offer, loaded, image, code, params, start, kernel, told)


@dataclass(frozen=True)
class HandOff:
    """A hand-off that has been placed: `info` is what is told, with the memory map."""

    world: World
    plan: GuestPlan
    info: BootInfo
    modules: tuple[Range, ...]


def in_order(world, pieces, taken):
    """Of a kernel that cannot be moved, modules first: only they may lie in its way."""
    if world.params.flags:
        yield from pieces
        return
    yield from (piece for piece in pieces if piece.kind is Kind.MODULE)
    end = world.params.kernel_address + world.params.kernel_memory
    for start, stop in taken.gaps(world.image[1], end):
        taken.add(start, stop)
    yield from (piece for piece in pieces if piece.kind is not Kind.MODULE)


class Taken:
    """Ranges of memory that do not overlap."""

    def __init__(self, ranges=()):
        self.starts, self.ends = [], []
        for start, end in ranges:
            self.add(start, end)

    def add(self, start, end):
        at = bisect_right(self.starts, start)
        self.starts.insert(at, start)
        self.ends.insert(at, end)

    def free(self, start, end):
        at = bisect_right(self.starts, start)
        return (at == 0 or self.ends[at - 1] <= start) and (
            at == len(self.starts) or end <= self.starts[at]
        )

    def gaps(self, start, end):
        """What is free of a range."""
        found = []
        for low, high in [*zip(self.starts, self.ends, strict=True), (end, end)]:
            if start < min(low, end):
                found.append((start, min(low, end)))
            start = max(start, high)
        return found


LOW, HIGH = (0x1000, 0x9F000), (MIB, RAM[0].end)


def hand_off(world, seed, *, info=None, map_=None):
    """The hand-off that a seed is."""
    chance = random.Random(f"{world.way} {seed}")
    info = boot_info(world, chance) if info is None else info
    taken = Taken([FREE, (world.loaded, world.image[1])])
    window = world.image[1], world.params.kernel_address + world.params.kernel_memory
    holes = make_holes(chance, taken, window, spare=not world.params.flags)
    told = memory_map(chance, holes) if map_ is None else map_
    machine = replace(MACHINE, ram=TOLD_RAM, reserved=(MemoryRange(0, 0),) * (len(told) // 2 + 1))
    entry = world.protocol.encode(world.offer, info, machine, None)
    spots = places(chance, world)
    starts, modules = {}, {}
    for piece in in_order(world, entry.pieces, taken):
        if piece.kind is Kind.KERNEL:
            starts[piece.name] = piece.at
            continue
        align = 1 if piece.kind is Kind.MODULE else max(piece.align, 4)
        start = find(chance, spots, taken, max(piece.length, 1), align)
        taken.add(start, start + max(piece.length, 1))
        starts[piece.name] = start
        if piece.kind is Kind.MODULE:
            modules[piece.name] = (start, start + len(piece.data))
    pieces = [
        PlacedPiece(p.name, p.kind, s := starts[p.name], s + p.length, contents(p, starts, told))
        for p in entry.pieces
    ]
    cpu = poison._cpu(set_registers(entry, starts), world.way, chance)
    told_info = replace(info, memory_map=told)
    pieces.sort(key=lambda piece: piece.start)
    plan = GuestPlan(world.way, MACHINE, cpu, tuple(pieces), told_info)
    return HandOff(world, plan, told_info, tuple(modules.values()))


def make_holes(chance, taken, window, *, spare):
    """Ranges that are no RAM, apart from each other; some where the kernel wants to be, or none."""
    holes = []
    if chance.random() < 0.1:  # all below the image: where an initrd would go
        end = taken.starts[0]
        holes.append((MIB, chance.choice((end, chance.randrange(end - 0x20000, end)))))
        taken.add(*holes[0])
    for _ in range(chance.choice((0, 1, 3, 8) if chance.random() < 0.97 else (30, 300))):
        start = chance.randrange(*(window if chance.random() < 0.1 else HIGH))
        end = start + chance.choice((1, 17, 0x1000, 0x12345, MIB))
        if spare and start < window[1] and window[0] < end:
            continue
        if end <= RAM[0].end and taken.free(start, end):
            taken.add(start, end)
            holes.append((start, end))
    return holes


def memory_map(chance, holes):
    """RAM around holes or over them, cut anywhere, perhaps twice, or empty, in no order."""
    ram = [(0, 0x9F000)]
    if chance.random() < 0.7:
        ram.append((RAM[1].start, RAM[1].end))
    at = MIB
    for start, end in sorted(holes):
        if chance.random() < 0.3:
            continue  # RAM all the same: what is no RAM counts
        if at < start:
            ram.append((at, start))
        at = end
    ram.append((at, RAM[0].end))
    cuts = chance.choice((0, 0, 1, 5, 20)) if chance.random() < 0.95 else chance.randrange(100, 800)
    for _ in range(min(cuts, 1000 - len(ram) - len(holes) - 20)):
        index = chance.randrange(len(ram))
        start, end = ram[index]
        if end - start > 2:
            cut = chance.randrange(start + 1, end)
            ram[index] = (start, cut)
            ram.append((cut, end))
    told = [MemoryRange(start, end, 1) for start, end in ram]
    kinds = (2, 2, 3, 4, 5, 7, 12, 6, 0, 0x80000001)
    told += [MemoryRange(start, end, chance.choice(kinds)) for start, end in holes]
    for _ in range(chance.choice((0, 0, 2, 6))):  # the same once more, or a part of it
        old = chance.choice(told)
        start = chance.randrange(old.start, old.end + 1)
        told.append(MemoryRange(start, chance.randrange(start, old.end + 1), old.type))
    for _ in range(chance.choice((0, 0, 3))):  # far away
        start = chance.randrange(16 * GIB, 1 << 46)
        told.append(
            MemoryRange(start, start + chance.randrange(1 << 40), chance.choice((1, *kinds)))
        )
    if chance.random() < 0.6:
        chance.shuffle(told)
    return tuple(told)


def places(chance, world):
    """Where pieces are put: anywhere, or close together where it may hurt."""
    image = world.image
    all_ = [HIGH] * 3 + [
        LOW,
        (image[1], image[1] + 0x80000),  # in the memory that the kernel wants
        (world.loaded - 0x20000, world.loaded),
        (RAM[0].end - 0x80000, RAM[0].end),
        (2 * MIB - 0x1000, 2 * MIB + 0x1000),  # across a page of page tables
    ]
    return [chance.choice(all_) for _ in range(3)] + [HIGH]


def find(chance, spots, taken, size, align):
    """A free address."""
    for attempt in range(1000):
        low, high = chance.choice(spots) if attempt < 20 else HIGH
        if high - low <= size:
            continue
        start = chance.choice((chance.randrange(low, high - size), high - size)) & -align
        if low <= start and taken.free(start, start + size):
            return start
    raise AssertionError("no room")


def boot_info(world, chance):
    """What a loader says."""
    linux_ = world.way in ("linux32", "linux64")
    room = CMDLINE_MAX - (len(world.built_in[0]) + 1 if world.built_in[0] else 0)
    line = chance.choice((0, 1, chance.randrange(300), chance.randrange(300), room - 1, room))
    counts = (0, 1, 1, 2, 3, 5) if chance.random() < 0.95 else (chance.randrange(65), 64)
    sizes = (0, 1, 3, 4, 31, 200, chance.randrange(3000))
    modules = tuple(
        Module(chance.randbytes(chance.choice(sizes)), chance.choice((b"", b"a module's own")))
        for _ in range(chance.choice(counts))
    )
    info = BootInfo(text(chance, line), modules)
    if world.way in ("pvh", "linux32", "linux64"):
        info = replace(info, rsdp=chance.choice((0, chance.randrange(1 << 32))))
    if world.way != "pvh" and chance.random() < 0.5:
        info = replace(info, framebuffer=frame(chance))
    if linux_ and chance.random() < 0.5:
        nodes = tuple(
            SetupNode(chance.choice((2, 3, 4, 9)), chance.randbytes(chance.randrange(60)))
            for _ in range(chance.randrange(6))
        )
        info = replace(info, setup_data=nodes, hardware_subarch=chance.choice((0, 3)))
        info = replace(info, hardware_subarch_data=chance.randrange(1 << 64))
    return info


def text(chance, size):
    return chance.randbytes(size).translate(TEXT)


TEXT = bytes(range(1, 256)) + b" "


def frame(chance):
    return Framebuffer(
        chance.choice((0xE0000000, chance.randrange(1 << 64))),
        chance.randrange(1, 1 << 16),
        chance.randrange(1, 1 << 16),
        chance.randrange(1, 1 << 16),
    )


_MOST = 4096


class Writes(ctypes.Structure):
    """struct writes of hand_offs.c."""

    _fields_ = [("count", ctypes.c_uint64), ("ranges", ctypes.c_uint64 * 2 * _MOST)]


class Runner:
    """The emulator, with all that is written outside of one image.

    :param library: hand_offs.c, compiled
    """

    def __init__(self, world, library):
        self.emulator = Emulator(MACHINE)
        self.world = world
        self._writes = Writes()
        engine, callback = self.emulator._engine, library.written
        for start, end in ((0, world.image[0]), (world.image[1], 1 << 64)):
            error = uclib.uc_hook_add(
                engine._uc._uch,
                ctypes.byref(ctypes.c_size_t()),
                engine._lib.UC_HOOK_MEM_WRITE,
                ctypes.cast(callback, ctypes.c_void_p),
                ctypes.byref(self._writes),
                ctypes.c_uint64(start),
                ctypes.c_uint64(end - 1),
            )
            assert error == engine._lib.UC_ERR_OK

    def load(self, plan):
        self._writes.count = 0
        self.emulator.load(plan, keep=True)

    def run(self, plan=None):
        """Run `plan`, or what was loaded."""
        if plan is not None:
            self.load(plan)
        return self.emulator.run(within=self.world.code, budget=BUDGET)

    def written(self):
        """Where the last run wrote outside of the image."""
        assert self._writes.count < _MOST
        return [tuple(each) for each in self._writes.ranges[: self._writes.count]]

    def lines(self):
        return bytes(self.emulator.ports.debug).decode("latin-1").replace("\r", "")

    def close(self):
        self.emulator.close()


def stopped(runner, stop):
    """The line with which the stub stopped, None if it went on."""
    if stop.reason is not Reason.ENDED:
        return None
    assert stop.outcome.kind is Ending.EXITED
    assert stop.outcome.status == STOP_STATUS
    said = runner.lines()
    assert said.startswith("hvmlite: ")
    assert said.count("\n") == 1
    assert said.endswith("\n")
    return said[:-1]
