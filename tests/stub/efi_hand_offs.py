"""Hand-offs by UEFI: what a firmware, or a boot loader on it, tells the stub, and where it lies.

A hand-off is made out of a seed, as those of hand_offs.py.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from hvmlite.model import GuestPlan, Kind, PlacedPiece
from stub import efi_tables as t
from stub.efi_firmware import EXCEPTION, LASTING, ROM, ROM_SIZE, functions
from stub.efi_loaders import enter
from stub.efi_memory import PAGE, SPECIAL_PURPOSE, Descriptor, Pages, Type
from stub.efi_processor import TABLES_SIZE, Paging, descriptors, processor
from stub.efi_services import Services
from stub.efi_told import EfiTold, tell
from stub.efi_worlds import EfiWorld
from stub.hand_offs import FREE, GIB, LOW, MACHINE, MIB, RAM, Taken, find

HIGH = (MIB, RAM[0].end)
ABOVE = (RAM[1].start, RAM[1].end)
BIOS_END = 0x9F000


@dataclass
class EfiHandOff:
    """Memory, processor, and a firmware, whose `services` and `chance` one run uses up."""

    world: EfiWorld
    told: EfiTold
    plan: GuestPlan
    services: Services
    chance: random.Random


class Layout:
    """Where regions of memory are put, and the descriptors that tell of them."""

    def __init__(self, world, chance):
        self.chance, self.world = chance, world
        self.rom = world.rom
        self.taken = Taken([FREE])
        self.regions = []
        own = world.loaded
        kind = Type.LOADER_CODE if world.way.startswith("efi") else Type.LOADER_DATA
        self.region_at(*own, kind)
        self.region_at(self.rom, self.rom + LASTING, Type.BOOT_CODE)
        self.region_at(self.rom + LASTING, self.rom + ROM_SIZE, Type.RUNTIME_CODE)
        self.region_at(*world.stack, Type.BOOT_DATA)
        params = world.params
        window = params.kernel_address, params.kernel_address + params.kernel_memory
        if not params.flags:
            for start, end in self.taken.gaps(*window):
                self.taken.add(start, end)
        spots = [HIGH] * 3 + [
            LOW,
            window,
            (own[1], own[1] + 0x80000),
            (2 * MIB - 0x4000, 2 * MIB + 0x4000),
            (RAM[0].end - 0x80000, RAM[0].end),
        ]
        if world.width == 8:
            spots += [ABOVE] * 2
        self.spots = [chance.choice(spots) for _ in range(3)] + [HIGH]

    def region_at(self, start, end, kind, attribute=8):
        self.taken.add(start, end)
        self.regions.append(Descriptor(kind, start, end, attribute))

    def region(self, size, kind, *, below=1 << 64, attribute=8):
        """Whole pages anywhere."""
        size = max(-(-size // PAGE), 1) * PAGE
        spots = [spot for spot in self.spots if spot[1] <= below] or [HIGH]
        start = find(self.chance, [*spots, *[HIGH] * (len(self.spots) - len(spots))], self.taken,
                     size, PAGE)  # fmt: skip
        self.region_at(start, start + size, kind, attribute)
        return start

    def clutter(self):
        """What others have, and what is no RAM; some of it told in a strange way."""
        chance = self.chance
        kinds = (0, 3, 4, 1, 2, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0x70000001, 0x80000001, 7)
        told = []
        few = chance.random() < 0.97
        for _ in range(chance.choice((0, 2, 6, 12)) if few else chance.randrange(60, 200)):
            kind = chance.choice(kinds)
            size = chance.choice((1, 1, 2, 17, 256) if few else (1, 2, 17))
            attribute = chance.choice((8, 0xF, 1 << 63, SPECIAL_PURPOSE))
            if kind == 7:
                attribute |= SPECIAL_PURPOSE  # soft-reserved
            start = self.region(size * PAGE, kind, attribute=attribute)
            if kind in (0, 8, 11) and chance.random() < 0.3:
                told.append(Descriptor(Type.CONVENTIONAL, start, start + size * PAGE, told=True))
        for _ in range(chance.choice((0, 0, 3))):
            start = chance.randrange(16 * GIB, 1 << 46) & -PAGE
            end = start + (chance.randrange(1 << 40) & -PAGE)
            told.append(Descriptor(chance.choice((*kinds, 7)), start, end, 0, told=True))
        if chance.random() < 0.2:  # one that is told twice, or in part
            old = chance.choice([d for d in self.regions if d.type not in (1, 2)])
            told.append(Descriptor(old.type, old.start, old.end, old.attribute, told=True))
        return told

    def descriptors(self, told, cuts):
        """All: what nobody has taken is free memory, cut anywhere."""
        chance = self.chance
        used = Taken()
        for each in self.regions:
            used.add(each.start, each.end)
        free = []
        for low, high in ((PAGE, BIOS_END), HIGH, ABOVE):
            free += used.gaps(low, high)
        if cuts is None:
            cuts = chance.choice((0, 0, 1, 5, 20)) if chance.random() < 0.97 else 300
        for _ in range(cuts):
            index = chance.randrange(len(free))
            start, end = free[index]
            if end - start > PAGE:
                cut = chance.randrange(start + PAGE, end, PAGE)
                free[index] = (start, cut)
                free.append((cut, end))
        all_ = [Descriptor(Type.CONVENTIONAL, *each, chance.choice((8, 0xF))) for each in free]
        all_ += self.regions + told
        all_.sort(key=lambda d: d.start)
        if chance.random() < 0.5:
            chance.shuffle(all_)
        return all_


@cache
def _garbage():
    return random.Random("garbage").randbytes(0x20000)


def efi_hand_off(world, seed, *, step=None, cuts=None, **changes):
    """The hand-off that a seed is, but for `changes` of what is told.

    :param step: the distance of the memory map's descriptors
    :param cuts: how often free memory is cut
    """
    chance = random.Random(f"{world.way} {seed}")
    told = tell(world, chance, **changes)
    told.garbage = _garbage()
    layout, width = Layout(world, chance), world.width
    names = functions(world.rom)
    boot = t.Block(layout.region(0x4000, Type.BOOT_DATA), width)
    runtime = t.Block(layout.region(PAGE, Type.RUNTIME_DATA, attribute=8 | 1 << 63), width)
    tables = t.Tables(boot, runtime, names)
    tables_at = layout.region(TABLES_SIZE, Type.BOOT_DATA)
    paging = Paging(chance, width, tables_at, RAM)
    gdt, idt, selectors = descriptors(chance, width, world.rom + EXCEPTION)
    # A loader may have them off, if nobody puts them on again (the stub does on 32-bit firmware).
    on = world.way != "handover64" or chance.random() < 0.7
    where = boot.put(gdt, 16), boot.put(idt, 16)
    cpu = processor(chance, width, paging, *where, selectors, interrupts=on)
    for kind in told.rsdp:
        told.rsdp[kind] = layout.region(PAGE, Type.ACPI_RECLAIM) + 8 * chance.randrange(100)
    configuration = [(kind, at) for kind, at in told.rsdp.items()]
    configuration += [(t.SMBIOS, 0xF1230), (t.DEVICE_TREE, 0x1234)][: chance.randrange(3)]
    chance.shuffle(configuration)
    told.console = tables.console()
    tables.system_table(configuration, told.console)
    screens = [(tables.handle(), screen) for screen in told.screens]
    for handle, screen in screens:
        tables.screen(handle, screen)
    if told.offers:
        handle = tables.handle()
        tables.install(handle, t.LOAD_FILE2, boot.words(names["LoadFile"]))
    image, volume = tables.handle(), tables.handle()
    if told.files:
        tables.volume(volume)
    cpu, pieces = enter(world, told, layout, tables, (image, volume), cpu, chance)
    extra = layout.clutter()
    pages = Pages(
        layout.descriptors(extra, cuts),
        chance,
        high=width == 8,
        where="top" if not world.params.flags else chance.choice(("top", "low", "any")),
        step=step or chance.choice((40, 48, 48, 56, 104)),
    )
    services = Services(None, tables, pages, told, image)
    assert len(boot.data) <= 0x4000
    assert len(runtime.data) <= PAGE
    pieces += [
        ("image", *world.loaded, world.memory),
        ("rom", world.rom, world.rom + ROM_SIZE, ROM),
        ("tables", tables_at, tables_at + TABLES_SIZE, paging.data),
        ("boot data", boot.start, boot.end, bytes(boot.data)),
        ("runtime data", runtime.start, runtime.end, bytes(runtime.data)),
    ]
    placed = [PlacedPiece(name, Kind.KERNEL, start, end, data) for name, start, end, data in pieces]
    placed.sort(key=lambda piece: piece.start)
    plan = GuestPlan(world.way, MACHINE, cpu, tuple(placed), None)
    return EfiHandOff(world, told, plan, services, chance)
