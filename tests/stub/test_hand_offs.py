"""What is handed to the stub is what it hands to the kernel, for every way in.

The stub's machine code runs on the emulator from a poisoned processor up to the kernel's entry,
where hvmlite's decoder of Linux's protocol reads what the kernel would. A seed repeats a failure.
"""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hvmlite.engines._unicorn_emulator import Reason
from hvmlite.engines._unicorn_memory import Access, translate
from hvmlite.model import MemoryRange
from hvmlite.protocols import linux32, linux64
from hvmlite.spec import universal as u
from hvmlite.spec.linux import SetupData
from stub.hand_offs import A20_PROBE, MIB, POCKET, SETUPS, Taken, hand_off, world
from stub.hand_offs import WAYS as ALL_WAYS

NIGHTLY = settings.get_current_profile_name() == "nightly"
WAYS = pytest.mark.parametrize("way", ALL_WAYS)
BATCH = 10
"""Hand-offs for each number that Hypothesis thinks of: it takes its time."""
seeds = st.integers(0, (1 << 64) - 1).map(lambda number: number * BATCH)
BIOS_SERVICES = (0x10, 0x13, 0x15, 0x16)
LARGE_PAGE = 2 << 20
COMMAND_LINE_SIZE = 2048
"""Bytes that Linux copies, whatever the line's length is."""


