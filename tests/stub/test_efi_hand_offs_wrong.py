"""Firmware and loaders that do what they must not: one line that names it, and an orderly end."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from hvmlite.engines._unicorn_emulator import Reason
from stub import efi_tables as t
from stub.efi_checks import entered, refused
from stub.efi_firmware import EXITED
from stub.efi_hand_offs import efi_hand_off
from stub.efi_memory import PAGE, SPECIAL_PURPOSE, Descriptor, Type
from stub.efi_processor import LA57, LARGE, PRESENT, TABLES_SIZE
from stub.efi_worlds import WAYS, efi_world
from stub.test_efi_hand_offs import running

EACH_WAY = pytest.mark.parametrize("way", WAYS)
PROGRAMS = pytest.mark.parametrize("way", ["efi64", "efi32"])
LONGEST_TEXT = 0x10000
LARGE_PAGE = 0x80
"""PS, of an entry that is no table."""
PLAIN = {"options": "quiet", "offers": False, "files": {}, "modules": [], "setup_data": []}


def name_of(way):
    return "multiboot2" if way.startswith("multiboot2") else "efi"


def patched(given, at, data):
    """The same, with something else in memory."""
    pieces = []
    for piece in given.plan.pieces:
        if piece.start <= at < piece.end:
            whole = bytearray(piece.data)
            whole[at - piece.start : at - piece.start + len(data)] = data
            pieces.append(replace(piece, data=bytes(whole)))
        else:
            pieces.append(piece)
    return replace(given, plan=replace(given.plan, pieces=tuple(pieces)))


def line_of(library, given, faults=None):
    with running(library, given.world) as runner:
        stop = runner.start(given, faults)
        assert not runner.emulator.faults
        return refused(runner, given, stop), stop


@EACH_WAY
def test_a_system_table_with_a_bad_signature(hand_offs_library, way):
    given = efi_hand_off(efi_world(way), 1, **PLAIN, copied=False)
    given = patched(given, given.services.tables.system, b"IBI SYSx")
    line, stop = line_of(hand_offs_library, given)
    if way.startswith("multiboot2"):
        number = int.from_bytes(b"IBI SYSx", "little")
        assert line == f"hvmlite: multiboot2: system table: {number:#x}, its signature is needed"
    elif way == "handover64":
        # Nothing but a zero page is there, which may not be used: the firmware is alive.
        assert line.startswith("hvmlite: start: ")
    else:
        assert line == "hvmlite: start: the registers of a boot protocol are needed"
    assert stop.reason is Reason.ENDED


@EACH_WAY
@pytest.mark.parametrize("seed", range(3))
def test_boot_services_with_a_bad_signature(hand_offs_library, way, seed):
    given = efi_hand_off(efi_world(way), seed, **PLAIN, copied=False)
    given = patched(given, given.services.tables.services, b"BOOTSERX")
    given = replace(given, plan=replace(given.plan, cpu=given.plan.cpu.with_register("rsi", 0)))
    if way == "handover64":
        system = given.services.tables.system
        given = replace(
            given, plan=replace(given.plan, cpu=given.plan.cpu.with_register("rsi", system))
        )
    number = int.from_bytes(b"BOOTSERX", "little")
    line, stop = line_of(hand_offs_library, given)
    wanted = f"hvmlite: {name_of(way)}: boot services: {number:#x}, its signature is needed"
    assert line == wanted
    assert stop.reason is Reason.ENDED


@EACH_WAY
def test_boot_services_that_end_too_early(hand_offs_library, way):
    given = efi_hand_off(efi_world(way), 1, **PLAIN)
    given = patched(given, given.services.tables.services + 12, struct.pack("<I", 0x60))
    line, _ = line_of(hand_offs_library, given)
    assert line == f"hvmlite: {name_of(way)}: boot services: 0x60, a larger size is needed"


@PROGRAMS
def test_a_handle_that_is_no_image_s(hand_offs_library, way):
    given = efi_hand_off(efi_world(way), 1, **PLAIN)
    handle = given.services.handle
    del given.services.tables.handles[handle][t.LOADED_IMAGE]
    line, stop = line_of(hand_offs_library, given)
    assert line == f"hvmlite: efi: image handle: {handle:#x}, one of a loaded image is needed"
    assert stop.reason is Reason.OUTSIDE


@EACH_WAY
@pytest.mark.parametrize("built_in", [False, True])
def test_a_command_line_as_long_as_the_kernel_takes_and_longer(hand_offs_library, way, built_in):
    """In bytes, whatever the characters are; never half a line."""
    world = efi_world(way, built_in=built_in)
    most = 2047 - (9 if built_in else 0)
    for seed, size in enumerate((most, most + 1, 5000)):
        given = efi_hand_off(world, seed, **PLAIN | {"options": "\u20ac" + "x" * (size - 3)})
        if size == most:
            with running(hand_offs_library, world) as runner:
                entered(runner, given, runner.start(given))
            continue
        line, stop = line_of(hand_offs_library, given)
        start = f"hvmlite: {name_of(way)}: command line: "
        if way.startswith("efi"):
            assert line == f"{start}{size:#x}, no more bytes than the kernel takes are needed"
            assert stop.reason is Reason.OUTSIDE
        else:  # whose line is looked at with the places, right before boot services end
            whole = size + 2047 - most
            assert line == f"{start}{whole:#x}, no more characters than the kernel takes are needed"
            assert stop.reason == EXITED


@PROGRAMS
def test_a_file_that_is_not_there(hand_offs_library, way):
    """What was allocated for the one before is given back."""
    told = PLAIN | {"options": "initrd=a initrd=b", "files": {"a": b"one"}}
    given = efi_hand_off(efi_world(way), 1, **told)
    line, stop = line_of(hand_offs_library, given)
    assert line == "hvmlite: efi: initrd=: 0x11, a file of the name that ends there is needed"
    assert stop.reason is Reason.OUTSIDE
    assert given.services.allocated


@PROGRAMS
def test_a_name_of_a_file_that_is_too_long(hand_offs_library, way):
    told = PLAIN | {"options": "initrd=" + "n" * 256, "files": {"n": b""}}
    line, _ = line_of(hand_offs_library, efi_hand_off(efi_world(way), 1, **told))
    assert line == "hvmlite: efi: initrd=: 0x100, a shorter name is needed"


@EACH_WAY
def test_boot_services_that_cannot_be_left(hand_offs_library, way):
    """After the first attempt there is nobody to go back to, and no console."""
    given = efi_hand_off(efi_world(way), 1, **PLAIN, map_changes=100, map_grows=1)
    line, stop = line_of(hand_offs_library, given)
    status = 2 | 1 << 63
    wanted = f"hvmlite: {name_of(way)}: exit boot services: {status:#x}, success is needed"
    assert line == wanted
    assert stop.reason is Reason.ENDED
    assert not given.services.said


@EACH_WAY
@pytest.mark.parametrize("step", [24, 0x1001])
def test_descriptors_of_a_strange_size(hand_offs_library, way, step):
    given = efi_hand_off(efi_world(way), 1, **PLAIN, step=step)
    line, _ = line_of(hand_offs_library, given)
    wanted = "descriptors of 0x28 to 0x1000 bytes are needed"
    assert line == f"hvmlite: {name_of(way)}: memory map: {step:#x}, {wanted}"


@EACH_WAY
def test_a_memory_map_with_too_many_entries(hand_offs_library, way):
    given = efi_hand_off(efi_world(way), 1, **PLAIN, cuts=0)
    with_gaps = []
    for number, each in enumerate(given.services.pages.descriptors * 60):
        with_gaps.append(replace(each, told=True, type=number % 2 * 4))
    given.services.pages.descriptors += with_gaps
    line, stop = line_of(hand_offs_library, given)
    wanted = "no more entries than 0x400 are needed"
    assert line == f"hvmlite: {name_of(way)}: memory map: 0x401, {wanted}"
    assert stop.reason == (Reason.OUTSIDE if way.startswith("efi") else EXITED)


@EACH_WAY
def test_a_memory_map_that_has_too_many_entries_at_the_second_look(hand_offs_library, way):
    """The first call of ExitBootServices has failed: Exit was called, and a PE image returned."""
    given = efi_hand_off(efi_world(way), 1, **PLAIN, cuts=0, map_changes=0)
    services, pages = given.services, given.services.pages
    at, step = 1 << 45, 0x10000
    told = [Descriptor(4, at + n * step, at + (n + 1) * step, told=True) for n in range(1025)]
    pages.descriptors += told  # one entry
    leave = services.ExitBootServices

    def changed(handle, key):
        cut = [replace(each, type=number % 2 * 4) for number, each in enumerate(told)]
        pages.descriptors[-len(told) :] = cut
        return leave(handle, key ^ 1)

    services.ExitBootServices = changed
    line, stop = line_of(hand_offs_library, given)
    wanted = "no more entries than 0x400 are needed"
    assert line == f"hvmlite: {name_of(way)}: memory map: 0x401, {wanted}"
    assert stop.reason is Reason.ENDED
    assert not services.said


@pytest.mark.parametrize("way", WAYS[-2:])
def test_too_many_modules(hand_offs_library, way):
    given = efi_hand_off(efi_world(way), 1, **PLAIN | {"modules": [b"m"] * 65})
    line, stop = line_of(hand_offs_library, given)
    assert line == "hvmlite: multiboot2: modules: 0x41, no more than 0x40 are needed"
    assert stop.reason is Reason.ENDED


@EACH_WAY
def test_no_room_for_the_kernel(hand_offs_library, way):
    """All memory is for special purposes, or somebody's; the image lies where its kernel cannot."""
    world = efi_world(way, spot=48 << 20)
    given = efi_hand_off(world, 1, **PLAIN, map_changes=0)
    pages = given.services.pages
    pages.descriptors = [
        replace(each, attribute=SPECIAL_PURPOSE)
        if each.type in (Type.CONVENTIONAL, Type.LOADER_CODE) and each.end - each.start > 1 << 18
        else each
        for each in pages.descriptors
    ]
    line, stop = line_of(hand_offs_library, given)
    assert line.startswith(f"hvmlite: {name_of(way)}: "), line
    assert line.endswith(" bytes of free RAM are needed")
    assert stop.reason == (Reason.OUTSIDE if way.startswith("efi") else EXITED)
    assert not given.services.gone


