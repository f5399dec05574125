"""What must hold of a hand-off by UEFI, at the kernel's entry or where it ended."""

from __future__ import annotations

import struct
from types import SimpleNamespace

from hvmlite.engines._unicorn_emulator import Reason
from hvmlite.errors import FormatError
from hvmlite.model import MemoryRange
from hvmlite.protocols import linux32, linux64
from hvmlite.spec.linux import SetupData
from stub import efi_tables as t
from stub.efi_firmware import EXITED, RETURN
from stub.efi_memory import PAGE, SPECIAL_PURPOSE, Type
from stub.efi_services import LOAD_ERROR
from stub.efi_told import chosen_screen, screen_info, secure_boot, utf8
from stub.hand_offs import POCKET, STOP_STATUS
from stub.test_hand_offs import (
    COMMAND_LINE_SIZE,
    joined,
    mapped,
    ram_of,
    right_place,
    state,
    within,
)

E820 = {
    **dict.fromkeys((0, 5, 6, 11, 12, 13), 2),
    **dict.fromkeys((1, 2, 3, 4, 7), 1),
    8: 5,
    9: 3,
    10: 4,
    14: 7,
}
"""By EFI_MEMORY_TYPE, Linux's setup_e820(); what is not here is not told."""
FREE = (Type.CONVENTIONAL, Type.LOADER_CODE)
SOFT_RESERVED = 0xEFFFFFFF
EL = {8: b"EL64", 4: b"EL32"}


def final_map(given):
    """The descriptors that were told last: (type, start, end, attribute)."""
    data, step = given.services.final[1], given.services.pages.step
    found = []
    for at in range(0, len(data), step):
        kind, start, _, pages, attribute = struct.unpack_from("<I4xQQQQ", data, at)
        found.append((kind, start, start + pages * PAGE, attribute))
    return found


def e820(descriptors):
    """What Linux is told of them: neighbours of one type are one."""
    found = []
    for kind, start, end, attribute in descriptors:
        kind = E820.get(kind)
        if kind is None or start == end:
            continue
        if kind == 1 and attribute & SPECIAL_PURPOSE:
            kind = SOFT_RESERVED
        if found and found[-1][1:] == (start, kind):
            start = found.pop()[0]
        found.append((start, end, kind))
    if len(found) == 1:  # Linux takes a table of one entry for none
        ((start, end, kind),) = found
        middle = start + (end - start) // 2
        found = [(start, middle, kind), (middle, end, kind)]
    return tuple(MemoryRange(*each) for each in found)


def grants(given, descriptors):
    """Ranges that are free when boot services are gone, and what was loaded of the image."""
    own = given.world.loaded
    found = [MemoryRange(*own, 1)]
    for kind, start, end, attribute in descriptors:
        free = kind in FREE and not attribute & SPECIAL_PURPOSE
        parts = [(start, end)]
        if not free and kind in (Type.LOADER_DATA, Type.LOADER_CODE):
            parts = [(start, min(end, own[0])), (max(start, own[1]), end)]
        if kind in E820:
            found += [MemoryRange(low, high, 1 if free else 2) for low, high in parts if low < high]
    return found


def line_of(given):
    if given.told.options is None:
        return b""
    if given.world.way.startswith("efi"):
        return utf8(given.told.options)
    return given.told.options.encode("utf-8", "surrogatepass")


def initrds_of(given):
    told = given.told
    if given.world.way.startswith("multiboot2"):
        return told.modules
    if told.offers and told.offered is not None:
        return [told.offered]
    return [*told.modules, *told.files.values()]


def loader_of(given):
    if given.world.way.startswith("efi"):
        return 0x21
    if given.world.way.startswith("multiboot2"):
        return 0x72 if given.told.loader == 0x72 else 0xFF
    return given.told.loader


def entered(runner, given, stop):
    """Check everything at the kernel's entry."""
    memory, world, services = runner.emulator.memory, given.world, given.services
    is_64 = world.bits == 64
    cpu = runner.emulator.cpu
    assert stop.reason is Reason.OUTSIDE, (stop, runner.lines())
    assert not runner.lines()
    assert not services.said
    assert not runner.emulator.faults
    assert services.gone
    assert not services.open
    told = (linux64 if is_64 else linux32).decode(memory, cpu)
    descriptors = final_map(given)
    same_information(given, told, descriptors)
    page = cpu.rsi if is_64 else cpu.rsi & 0xFFFFFFFF
    data = memory.read(page, PAGE)
    same_page(given, data, memory)
    free = grants(given, descriptors)
    things = pointed_to(page, data, memory)
    kernel = stop.address - world.params.kernel_entry
    place = SimpleNamespace(world=runner.copied(), info=SimpleNamespace(memory_map=free))
    right_place(place, kernel, things, memory)
    written(runner, given, free)
    state(cpu, is_64)
    if is_64:
        needed = [(kernel, kernel + world.params.kernel_memory), *things]
        mapped(memory, cpu, [each for each in needed if each[0] < each[1]])
    else:
        assert max(end for _, end in things[1:]) <= 1 << 32
        assert things[3][1] <= world.params.initrd_max + 1


def same_information(given, told, descriptors):
    line, initrd = given.world.built_in
    assert told.cmdline == b" ".join(filter(None, (line, line_of(given))))
    expected = joined([initrd, *initrds_of(given)])
    assert [module.data for module in told.modules] == ([expected] if expected else [])
    assert told.memory_map == e820(descriptors)
    rsdp = given.told.rsdp
    assert told.rsdp == rsdp.get(t.ACPI_20, rsdp.get(t.ACPI_10, 0))
    assert [(n.type, n.data) for n in told.setup_data] == given.told.setup_data


