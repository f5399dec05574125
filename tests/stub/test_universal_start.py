"""The single stub's real machine code on the emulator, entered by Linux's protocols and by PVH."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from hvmlite import boot
from hvmlite.engines._unicorn_emulator import Reason
from stub.stub_machine import (
    INITRD,
    LINE,
    MAP,
    MEMORY,
    NODE,
    PAGE,
    RAM,
    RESERVED,
    Start,
    map_of,
    parsed,
    wide,
    wrapped,
    zero_page,
)


@pytest.fixture(scope="module")
def start():
    return Start(wrapped().elf_bytes())


@pytest.fixture(scope="module")
def laden():
    """With a command line and an initrd built in."""
    return Start(wrapped(cmdline="built in", initrds=[b"built-in initrd"]).elf_bytes())


def test_a_start_by_linux_is_handed_on_field_by_field(start):
    changes = ((0x00, b"\x12\x34"), (0x1FA, b"\x0f\x03"), (0x211, b"\x61"), (0x23C, b"\x03"))
    page = zero_page(line=LINE, initrd=(INITRD, 0x1234), changes=changes)
    stop = start.linux(page, (LINE, b"as handed over\0"), (INITRD, b"initrd"))
    assert (stop.reason, stop.address) == (Reason.UNTIL, start.kernel + 0x200)
    got = start.page()
    assert map_of(got) == list(MAP)
    assert start.line() == b"as handed over"
    assert start.initrd()[0] == INITRD, "it was moved without need"
    assert len(start.initrd()[1]) == 0x1234
    assert got[:2] == b"\x12\x34"
    assert got[0x1FA:0x1FC] == b"\x0f\x03", "vid_mode is the loader's"
    assert got[0x210] == 0x72
    assert got[0x211] & 0x60 == 0x20, "QUIET is the loader's, KEEP_SEGMENTS is gone"
    assert got[0x23C] == 3
    assert struct.unpack_from("<I", got, 0x214)[0] == start.kernel
    assert got[0x236] & 1, "xloadflags are the wrapped kernel's"


def test_the_64_bit_entry_has_the_registers_that_linux_documents(start):
    start.linux(zero_page())
    cpu = start.emulator.cpu
    assert cpu.cs.selector == 0x10
    assert cpu.ss.selector == cpu.ds.selector == 0x18
    assert cpu.rflags & 0x600 == 0, "interrupts and direction"
    assert cpu.cr4 == 0x20
    window = start.params.kernel_memory
    for address in (
        start.kernel,
        start.kernel + window - 1,
        cpu.rsi,
        wide(start.page(), 0x228, 0xC8),
    ):
        assert start.emulator.read_linear(address, 1) == start.emulator.memory.read(address, 1)


def test_command_lines_and_initrds_are_joined(laden):
    page = zero_page(line=LINE, initrd=(INITRD, 9))
    laden.linux(page, (LINE, b"handed in\0"), (INITRD, b"handed in"))
    assert laden.line() == b"built in handed in"
    at, joined = laden.initrd()
    assert joined == b"built-in initrd".ljust(20, b"\0") + b"handed in"
    assert at % 0x1000 == 0


def test_what_is_built_in_stays_where_it_is(laden):
    laden.linux(zero_page())
    assert laden.line() == b"built in"
    assert laden.initrd() == (laden.start + laden.params.initrd_offset, b"built-in initrd")


def test_no_initrd_and_no_command_line(start):
    start.linux(zero_page())
    assert start.line() == b""
    assert start.initrd() == (0, b"")


def test_more_entries_than_the_page_has_room_for(start):
    many = [(0, 0x9F000, RAM)]
    many += [(0x100000 + n * 0x10000, 0x10000, RAM) for n in range((MEMORY >> 16) - 16)][:400]
    many += [(0x100000 + 400 * 0x10000, MEMORY - 0x100000 - 400 * 0x10000, RAM)]
    more = b"".join(struct.pack("<QQI", *entry) for entry in many[128:])
    seed = struct.pack("<QII", 0, 9, 4) + b"seed"
    at = 0xD000000
    node = struct.pack("<QII", NODE, 1, len(more)) + more
    stop = start.linux(zero_page(many, setup_data=at), (at, node), (NODE, seed))
    assert stop.reason is Reason.UNTIL
    page = start.page()
    found = map_of(page)
    read = start.emulator.memory.read
    first = struct.unpack_from("<Q", page, 0x250)[0]
    following, kind, size = struct.unpack("<QII", read(first, 16))
    assert kind == 1
    records = read(first + 16, size)
    found += [struct.unpack_from("<QQI", records, n) for n in range(0, size, 20)]
    assert found == many
    assert following == NODE, "the list that was handed over goes on behind it"
    assert read(NODE, 20) == seed


def test_a_page_that_was_copied_from_the_image_is_cleaned(start):
    changes = ((0x1EF, b"\xff"), (0x70, b"\xff" * 8), (0xC0, b"\xff" * 12), (0x140, b"\xff" * 128))
    changes += ((0x1EB, b"\xff"), (0xCD0, b"\xff" * 48), (0xEEC, b"\xff" * 276), (0x1C0, b"EL"))
    start.linux(zero_page(changes=changes))
    got = start.page()
    assert got[0x70:0x78] == bytes(8)
    assert got[0x140:0x1C0] == bytes(128)
    assert got[0xCD0:0xD00] == bytes(48)
    assert got[0xEEC:] == bytes(276)
    assert got[0x1EB:0x1F0] == bytes(5)
    assert got[0x1C0:0x1C2] == b"EL"
    assert map_of(got) == list(MAP)


def test_a_map_of_one_entry_is_none_as_for_linux(start):
    start.linux(zero_page(((0, 1 << 40, RAM),), changes=((0x1E0, struct.pack("<I", 0x3F000)),)))
    assert map_of(start.page()) == [(0, 0x9F000, RAM), (0x100000, 0x3F000 << 10, RAM)]


def test_the_kernel_moves_out_of_the_way_of_an_initrd(start):
    page = zero_page(initrd=(start.kernel + start.params.kernel_size, 0x1000))
    align = start.params.kernel_align
    entries = [at + 0x200 for at in range(align, MEMORY, align)]
    code = start.emulator.memory.read
    stop = start.linux(page, entries=entries)
    moved = stop.address - 0x200
    assert stop.reason is Reason.UNTIL
    assert moved != start.kernel
    assert moved >= start.params.kernel_address
    assert moved + start.params.kernel_memory <= MEMORY
    initrd, size = start.initrd()[0], 0x1000
    assert initrd == start.kernel + start.params.kernel_size
    assert moved + start.params.kernel_memory <= initrd or initrd + size <= moved
    assert code(moved, 0x1000) == code(start.kernel, 0x1000)


def test_the_kernel_moves_into_ram(start):
    hole = start.kernel + start.params.kernel_memory - 0x1000
    holed = (*MAP, (hole, 0x1000, RESERVED))
    align = start.params.kernel_align
    entries = [at + 0x200 for at in range(align, MEMORY, align)]
    stop = start.linux(zero_page(holed), entries=entries)
    assert stop.reason is Reason.UNTIL
    assert stop.address - 0x200 > hole


REFUSALS = {
    "memory map: 0x2, an entry that is RAM is needed": {"memory_map": [(0, 9, 2), (4096, 9, 2)]},
    "memory map: 0xfffffffffffff000, an entry that does not wrap around is needed": {
        "memory_map": [(0, 9, 1), (0xFFFFFFFFFFFFF000, 0x2000, 1)]
    },
    "module: 0x10000000, a range in the memory map's RAM is needed": {"initrd": (MEMORY, 1)},
    "module: 0xfffffff, a range in the memory map's RAM is needed": {"initrd": (MEMORY - 1, 2)},
    "module: 0xfffffffffffff000, one that does not wrap around is needed": {
        "initrd": (0xFFFFFFFFFFFFF000, 0x2000)
    },
    "cmd_line_ptr: 0xffffffffffff0000, an address that the processor has is needed": {
        "line": 0xFFFFFFFFFFFF0000
    },
    "setup_data: 0x41, no more than 0x40 nodes are needed": {"setup_data": NODE},
    "setup_data: 0xfffffffffffffff0, an address that the processor has is needed": {
        "setup_data": 0xFFFFFFFFFFFFFFF0
    },
    "e820_entries: 0x81, no more than 0x80 are needed": {"changes": ((0x1E8, b"\x81"),)},
    "kernel: 0x200000, as many bytes of free RAM are needed": {
        "memory_map": [(0, 0x9F000, 1), (0x100000, 0x100000, 1)]
    },
}


@pytest.mark.parametrize("text", REFUSALS)
def test_a_bad_hand_off_is_named(start, text):
    loop = struct.pack("<QII", NODE, 9, 4)
    stop = start.linux(zero_page(**REFUSALS[text]), (NODE, loop))
    assert start.refusal(stop) == f"linux32: {text}"
    assert not start.emulator.lost, "it was written where nothing is"


def test_a_command_line_that_is_too_long(laden):
    most = laden.params.command_line_max
    room = most - len("built in ")
    assert laden.linux(zero_page(line=LINE), (LINE, b"x" * room + b"\0")).reason is Reason.UNTIL
    assert laden.line() == b"built in " + b"x" * room
    stop = laden.linux(zero_page(line=LINE), (LINE, b"x" * (room + 1) + b"\0"))
    words = "no more characters than the kernel takes are needed"
    assert laden.refusal(stop) == f"linux32: command line: {most + 1:#x}, {words}"


def test_a_command_line_without_an_end(start):
    stop = start.linux(zero_page(line=0x1000000), (0x1000000, b"x" * 0x20000))
    assert start.refusal(stop) == "linux32: cmd_line_ptr: 0x1000000, a NUL at its end is needed"


@pytest.mark.parametrize("poison", [0, 0xFFFFFFFF, 0xDEADBEEF, 0x7BFC])
def test_registers_of_nobody(start, poison):
    names = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp")
    stop = start.run(**dict.fromkeys(names, poison))
    assert start.refusal(stop) == "start: the registers of a boot protocol are needed"


def test_the_pocket_is_put_back_and_no_stack_is_trusted(start):
    before = bytes(range(64))
    page = zero_page()
    stop = start.linux(page, (0x7BE0, before), rsp=0xFFFFFFF0, rax=1, rcx=2, rdx=3)
    assert stop.reason is Reason.UNTIL
    assert start.emulator.memory.read(0x7BE0, 64) == before
    assert not start.emulator.lost


def test_an_exception_says_where():
    start = Start(wrapped().elf_bytes())
    start.linux(zero_page(), budget=5900)
    at = start.emulator.cpu.rip
    assert start.start < at < start.start + 0x6000
    start.emulator.write(at, b"\x0f\x0b")  # UD2
    stop = start.emulator.run(count=True, budget=20_000)
    place = f"at _start + {at - start.start:#x}"
    assert start.refusal(stop).startswith(f"linux32: exception: 6, error code 0x0, {place}, CR2 0x")


def test_a_page_fault_at_the_kernels_entry_is_told_as_one():
    """The run stops there first, twice with one emulator: neither may make it a double fault."""
    start = Start(wrapped().elf_bytes())
    for _ in range(2):
        assert start.linux(zero_page()).reason is Reason.UNTIL
        at = start.emulator.cpu.rip
        start.emulator.write(at, b"\xa0" + (0x7000000000).to_bytes(8, "little"))  # MOV AL, [...]
        stop = start.emulator.run(count=True, budget=50_000)
        place = f"at _start + {at - start.start:#x}, CR2 0x7000000000"
        assert start.refusal(stop) == f"linux32: exception: 14, error code 0x0, {place}"


@pytest.mark.parametrize("place", [0x101000, 0x3FFF0000, 0x3FFFF000, 0x40000000, 0x3FE01000])
def test_it_runs_wherever_it_lies(place):
    """On both sides of a gigabyte, too, where its own page tables need one more."""
    memory = 0x48000000
    start = Start(wrapped(cmdline="built in").elf_bytes(), memory)
    (image,) = (
        piece
        for piece in start.plan.pieces
        if piece.start <= start.start and start.start < piece.end
    )
    by = place - start.start
    moved = replace(image, start=image.start + by, end=image.end + by)
    start.plan = replace(
        start.plan,
        cpu=replace(start.plan.cpu, rip=place),
        pieces=tuple(moved if piece is image else piece for piece in start.plan.pieces),
    )
    ram = (*MAP[:2], (0x100000, memory - 0x100000, RAM))
    align = start.params.kernel_align
    entries = [at + 0x200 for at in range(align, memory, align)]
    stop = start.linux(zero_page(ram), entries=entries)
    assert stop.reason is Reason.UNTIL, bytes(start.emulator.ports.debug)
    assert start.line() == b"built in"
    assert not start.emulator.lost
    assert not start.emulator.faults
    start.emulator.close()


def test_modules_that_are_far_from_each_other(start):
    """More page tables than scratch memory has: they are made in RAM that is free."""
    modules = [((n + 5) << 33, 0x400 + n) for n in range(64)]
    ram = (*MAP, (1 << 32, (1 << 40) - (1 << 32), RAM))
    records = b"".join(struct.pack("<QQII", *entry, 0) for entry in ram)
    listed = b"".join(struct.pack("<QQQQ", *each, 0, 0) for each in modules)
    info = struct.pack("<IIIIQQQQII", 0x336EC578, 1, 0, 64, PAGE + 0x800, 0, 0, PAGE + 0x400, 4, 0)
    writes = ((PAGE, info), (PAGE + 0x400, records), (PAGE + 0x800, listed))
    stop = start.run(writes=writes, rbx=PAGE)
    assert stop.reason is Reason.UNTIL, bytes(start.emulator.ports.debug)
    at, joined = start.initrd()
    expected = b""
    for _, size in modules:
        expected += bytes(-len(expected) % 4 + 4) if expected else b""
        expected += b"\xff" * size  # what is read where no RAM is
    assert joined == expected
    assert at + len(joined) <= MEMORY
    assert not start.emulator.lost


@pytest.mark.boot
def test_what_a_start_by_pvh_costs(kernels, tmp_path):
    """The issue's budget: ten entries, one module, and nothing to move."""
    initrd = tmp_path / "initrd"
    initrd.write_bytes(b"x" * 5_000_000)
    elf = wrapped(kernels["6.12-cloud"]).elf_bytes()
    start = Start(elf, 512 << 20)
    plan = boot.plan(
        parsed(elf),
        protocol="pvh",
        engine="unicorn",
        memory=512 << 20,
        initrds=[initrd],
        cmdline="console=ttyS0 root=/dev/vda1 ro quiet",
    )
    start.plan = plan
    info = plan.cpu.rbx
    start.emulator.load(plan)
    head = bytearray(start.emulator.memory.read(info, 56))
    top = 512 << 20
    entries = [(0, 0x9FC00, 1), (0x9FC00, 0x400, 2), (0xF0000, 0x10000, 2)]
    entries += [(0x100000, top - 0x100000, 1)]
    entries += [(0xB0000000 + n * 0x1000000, 0x1000, 2) for n in range(6)]
    records = b"".join(struct.pack("<QQII", *entry, 0) for entry in entries)
    struct.pack_into("<QII", head, 40, PAGE, len(entries), 0)
    stop = start.run(writes=((PAGE, records), (info, bytes(head))))
    assert stop.reason is Reason.UNTIL, bytes(start.emulator.ports.debug)
    assert map_of(start.page()) == entries
    assert start.initrd()[1] == initrd.read_bytes()
    assert start.emulator.instructions <= 6000
    assert start.emulator.iterations <= 6000
