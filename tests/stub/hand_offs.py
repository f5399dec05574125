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
from hvmlite import blobs, images
from hvmlite.engines._unicorn_emulator import Emulator, Reason
from hvmlite.engines._unicorn_executor import outside
from hvmlite.guest import layout
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
from hvmlite.protocols import linux16, linux32, linux64, multiboot1, multiboot2, pvh
from hvmlite.spec import universal as u
from hvmlite.spec.linux import HEADER_JUMP
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
WAYS = {**PROTOCOLS, linux16.NAME: linux16}
LINUX = ("linux16", "linux32", "linux64")
SETUPS = (layout.LINUX_SETUP, 0x1010, layout.BIOS.low - 0x10000)
"""Where the head is put for linux16: where most loaders put it; as low, and as high as it may."""
SETUP_ROOM = 0x10000
JUMP16, JUMP16_END = 0x26C, 0x290
"""Here the head jumps to its copy of the stub."""
BIOS_FIELDS = 0x14
"""Of our BIOS: what is written before it is started (stub/bios/header.S); the code is behind, then
the vectors, then what the code writes."""
POCKET = (0x7BFC, 0x7C00)
"""Where a start in 32-bit mode has four bytes of stack, and puts back what was there (start.S)."""
A20_PROBE = (0x200, 0x204)
"""The interrupt vector by which A20 is tested, as in Linux; what was there is put back, too."""
STOP_STATUS = 0x3B
"""STOP_STATUS of stub/universal/core.h."""
BUDGET = 6_000_000
"""Instructions: a map of 1,024 entries takes most of them."""
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
    """`image` is what belongs to the stub; more may be loaded, from `loaded` on.

    `setup` is where the head is, if the way is linux16.
    """

    way: str
    offer: Offer
    loaded: int
    image: Range
    code: tuple[Range, ...]
    params: u.Params
    start: int
    kernel: bytes
    built_in: tuple[bytes, bytes]
    setup: int = 0

    @property
    def protocol(self):
        return WAYS[self.way]

    @property
    def own(self):
        """All that belongs to the stub, or to the BIOS under it."""
        head = self.setup, self.setup + u.HEAD_SIZE
        return (head, BIOS_VARIABLES, self.image) if self.setup else (self.image,)

    @property
    def window(self):
        """The memory behind the image that its kernel has been given."""
        return self.image[1], self.params.kernel_address + self.params.kernel_memory

    @property
    def used(self):
        """What is no room for pieces whose place is free."""
        low = ((0, 0x1000), (self.setup, self.setup + SETUP_ROOM), (layout.BIOS.low, MIB))
        return (FREE, (self.loaded, self.image[1]), *(low if self.setup else ()))


@cache
def world(way, *, bits=64, relocatable=True, built_in=False, setup=0):
    """The image that `way` starts, around a kernel of `bits`."""
    header = HEADER if bits == 64 else HEADER | {"xloadflags": 0}
    if not relocatable:
        header = header | {"relocatable_kernel": 0}
    told = (BUILT_IN, b"initrd!" * 9) if built_in else (b"", b"")
    made = wrap(linux.bzimage(code=0x300, **header), initrds=[told[1]], cmdline=told[0])
    in_elf = way in ("pvh", "multiboot2")
    file = made.elf_bytes() if in_elf else made.image_bytes()
    image = images.parse(memoryview(file), "universal")
    offer = WAYS[way].offers(image)
    assert isinstance(offer, Offer), offer
    if way == "pvh":  # without its notes it may be told more than Linux can
        offer = replace(offer, image=replace(offer.image, notes=()))
    stub = u.ELF_STUB_OFFSET if in_elf else u.STUB_AT
    params = u.Params.unpack(file, stub + u.PARAMS_OFFSET)
    kernel = file[stub + params.kernel_offset :][: params.kernel_size]
    if way in LINUX:
        jumps = linux32.offers(image).entry - u.PROTECTED_ENTRY32
        start = jumps + u.PROTECTED_ELF + u.ELF_STUB_OFFSET
        code = ((jumps, jumps + u.PROTECTED_ELF), (start, start + u.STUB_MAX))
        if way == "linux16":
            code = (*code16(setup), *code)
    else:
        start = offer.entry
        code = ((start, start + u.STUB_MAX),)
    image = (start + params.image_offset, start + params.image_offset + params.image_size)
    loaded = image[0]
    if way.startswith("linux"):
        loaded = jumps
    elif way == "multiboot1":
        loaded = min(segment.paddr for segment in offer.image.segments)
    return World(way, offer, loaded, image, code, params, start, kernel, told, setup)