def same_page(given, page, memory):
    """What only UEFI tells."""
    services, told = given.services, given.told
    screen = chosen_screen(told)
    assert page[:0x40] == screen_info(screen)
    edid = screen.edid[:128] if screen and screen.edid else bytes(128)
    assert page[0x140:0x1C0] == edid
    signature, low, step, version, map_, size, high, map_high = struct.unpack_from(
        "<4s7I", page, 0x1C0
    )
    at, data = services.final
    assert signature == EL[given.world.width]
    assert low | high << 32 == services.tables.system
    assert (step, version, size) == (services.pages.step, 1, len(data))
    assert map_ | map_high << 32 == at
    assert memory.read(at, size) == data
    assert page[0x1EC] == secure_boot(told)
    assert page[0x1EF] == 0
    assert page[0x210] == loader_of(given)


def pointed_to(page, data, memory):
    """The ranges that the kernel will read: map, zero page, line, initrd, nodes of setup_data."""
    wide = lambda low, high: int.from_bytes(data[low : low + 4] + data[high : high + 4], "little")  # noqa: E731
    initrd, size, line = wide(0x218, 0xC0), wide(0x21C, 0xC4), wide(0x228, 0xC8)
    at, size_of_map = wide(0x1D0, 0x1DC), wide(0x1D4, 0x1D4) & 0xFFFFFFFF
    found = [(at, at + size_of_map), (page, page + PAGE), (line, line + COMMAND_LINE_SIZE)]
    found.append((initrd, initrd + size))
    node = int.from_bytes(data[0x250:0x258], "little")
    while node:
        head = SetupData.unpack(memory.read(node, SetupData.SIZE))
        found.append((node, node + SetupData.SIZE + head.len))
        node = head.next
    return found


def written(runner, given, free):
    """Nothing was written but what the stub was given; the pocket is as it was."""
    mine = [*given.services.allocated]
    # A list's node of E820 entries leaves it: the one before is changed.
    mine += [(p.start, p.end) for p in given.plan.pieces if p.name.startswith("node")]
    if given.world.width == 4:
        mine.append(POCKET)
    for start, end in runner.before:
        assert within(mine, start, end), (hex(start), hex(end))
    ram = [*ram_of(free), *mine]
    for start, end in runner.written():
        assert within(ram, start, end), (hex(start), hex(end))


def survived(runner, given, stop):
    """What became of a start of which something failed: the field that was wrong, or "entered"."""
    services, world = given.services, given.world
    assert not runner.emulator.faults, runner.lines()
    if services.gone:
        written(runner, given, grants(given, final_map(given)))
    kernel = stop.address - world.params.kernel_entry
    memory = runner.emulator.memory
    if stop.reason is Reason.OUTSIDE and memory.read(kernel, len(world.kernel)) == world.kernel:
        assert not runner.lines()
        assert not services.said
        free = grants(given, final_map(given))
        place = SimpleNamespace(world=runner.copied(), info=SimpleNamespace(memory_map=free))
        right_place(place, kernel, [], memory)
        assert same_map(given, memory, runner.emulator.cpu)
        return "entered"
    return refused(runner, given, stop).split(": ")[2]


def same_map(given, memory, cpu):
    """Whether the kernel is told the firmware's map, if it can read what it is told."""
    try:
        told = (linux64 if given.world.bits == 64 else linux32).decode(memory, cpu)
    except FormatError as error:
        return error.source.startswith("setup_data")  # which is handed on as it came
    return told.memory_map == e820(final_map(given))


def refused(runner, given, stop):
    """The line of a start that was refused, and that all else is as it should be then."""
    services = given.services
    line = runner.lines()
    assert line.startswith("hvmlite: "), (stop, line)
    assert line.count("\n") == 1, (stop, line)
    assert line.endswith("\n")
    failed = [name for name, _ in runner.firmware.failed]
    if services.leaving or stop.reason is Reason.ENDED:
        # Not before ExitBootServices was called, or if nobody knows where to go back to.
        assert stop.reason is Reason.ENDED, stop
        assert stop.outcome.status == STOP_STATUS
        stays = services.leaving or services.strangers or "Exit" in failed
        assert stays or not services.said
        return line[:-1]
    if "OutputString" not in failed:
        assert services.said.replace("\r", "") == line
    if "FreePages" not in failed:
        assert not services.pages_given
    if "FreePool" not in failed:
        assert not services.pools_given
    if given.world.way.startswith("efi") or stop.reason is Reason.OUTSIDE:
        # Without Linux's header in its zero page a 32-bit handover is like a program's start.
        assert given.world.way != "handover64"
        assert given.world.way[:10] != "multiboot2"
        returned(runner, given, stop)
    else:
        assert stop.reason == EXITED
        assert services.exited == LOAD_ERROR | 1 << 8 * given.world.width - 1
    return line[:-1]


def returned(runner, given, stop):
    """A program's entry is a function: its caller finds everything as it was."""
    world, before, after = given.world, given.plan.cpu, runner.emulator.cpu
    assert stop.reason is Reason.OUTSIDE
    assert stop.address == world.rom + RETURN
    runner.emulator._engine.state.look()
    runner.firmware.check_state()
    mask = (1 << 8 * world.width) - 1
    assert after.rax & mask == LOAD_ERROR | 1 << 8 * world.width - 1
    assert after.rsp & mask == before.rsp + world.width
    kept = ("rbx", "rbp", "rsi", "rdi", "r12", "r13", "r14", "r15")
    for name in kept[: 8 if world.width == 8 else 4]:
        assert getattr(after, name) & mask == getattr(before, name) & mask, name
