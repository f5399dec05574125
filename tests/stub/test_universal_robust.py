"""The single stub where the machine is not as a careful loader leaves it."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

import microkernel
from hvmlite.engines._unicorn_emulator import Reason
from hvmlite.spec import universal as u
from stub.stub_machine import LINE, MAP, NODE, PAGE, RAM, Start, map_of, wrapped, zero_page

E820_EXT = 1
SCRATCH, SCRATCH_END = u.STUB_MAX, u.PAYLOAD_OFFSET


@pytest.fixture(scope="module")
def starts():
    """Start by this protocol of Linux: the same image, the same zero page."""
    elf = wrapped().elf_bytes()
    made = {way: Start(elf, protocol=door) for way, door in (("linux32", "pvh"), ("linux64",) * 2)}

    def get(way):
        return made[way]

    yield get
    for each in made.values():
        each.emulator.close()


@pytest.mark.parametrize("way", ["linux32", "linux64"])
@pytest.mark.parametrize("dirt", [b"\xcc", b"\x01\0\0\0\0\0\0\0", b"\xff"])
def test_scratch_memory_that_is_not_zero(starts, way, dirt):
    start = starts(way)
    page = zero_page(line=LINE)
    dirty = (start.start + SCRATCH, dirt * ((SCRATCH_END - SCRATCH) // len(dirt)))
    stop = start.linux(page, (LINE, b"handed in\0"), dirty)
    assert (stop.reason, stop.address) == (Reason.UNTIL, start.kernel + 0x200)
    assert map_of(start.page()) == list(MAP)
    assert start.line() == b"handed in"
    assert start.page()[0x290:0x2D0] == bytes(0x40)
    assert not start.emulator.lost


@pytest.mark.parametrize("way", ["linux32", "linux64"])
def test_an_image_that_is_started_once_more_where_it_lies(starts, way):
    start = starts(way)
    start.linux(zero_page(line=LINE), (LINE, b"the first\0"))
    emulator = start.emulator
    scratch = emulator.memory.read(start.start + SCRATCH, SCRATCH_END - SCRATCH)
    assert any(scratch)
    again = (start.start + SCRATCH, scratch)
    stop = start.linux(zero_page(line=LINE), (LINE, b"second\0"), again)
    assert (stop.reason, stop.address) == (Reason.UNTIL, start.kernel + 0x200)
    assert start.line() == b"second"
    assert map_of(start.page()) == list(MAP)


def test_a_processor_without_cpuid_is_told(starts):
    """No emulator has one; what shows it is that EFLAGS.ID stays as it was."""
    start = starts("linux32")
    code = start.emulator.memory.read(start.start, u.STUB_MAX)
    changed = code.index(b"\x9d\x9c")  # POPFL, PUSHFL
    stop = start.linux(zero_page(), entries=[start.start + changed + 1])
    assert stop.reason is Reason.UNTIL
    cpu = start.emulator.cpu
    start.emulator.cpu = replace(cpu, rflags=cpu.rflags ^ 1 << 21)
    words = "processor: no long mode, a 64-bit processor is needed"
    assert start.refusal(start.emulator.run(budget=100_000)) == words


def test_a_32_bit_kernel_has_an_aligned_stack():
    start = Start(wrapped("linux32").elf_bytes())
    entry = start.kernel + start.params.kernel_entry
    stop = start.linux(zero_page())
    assert (stop.reason, stop.address) == (Reason.UNTIL, entry)
    assert start.emulator.cpu.rsp % 16 == 0
    start.emulator.close()


def test_multiboot2_has_half_of_rbx(starts):
    """The document names EBX only, for a start in 64-bit mode too."""
    start = starts("linux64")
    line = struct.pack("<II", 1, 8 + 8) + b"by RBX\0\0"
    records = b"".join(struct.pack("<QQII", *entry, 0) for entry in MAP)
    memory = struct.pack("<IIII", 6, 16 + len(records), 24, 0) + records
    tags = line + memory + struct.pack("<II", 0, 8)
    info = struct.pack("<II", 8 + len(tags), 0) + tags
    stop = start.run(writes=((PAGE, info),), rax=0x36D76289, rbx=0xDEADBEEF << 32 | PAGE)
    assert stop.reason is Reason.UNTIL, bytes(start.emulator.ports.debug)
    assert start.line() == b"by RBX"


TABLE, SERVICES = 0x6000000, 0x6001000


def system_table(services: int, width: int) -> bytes:
    head = b"IBI SYST" + struct.pack("<IIII", 0x20046, 24 + 12 * width, 0, 0)
    pointers = [0] * 9 + [services] + [0] * 2
    return head + b"".join(each.to_bytes(width, "little") for each in pointers)


def by_firmware(start, way, page, services=0):
    """Start with EFI's table where firmware has it, and a zero page where Linux's loaders do."""
    wide = way == "linux64"
    writes = [(PAGE, page), (TABLE, system_table(services, 8 if wide else 4))]
    writes += [(SERVICES, b"BOOTSERV"), (0x80000, struct.pack("<4I", 0, 1, TABLE, 0))]
    registers = {"rsp": 0x80000, "rsi": PAGE, "rdi": 1, "rbx": 1, "rbp": 1}
    return start.run(writes=writes, **registers, **({"rdx": TABLE} if wide else {}))


@pytest.mark.parametrize("way", ["linux32", "linux64"])
def test_a_dead_system_table_does_not_hide_a_zero_page(starts, way):
    start = starts(way)
    stop = by_firmware(start, way, zero_page())
    assert stop.reason is Reason.UNTIL, bytes(start.emulator.ports.debug)
    assert map_of(start.page()) == list(MAP)


@pytest.mark.parametrize("way", ["linux32", "linux64"])
def test_a_live_system_table_is_firmware_whatever_rsi_is(starts, way):
    start = starts(way)
    stop = by_firmware(start, way, zero_page(), SERVICES)
    assert start.refusal(stop) == "efi: boot services: 0x0, a larger size is needed"
    stop = by_firmware(start, way, bytes(0x1000))
    assert start.refusal(stop) == "efi: boot services: 0x0, its signature is needed"


def test_a_64_bit_start_without_linux_header_stops(starts):
    start = starts("linux64")
    stop = start.linux(zero_page(changes=((0x202, bytes(4)),)))
    assert start.refusal(stop) == "start: the registers of a boot protocol are needed"


INDIRECT, OUTSIDE = 0x80000000, "a range in the memory map's RAM is needed"
TARGETS = {
    "that wraps around": (0xFFFFFFFFFFFFF000, 0x2000, f"0xfffffffffffff000, {OUTSIDE}"),
    "of 256 GiB": (0x40000000, 1 << 38, f"0x40000000, {OUTSIDE}"),
    "of devices": (0xFEC00000, 0x1000, f"0xfec00000, {OUTSIDE}"),
}


@pytest.mark.parametrize("target", TARGETS)
def test_indirect_setup_data(starts, target):
    start = starts("linux32")
    at, size, words = TARGETS[target]
    node = struct.pack("<QIIIIQQ", 0, INDIRECT, 24, INDIRECT | 9, 0, size, at)
    stop = start.linux(zero_page(setup_data=NODE), (NODE, node))
    assert start.refusal(stop) == f"linux32: setup_indirect: {words}"


def test_indirect_setup_data_is_not_mapped(starts):
    """Much that lies far away: it is kept, and no page table is spent on it."""
    start = starts("linux32")
    far = (1 << 32, 1 << 40, RAM)
    node = struct.pack("<QIIIIQQ", 0, INDIRECT, 24, INDIRECT | 9, 0, 1 << 39, 1 << 33)
    stop = start.linux(zero_page((*MAP, far), setup_data=NODE), (NODE, node))
    assert stop.reason is Reason.UNTIL, bytes(start.emulator.ports.debug)


def test_setup_data_whose_nodes_lie_in_each_other(starts):
    """To take one out of the list writes into the next: that list had no end."""
    start = starts("linux32")
    first, second = NODE, 0x8000
    inside, last = first + 1, (first + 1) >> 8
    node = struct.pack("<QII", second, 0x100, 0) + bytes(8)  # and the one inside is of type 1
    other = struct.pack("<QII", inside, E820_EXT, 0)
    stop = start.linux(
        zero_page(setup_data=first),
        (first, node), (second, other), (second >> 8, struct.pack("<QII", 0, E820_EXT, 0)),
        (last, struct.pack("<QII", inside, E820_EXT, 0)),
    )  # fmt: skip
    needed = "no more than 0x40 nodes are needed"
    assert start.refusal(stop) == f"linux32: setup_data: 0x41, {needed}"


@pytest.mark.parametrize("size", [0, 39, 0x1001])
def test_an_efi_map_that_linux_cannot_divide(starts, size):
    start = starts("linux32")
    memmap = b"EL64" + struct.pack("<7I", 0, size, 1, NODE, 96, 0, 0)
    refused = start.refusal(start.linux(zero_page(changes=((0x1C0, memmap),))))
    needed = "descriptors of 0x28 to 0x1000 bytes are needed"
    assert refused == f"linux32: memory map: {size:#x}, {needed}"


def pvh(**fields):
    """A start info with these fields, where a pointer may be anything."""
    values = {"modules": 0, "list": 0, "line": 0, "rsdp": 0, "map": PAGE + 0x400} | fields
    info = struct.pack("<IIII", 0x336EC578, 1, 0, values["modules"])
    info += struct.pack("<QQQQ", values["list"], values["line"], values["rsdp"], values["map"])
    return info + struct.pack("<II", len(MAP), 0)


INSIDE = SCRATCH + 0x8000
OURS = "memory that the stub does not lie in is needed"


@pytest.mark.parametrize("offset", [0x100, SCRATCH, INSIDE, SCRATCH_END - 0x10])
def test_what_is_handed_over_inside_the_stub(starts, offset):
    start = starts("linux32")
    at = start.start + offset
    where = f"{at:#x}, {OURS}"
    assert start.refusal(start.linux(zero_page(line=at))) == f"linux32: cmd_line_ptr: {where}"
    refused = start.refusal(start.linux(zero_page(setup_data=at)))
    assert refused == f"linux32: setup_data: {where}"
    memmap = b"EL64" + struct.pack("<7I", 0, 48, 1, at, 48, 0, 0)
    refused = start.refusal(start.linux(zero_page(changes=((0x1C0, memmap),))))
    assert refused == f"linux32: efi_memmap: {where}"
    records = b"".join(struct.pack("<QQII", *entry, 0) for entry in MAP)
    for name, what in (
        ("line", "cmdline_paddr"),
        ("map", "memmap_paddr"),
        ("list", "modlist_paddr"),
    ):
        writes = ((PAGE, pvh(modules=1, **{name: at})), (PAGE + 0x400, records))
        if name != "list":
            writes = ((PAGE, pvh(**{name: at})), *writes[1:])
        assert start.refusal(start.run(writes=writes, rbx=PAGE)) == f"pvh: {what}: {where}"


def test_a_hand_off_itself_inside_the_stub(starts):
    start = starts("linux32")
    at = start.start + INSIDE
    where = f"{at:#x}, {OURS}"
    for way, page, registers in (
        ("linux32: zero page", zero_page(), {"rsi": at, "rbx": 0, "rbp": 0, "rdi": 0}),
        ("multiboot1: information", bytes(0x80), {"rax": 0x2BADB002, "rbx": at}),
        ("multiboot2: information", bytes(0x80), {"rax": 0x36D76289, "rbx": at}),
    ):
        stop = start.run(writes=((at, page),), **registers)
        assert start.refusal(stop).startswith(f"{way.split(':')[0]}: "), way
        assert start.refusal(stop).endswith(where), way


def test_a_command_line_may_end_where_the_stub_begins(starts):
    start = starts("linux32")
    at = start.start - 0x3000
    stop = start.linux(zero_page(line=at), (at, b"below\0"))
    assert stop.reason is Reason.UNTIL, bytes(start.emulator.ports.debug)
    assert start.line() == b"below"


def exceptions(start, budget, **state):
    """Let the code stop anywhere, put UD2 there, and go on; returns the line."""
    start.linux(zero_page(line=LINE), (LINE, b"x\0"), budget=budget)
    cpu = start.emulator.cpu
    assert start.start < cpu.rip < start.start + u.STUB_MAX
    start.emulator.write(cpu.rip, b"\x0f\x0b")
    start.emulator.cpu = replace(cpu, **state)
    return cpu.rip - start.start, start.refusal(start.emulator.run(count=True, budget=20_000))


@pytest.mark.parametrize("budget", [*range(900, 1440, 20), *range(5600, 7400, 100)])
def test_an_exception_in_a_64_bit_start_is_told_anywhere(starts, budget):
    """From before our page tables are loaded, which do not map the loader's GDT."""
    at, line = exceptions(starts("linux64"), budget)
    assert f"exception: 6, error code 0x0, at _start + {at:#x}, CR2 0x" in line