def code16(setup):
    """What is executed in 16-bit mode: nothing of it is written for a hand-off."""
    bios = layout.BIOS.low
    return (
        (setup + HEADER_JUMP, setup + HEADER_JUMP + 2),
        (setup + JUMP16, setup + JUMP16_END),
        (setup + u.HEAD_STUB16, setup + u.HEAD_STUB16 + u.STUB16_SIZE),
        (bios + BIOS_FIELDS, bios + bios_word(0xA)),
    )


def bios_word(offset):
    return int.from_bytes(blobs.read("bios")[offset : offset + 2], "little")


BIOS_VARIABLES = layout.BIOS.low + bios_word(0xA) + 512, layout.BIOS.low + bios_word(8)


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
    for start, stop in taken.gaps(*world.window):
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
    """The hand-off that a seed is.

    One of ten is tight: behind the image's file is the first room for an initrd that has to be put
    together, but for the kernel, which has been given it. And modules for a kernel that cannot be
    moved lie in its memory every other time.
    """
    chance = random.Random(f"{world.way} {seed}")
    tight = info is None and map_ is None and chance.random() < 0.1
    info = boot_info(world, chance, tight=tight) if info is None else info
    taken = Taken(world.used)
    window = world.window
    holes = []
    if tight:
        holes = [(MIB, world.loaded)]
        taken.add(*holes[0])
    most = 40 if world.setup else 300
    spare = tight or not world.params.flags
    holes += make_holes(chance, taken, window, spare=spare, most=most)
    told = memory_map(chance, holes, short=bool(world.setup)) if map_ is None else map_
    machine = replace(MACHINE, ram=TOLD_RAM, reserved=(MemoryRange(0, 0),) * (len(told) // 2 + 1))
    entry = world.protocol.encode(world.offer, info, machine, None)
    spots = places(chance, world)
    module_spots = [window] if not world.params.flags and chance.random() < 0.5 else spots
    if tight and world.params.flags:  # nothing may move the kernel away
        for start, end in taken.gaps(*window):
            taken.add(start, end)
    starts, modules = {}, {}
    for piece in in_order(world, entry.pieces, taken):
        if piece.kind is Kind.KERNEL or (world.setup and piece.at is not None):
            starts[piece.name] = world.setup if piece.at == layout.LINUX_SETUP else piece.at
            continue
        align = 1 if piece.kind is Kind.MODULE else max(piece.align, 4)
        there = module_spots if piece.kind is Kind.MODULE else spots
        start = find(chance, there, taken, max(piece.length, 1), align)
        taken.add(start, start + max(piece.length, 1))
        starts[piece.name] = start
        if piece.kind is Kind.MODULE:
            modules[piece.name] = (start, start + len(piece.data))
    pieces = [
        PlacedPiece(p.name, p.kind, s := starts[p.name], s + p.length, contents(p, starts, told))
        for p in entry.pieces
    ]
    cpu = set_registers(entry, starts)
    if world.setup:
        cpu = moved(cpu, world.setup)
    cpu = poison._cpu(cpu, world.way, chance)
    told_info = replace(info, memory_map=told)
    pieces.sort(key=lambda piece: piece.start)
    plan = GuestPlan(world.way, MACHINE, cpu, tuple(pieces), told_info)
    return HandOff(world, plan, told_info, tuple(modules.values()))


def moved(cpu, setup):
    """The same processor in real mode for a head somewhere else."""
    names = ("cs", "ds", "es", "ss", "fs", "gs")
    bases = {name: getattr(cpu, name).base - layout.LINUX_SETUP + setup for name in names}
    return replace(
        cpu,
        **{
            name: replace(getattr(cpu, name), selector=base >> 4, base=base)
            for name, base in bases.items()
        },
    )


def make_holes(chance, taken, window, *, spare, most):
    """Ranges that are no RAM, apart from each other; some where the kernel wants to be, or none."""
    holes = []
    if (
        taken.free(MIB, MIB + 1) and chance.random() < 0.1
    ):  # all below the image: where an initrd would go
        end = next(start for start in taken.starts if start >= MIB)
        holes.append((MIB, chance.choice((end, chance.randrange(end - 0x20000, end)))))
        taken.add(*holes[0])
    for _ in range(chance.choice((0, 1, 3, 8) if chance.random() < 0.97 else (30, most))):
        start = chance.randrange(*(window if chance.random() < 0.1 else HIGH))
        end = start + chance.choice((1, 17, 0x1000, 0x12345, MIB))
        if spare and start < window[1] and window[0] < end:
            continue
        if end <= RAM[0].end and taken.free(start, end):
            taken.add(start, end)
            holes.append((start, end))
    return holes


def memory_map(chance, holes, *, short):
    """RAM around holes or over them, cut anywhere, perhaps twice, or empty, in no order.

    :param short: a BIOS tells it, which is not RAM: 128 records at most, as many as are asked for
    """
    most = 128 if short else 1000
    ram = [(0, layout.BIOS.low if short else 0x9F000)]
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
    for _ in range(min(cuts, most - len(ram) - len(holes) - 20)):
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
    if short:
        told.append(MemoryRange(layout.BIOS.low, layout.LEGACY_HOLE.low, 2))
        if chance.random() < 0.05:
            told += chance.choices(told, k=most - len(told))
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


def boot_info(world, chance, *, tight=False):
    """What a loader says.

    :param tight: there are modules that fit into nothing that lies below the image
    """
    linux_ = world.way in LINUX
    room = CMDLINE_MAX - (len(world.built_in[0]) + 1 if world.built_in[0] else 0)
    line = chance.choice((0, 1, chance.randrange(300), chance.randrange(300), room - 1, room))
    counts = (0, 1, 1, 2, 3, 5) if chance.random() < 0.95 else (chance.randrange(65), 64)
    sizes = (0, 1, 3, 4, 31, 200, chance.randrange(3000))
    modules = tuple(
        Module(chance.randbytes(chance.choice(sizes)), chance.choice((b"", b"a module's own")))
        for _ in range(chance.choice(counts))
    )
    if tight:
        size = world.image[0] - world.loaded + chance.randrange(1, 3000)
        modules = tuple(Module(chance.randbytes(size)) for _ in range(2))
    info = BootInfo(text(chance, line), modules)
    if world.way in ("pvh", "linux32", "linux64"):
        info = replace(info, rsdp=chance.choice((0, chance.randrange(1 << 32))))
    if world.way not in ("pvh", "linux16") and chance.random() < 0.5:
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
    :param others: more ranges that may be written to, and are not looked at
    """

    def __init__(self, world, library, others=()):
        self.emulator = Emulator(MACHINE)
        self.world = world
        self._writes = Writes()
        engine, callback = self.emulator._engine, library.written
        for start, end in outside([*world.own, *others]):
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

    def run(self, plan=None, budget=BUDGET):
        """Run `plan`, or what was loaded; or go on."""
        if plan is not None:
            self.load(plan)
        return self.emulator.run(within=self.world.code, budget=budget)

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