@pytest.mark.parametrize("way", ["efi32", "handover32", "multiboot2-efi32"])
def test_a_64_bit_kernel_that_cannot_call_32_bit_firmware(hand_offs_library, way):
    world = efi_world(way, mixed=False)
    line, _ = line_of(hand_offs_library, efi_hand_off(world, 1, **PLAIN))
    needed = "EFI mixed mode or a 32-bit kernel on 32-bit firmware is needed"
    assert line == f"hvmlite: {name_of(way)}: xloadflags: 0x3, {needed}"


def guarded(given, distance):
    """The same with no page so far behind the command line's start; None if tables are no such."""
    pieces, memory = {piece.name: piece for piece in given.plan.pieces}, given.plan.cpu
    line, tables = pieces["line"], pieces["tables"]
    at = memory.cr3 - tables.start
    for shift in () if memory.cr4 & LA57 else (39, 30):
        (entry,) = struct.unpack_from("<Q", tables.data, at + 8 * (line.start >> shift & 511))
        if entry & LARGE_PAGE:
            return None
        at = (entry & -PAGE) - tables.start
    at += 8 * (line.start >> 21 & 511)
    first, guard = line.start & -LARGE, line.start + distance & -PAGE
    (entry,) = struct.unpack_from("<Q", tables.data, at)
    room = len(tables.data) + PAGE <= TABLES_SIZE and guard < first + LARGE
    if memory.cr4 & LA57 or not room or not entry & LARGE_PAGE:
        return None
    if given.services.pages.allocate(PAGE, Type.BOOT_DATA, at=guard) is None:
        return None
    pages = [page | PRESENT if page != guard else 0 for page in range(first, first + LARGE, PAGE)]
    lower = tables.start + len(tables.data)
    data = bytearray(tables.data) + struct.pack("<512Q", *pages)
    struct.pack_into("<Q", data, at, lower | PRESENT)
    changed = [p if p is not tables else replace(p, data=bytes(data)) for p in given.plan.pieces]
    return replace(given, plan=replace(given.plan, pieces=tuple(changed)))