@pytest.mark.parametrize("rsp", [0, 0x12345678, 1 << 46, 1 << 63])
def test_an_exception_with_a_bad_stack_is_told(rsp):
    start = Start(wrapped().elf_bytes())
    at, line = exceptions(start, 1300, rsp=rsp)
    start.emulator.close()
    assert f"exception: 6, error code 0x0, at _start + {at:#x}, CR2 0x" in line


def test_an_exception_is_told_by_code_that_goes_forward():
    start = Start(wrapped().elf_bytes())
    exceptions(start, 1300, rflags=0x402)
    assert start.emulator.cpu.rflags & 0x400 == 0
    start.emulator.close()


FIXED = 0x100000


def fixed(tmp_path, kernel):
    """A kernel that runs at 1 MiB only, in an image that a loader has put there."""
    data = bytearray((microkernel.FOLDER / kernel).read_bytes())
    data[0x234] = 0
    struct.pack_into("<Q", data, 0x258, FIXED)
    (tmp_path / kernel).write_bytes(data)
    elf = wrapped(tmp_path / kernel, cmdline="built in", initrds=[b"abc"]).elf_bytes()
    start = Start(elf)
    assert not start.params.flags & 1
    (image,) = (each for each in start.plan.pieces if each.start <= start.start < each.end)
    by = FIXED - start.start
    moved = replace(image, start=image.start + by, end=image.end + by)
    start.plan = replace(
        start.plan,
        cpu=replace(start.plan.cpu, rip=FIXED),
        pieces=tuple(moved if each is image else each for each in start.plan.pieces),
    )
    start.start, start.kernel = FIXED, FIXED
    code = elf[u.ELF_STUB_OFFSET + start.params.kernel_offset :]
    return start, code[: start.params.kernel_size]