def runs(ci, nightly):
    """Settings for so many hand-offs. A smaller seed is no simpler hand-off: nothing is shrunk."""
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    return settings(max_examples=(nightly if NIGHTLY else ci) // BATCH, phases=phases)


def type_of(way, number):
    """What a type of memory becomes: of those above 5 multiboot's encoders have told already."""
    return number if "multiboot" not in way or 1 <= number <= 5 else 2


def joined(pieces):
    """The initrd of several: each at a multiple of 4, behind at least 4 zeros."""
    data = b""
    for piece in filter(None, pieces):
        data += bytes(-len(data) % 4 + 4 if data else 0) + piece
    return data


def ram_of(map_):
    """What a map grants: RAM that nothing else in the map claims, as disjoint ranges."""
    events = []
    for each in map_:
        if each.size:
            kind = 0 if each.type == 1 else 1
            events += [(each.start, kind, 1), (each.end, kind, -1)]
    depth, at, found = [0, 0], 0, []
    for where, kind, step in sorted(events):
        if where > at and depth[0] and not depth[1]:
            if found and found[-1][1] == at:
                found[-1] = (found[-1][0], where)
            else:
                found.append((at, where))
        depth[kind] += step
        at = where
    return found


TEXT_SCREENS = (0xB0000, 0xC0000)


def within(ranges, start, end):
    return any(low <= start and end <= high for low, high in ranges)


def entered(runner, given_, stop):
    """Check everything at the kernel's entry."""
    world_, params, memory = given_.world, given_.world.params, runner.emulator.memory
    is_64 = params.kernel_kind in (u.KernelKind.BZIMAGE64, u.KernelKind.ELF64)
    cpu = runner.emulator.cpu
    assert stop.reason is Reason.OUTSIDE, (stop, runner.lines())
    assert not runner.lines()
    assert not exceptions(runner)
    told = (linux64 if is_64 else linux32).decode(memory, cpu)
    same_information(given_, told)
    kernel = stop.address - params.kernel_entry
    page = cpu.rsi
    word = lambda offset, size: int.from_bytes(memory.read(page + offset, size), "little")  # noqa: E731
    initrd, size = word(0x218, 4) | word(0xC0, 4) << 32, word(0x21C, 4) | word(0xC4, 4) << 32
    line = word(0x228, 4) | word(0xC8, 4) << 32
    nodes, node = [], word(0x250, 8)
    while node:
        head = SetupData.unpack(memory.read(node, SetupData.SIZE))
        nodes.append((node, node + SetupData.SIZE + head.len))
        node = head.next
    things = [(page, page + 0x1000), (line, line + COMMAND_LINE_SIZE), *nodes]
    if size:
        things.append((initrd, initrd + size))
    right_place(given_, kernel, things, memory)
    granted(runner, given_.plan, given_.info.memory_map)
    state(cpu, is_64)
    if is_64:
        mapped(memory, cpu, [(kernel, kernel + params.kernel_memory), *things])
        mapped(memory, cpu, firmwares(given_.info.memory_map))
    else:
        assert max(end for _, end in things) <= 1 << 32
    assert world_.code[-1][0] == world_.start


def exceptions(runner):
    """All but the BIOS's services, which are called by interrupt."""
    return [fault for fault in runner.emulator.faults if fault.vector not in BIOS_SERVICES]


def granted(runner, plan, map_):
    """Nothing was written but the image and RAM of the map; what is put back is as it was."""
    ram = [*ram_of(map_), POCKET]
    if runner.lines():
        ram.append(TEXT_SCREENS)  # a line goes there, too, if the hand-off tells of one
    for start, end in runner.written():
        assert within(ram, start, end), (hex(start), hex(end))
    for low, high in {POCKET, A20_PROBE}.intersection(runner.written()):
        before = bytearray(high - low)
        for piece in plan.pieces:
            for at in range(max(low, piece.start), min(high, piece.start + len(piece.data))):
                before[at - low] = piece.data[at - piece.start]
        assert runner.emulator.memory.read(low, high - low) == before


def same_information(given_, told):
    info, way = given_.info, given_.world.way
    line, initrd = given_.world.built_in
    assert told.cmdline == b" ".join(filter(None, (line, info.cmdline)))
    expected = joined([initrd, *(bytes(module.data) for module in info.modules)])
    assert [module.data for module in told.modules] == ([expected] if expected else [])
    types = [type_of(way, r.type) for r in info.memory_map]
    assert told.memory_map == tuple(
        MemoryRange(r.start, r.end, t) for r, t in zip(info.memory_map, types, strict=True)
    )
    assert (told.framebuffer, told.rsdp) == (info.framebuffer, info.rsdp)
    assert told.setup_data == info.setup_data
    assert told.hardware_subarch == info.hardware_subarch
    assert told.hardware_subarch_data == info.hardware_subarch_data


def right_place(given_, kernel, things, memory):
    """The kernel's window is RAM of its own, and what is in it is the kernel."""
    world_, params = given_.world, given_.world.params
    end = kernel + params.kernel_memory
    assert within(ram_of(given_.info.memory_map), kernel, end)
    if params.flags & u.ParamsFlag.RELOCATABLE:
        assert kernel % params.kernel_align == 0
        assert kernel >= params.kernel_address
    else:
        assert kernel == params.kernel_address
    assert memory.read(kernel, len(world_.kernel)) == world_.kernel
    taken = Taken([(kernel, end)])
    assert taken.free(world_.start, world_.start + u.PAYLOAD_OFFSET)
    for start, stop in things:
        assert taken.free(start, stop)


def state(cpu, is_64):
    """boot.rst, "64-bit Boot Protocol" and "32-bit Boot Protocol"."""
    assert (cpu.cs.selector, cpu.ds.selector, cpu.es.selector, cpu.ss.selector) == (16, 24, 24, 24)
    assert not cpu.rflags & 1 << 9
    assert bool(cpu.cr0 & 1 << 31) == bool(cpu.efer & 1 << 10) == bool(cpu.cs.l) == is_64
    if not is_64:
        assert cpu.cs.db
        assert (cpu.rbx & 0xFFFFFFFF, cpu.rbp & 0xFFFFFFFF, cpu.rdi & 0xFFFFFFFF) == (0, 0, 0)


def firmwares(memory_map):
    """What may have ACPI's tables in it: Linux 5.1 to 5.8 reads them before it has page tables."""
    for each in memory_map:
        kind = each.type in (3, 4) or (each.type == 2 and each.size >= 0x10000)
        if kind and 0 < each.size < 16 * MIB and each.start < 1 << 32:
            yield each.start, each.end


def mapped(memory, cpu, ranges):
    for start, end in ranges:
        for at in {start, *range(-(-start // LARGE_PAGE) * LARGE_PAGE, end, LARGE_PAGE), end - 1}:
            assert translate(memory, cpu, at, Access(write=True)) == at


def kept(runners, way, seed, **kind):
    if way == "linux16":
        kind["setup"] = SETUPS[seed // BATCH % len(SETUPS)]
    runner = runners(world(way, **kind))
    for one in range(seed, seed + BATCH):
        given_ = hand_off(runner.world, one)
        entered(runner, given_, runner.run(given_.plan))


@WAYS
@runs(1200, 60_000)
@given(seed=seeds)
def test_all_that_is_handed_in_is_handed_on(runners, way, seed):
    kept(runners, way, seed)


@WAYS
@runs(400, 20_000)
@given(seed=seeds)
def test_what_was_built_in_comes_first(runners, way, seed):
    kept(runners, way, seed, built_in=True)


@WAYS
@runs(300, 15_000)
@given(seed=seeds)
def test_a_32_bit_kernel_is_told_the_same(runners, way, seed):
    kept(runners, way, seed, bits=32)


@WAYS
@runs(100, 5_000)
@given(seed=seeds)
def test_a_kernel_that_cannot_be_moved_lies_where_it_must(runners, way, seed):
    """What is in its way and will be needed is moved: the modules."""
    kept(runners, way, seed, relocatable=False)