def test_a_command_line_that_is_not_far_from_a_page_that_is_not_mapped(hand_offs_library):
    """It was taken for a part of the line, since that might have been as long."""
    world, found = efi_world("handover64"), 0
    with running(hand_offs_library, world) as runner:
        for seed in range(40):
            given = guarded(efi_hand_off(world, seed, **PLAIN, copied=False), LONGEST_TEXT)
            if given is not None:
                entered(runner, given, runner.start(given))
                found += 1
    assert found


def test_a_node_with_a_page_in_its_midst_that_is_not_mapped(hand_offs_library):
    """Only its ends were looked at: reading it was an exception of the firmware's."""
    world, found = efi_world("handover64"), 0
    for seed in range(40):
        told = PLAIN | {"options": "x" * 100, "map_changes": 0}
        given = guarded(efi_hand_off(world, seed, **told, copied=False), PAGE)
        if given is None:
            continue
        pieces = {piece.name: piece.start for piece in given.plan.pieces}
        node, page = pieces["line"], pieces["zero page"]
        given = patched(given, node, struct.pack("<QII", 0, 1, 3 * PAGE - 16))
        given = patched(given, page + 0x250, struct.pack("<Q", node))
        line, stop = line_of(hand_offs_library, given)
        needed = "an address that the firmware has mapped is needed"
        assert line == f"hvmlite: efi: setup_data: {node:#x}, {needed}"
        assert stop.reason == EXITED
        found += 1
    assert found