@pytest.mark.parametrize("kernel", ["linux32", "linux64"])
def test_a_kernel_with_one_address_where_the_stub_lies(kernel, tmp_path):
    start, code = fixed(tmp_path, kernel)
    stop = start.linux(zero_page(line=LINE), (LINE, b"handed in\0"))
    assert stop.reason is Reason.UNTIL, bytes(start.emulator.ports.debug)
    assert start.emulator.memory.read(FIXED, len(code)) == code
    assert start.line() == b"built in handed in"
    assert start.initrd()[1] == b"abc"
    assert map_of(start.page()) == list(MAP)
    end = FIXED + start.params.kernel_memory
    assert start.emulator.cpu.rsi >= end
    assert start.emulator.cpu.rsp >= end
    if kernel == "linux64":
        assert start.emulator.cpu.cr3 >= end
        assert start.emulator.read_linear(end - 1, 1)
    assert not start.emulator.faults
    assert not start.emulator.lost


def test_what_is_in_the_way_of_a_kernel_with_one_address_is_named(tmp_path):
    start, _ = fixed(tmp_path, "linux64")
    hole = (0x160000, 0x1000, 2)
    stop = start.linux(zero_page((*MAP, hole)))
    words = "kernel: 0x100000, all of it must be free, unlike 0x160000"
    assert start.refusal(stop) == f"linux32: {words}"


def test_a_zero_page_that_begins_at_the_end_of_a_page_as_the_file_does(starts):
    """Who says who it is was looked for where nothing was mapped yet: an exception."""
    at = (3 << 21) - 0x208
    start = starts("linux64")
    stop = start.linux(
        zero_page(changes=((0, b"MZ"),)), (at, zero_page(changes=((0, b"MZ"),))), rsi=at
    )
    assert stop.reason is Reason.UNTIL, bytes(start.emulator.ports.debug)
