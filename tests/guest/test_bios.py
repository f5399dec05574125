"""The BIOS of real-mode guests, as bytes in memory; tests/boot/test_bios.py calls it."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest.placing import GIB, LEGACY, MIB, entry, pc
from hvmlite import blobs
from hvmlite.engines import qemu
from hvmlite.errors import FormatError, PlacementError
from hvmlite.guest import acpi, bios, layout
from hvmlite.guest.memory import PlanMemory
from hvmlite.guest.place import place
from hvmlite.model import (
    BootInfo,
    MemoryRange,
    MemoryType,
    PciHost,
    Piece,
    Platform,
    Ref,
    SerialPort,
)

STUB = Path(__file__).resolve().parents[2] / "stub"
RSDP = Ref(acpi.RSDP)
FATAL = "-Wl,--fatal-warnings"


def plan(machine=None, *more, rsdp=RSDP):
    machine = machine or pc()
    pieces = (*bios.pieces(machine, rsdp), *acpi.tables(machine), *more)
    return place(entry(*pieces), machine, BootInfo())


def word(memory, address):
    return int.from_bytes(memory.read(address, 2), "little")


@pytest.fixture(scope="module")
def symbols(tmp_path_factory):
    """Name -> address of every symbol: the same command, but it makes an ELF."""
    folder = tmp_path_factory.mktemp("bios")
    make = ["make", "-C", STUB, "blobs", "--dry-run", "--always-make", f"OUT={folder}"]
    text = subprocess.run(make, check=True, capture_output=True, text=True).stdout
    (command,) = [line.split() for line in text.splitlines() if "bios.lds" in line]
    # As an ELF it has one segment for all, of which the linker warns.
    command = [word for word in command if word not in ("-Wl,--oformat=binary", FATAL)]
    subprocess.run(command, check=True, cwd=STUB)
    elf = command[command.index("-o") + 1]
    table = subprocess.run(["nm", elf], check=True, capture_output=True, text=True).stdout
    rows = (line.split() for line in table.splitlines())
    return {name: int(address, 16) for address, _, name in rows}


def test_each_vector_leads_to_its_handler(symbols):
    memory = PlanMemory(plan())
    wanted = dict.fromkeys(range(256), "nothing")
    wanted |= {0x08: "int8"} | dict.fromkeys(range(0x09, 0x10), "irq_low")
    wanted |= dict.fromkeys(range(0x70, 0x78), "irq_high")
    wanted |= {vector: f"int{vector:x}" for vector in (0x10, 0x11, 0x12, 0x13, 0x15, 0x16, 0x1A)}
    for vector, name in wanted.items():
        found = word(memory, 4 * vector), word(memory, 4 * vector + 2)
        assert (vector, *found) == (vector, symbols[name], layout.BIOS.low >> 4)


def test_the_header_is_where_the_code_reads_it(symbols):
    placed = plan(pc(48 * MIB))
    memory, start = PlanMemory(placed), layout.BIOS.low
    assert memory.read(start, 8) == b"HVMLBIOS"
    assert word(memory, start + 0x08) == symbols["map"] == len(blobs.read("bios"))
    assert word(memory, start + 0x0A) == symbols["vectors"]
    assert word(memory, start + symbols["map_count"]) == len(placed.boot_info.memory_map)
    assert word(memory, start + symbols["below_16m_kib"]) == 15 << 10
    assert word(memory, start + symbols["above_16m_blocks"]) == 32 << 4
    assert word(memory, start + symbols["extended_kib"]) == 47 << 10


def test_the_code_is_the_blob_but_for_the_fields():
    blob = blobs.read("bios")
    memory = PlanMemory(plan())
    assert memory.read(layout.BIOS.low + 0x14, len(blob) - 0x14) == blob[0x14:]


def test_the_data_area_is_where_every_pc_has_it():
    machine = pc()
    ports = (SerialPort(0x2F8, 3), SerialPort(0x3E8, 4))
    machine = replace(machine, platform=Platform(serial=ports))
    placed = plan(machine)
    memory = PlanMemory(placed)
    assert [word(memory, 0x400 + 2 * n) for n in range(4)] == [0x2F8, 0x3E8, 0, 0]
    assert word(memory, 0x40E) << 4 == placed.boot_info.rsdp != 0
    assert word(memory, 0x410) == 0x0422  # FPU, 80x25 in colour, two serial ports
    assert word(memory, 0x413) << 10 == layout.BIOS.low
    assert word(memory, 0x41A) == word(memory, 0x41C) == 0x1E  # no key
    assert memory.read(0x449, 1) == b"\3"
    assert word(memory, 0x44A) == 80
    assert word(memory, 0x463) == 0x3D4
    assert memory.read(0x475, 1) == b"\0"  # hard disks
    assert (memory.read(0x484, 1)[0], word(memory, 0x485)) == (24, 16)


def test_a_machine_without_serial_port_or_acpi():
    machine = replace(pc(), platform=Platform(serial=()))
    memory = PlanMemory(place(entry(*bios.pieces(machine, None)), machine, BootInfo()))
    assert word(memory, 0x400) == 0
    assert word(memory, 0x40E) == 0
    assert word(memory, 0x410) == 0x0022
    assert bios.rsdp(memory) == 0


def test_the_bios_is_reserved_and_acpi_lies_behind_it():
    """Even with the most processors and all devices that the engine has."""
    machine = qemu.machine(64 * MIB, 255)
    machine = replace(machine, disks=(), platform=with_pci(machine.platform))
    placed = plan(machine)
    reserved = MemoryRange(layout.BIOS.low, layout.BIOS.high, MemoryType.RESERVED)
    assert reserved in placed.boot_info.memory_map
    tables = [p for p in placed.pieces if p.name.startswith("ACPI ")]
    assert min(p.start for p in tables) >= layout.BIOS.high
    assert placed.boot_info.rsdp % 16 == 0


def with_pci(platform):
    pci = PciHost((0xC0000000, 0xFEC00000), (20, 21, 22, 23), ecam=0xB0000000, express=True)
    return replace(platform, pci=pci, hpet=0xFED00000)


@st.composite
def machines(draw):
    """PCs of any size with holes of any kind in their RAM, where our fixed pieces are not."""
    memory = draw(st.integers(2, 8 << 10)) * MIB
    pages = st.integers(0x100, (9 * GIB) >> 12)
    types = st.sampled_from((2, 3, 4, 5, 6, 7, 12, 0xFFFFFFFF))
    holes = draw(st.lists(st.tuples(pages, st.integers(1, 0x3000), types), max_size=12))
    reserved = [MemoryRange(p << 12, (p << 12) + n, t) for p, n, t in holes]
    return replace(pc(memory), reserved=(LEGACY, *reserved))


@given(machine=machines())
def test_the_memory_map_is_the_plans(machine):
    placed = plan(machine)
    memory, told = PlanMemory(placed), placed.boot_info.memory_map
    assert bios.memory_map(memory) == told
    assert bios.rsdp(memory) == placed.boot_info.rsdp
    # The same by hand: 20 bytes each, ACPI 6.5 table 15.5.
    start = layout.BIOS.low + word(memory, layout.BIOS.low + 8)
    for number, range_ in enumerate(told):
        record = memory.read(start + 20 * number, 20)
        base, size, type_ = (int.from_bytes(record[a:b], "little") for a, b in FIELDS)
        assert (base, base + size, type_) == (range_.start, range_.end, range_.type)
    older_answers(memory, told)


FIELDS = ((0, 8), (8, 16), (16, 20))


def older_answers(memory, told):
    """INT 12h, 88h and E801h promise nothing that the memory map does not call RAM."""
    ram = [(r.start, r.end) for r in told if r.type == 1]
    header = layout.BIOS.low
    base = word(memory, 0x413) << 10
    below, above, extended = (word(memory, header + at) for at in (0x0E, 0x10, 0x12))
    promised = [(0, base), (MIB, MIB + (below << 10)), (MIB, MIB + (extended << 10))]
    if above:
        assert below == 15 << 10
        promised.append((16 * MIB, 16 * MIB + (above << 16)))
    for start, end in promised:
        assert start == end or any(low <= start and end <= high for low, high in ram)


def holes(number):
    """RAM with `number` reserved pages in it."""
    pages = (
        MemoryRange(p, p + 0x1000, 2) for p in range(2 * MIB, 2 * MIB + number * 0x4000, 0x4000)
    )
    return replace(pc(), reserved=(LEGACY, *pages))


def test_a_map_of_300_records():
    placed = plan(holes(147))
    assert len(placed.boot_info.memory_map) == 300
    assert bios.memory_map(PlanMemory(placed)) == placed.boot_info.memory_map


def test_a_map_that_is_too_long_is_refused():
    with pytest.raises(PlacementError, match=r"^BIOS: a memory map of \d+ records found, at most"):
        plan(holes(400))


@pytest.mark.parametrize("address", [0x20008, MIB])
def test_an_rsdp_that_nobody_would_find_is_refused(address):
    machine = pc()
    pieces = (*bios.pieces(machine, Ref("table")), Piece("table", b"RSD PTR ", at=address))
    with pytest.raises(PlacementError, match=f"^RSDP: {address:#x} found, a multiple of 0x10"):
        place(entry(*pieces), machine, BootInfo())


class Bytes:
    """Base memory that holds what it is given, and nothing above."""

    def __init__(self, data: dict[int, bytes]) -> None:
        self.data = bytearray(0xA0000)
        for at, part in data.items():
            self.data[at : at + len(part)] = part

    def read(self, address, size):
        if not 0 <= address <= address + size <= len(self.data):
            raise FormatError("no RAM", source="guest memory")
        return bytes(self.data[address : address + size])


words = st.integers(0, 0xFFFF).map(lambda value: value.to_bytes(2, "little"))


@given(vector=words, header=st.binary(max_size=12), ebda=words, magic=st.booleans())
def test_wild_memory_is_a_format_error_or_a_map(vector, header, ebda, magic):
    segment = int.from_bytes(vector, "little")
    code = (b"HVMLBIOS" if magic else b"") + header
    at = min(segment << 4, 0x9FFFF)
    memory = Bytes({at: code[: 0xA0000 - at], 0x40E: ebda, 0x56: vector})
    with suppress(FormatError):
        assert len(bios.memory_map(memory)) <= 410
    found = bios.rsdp(memory)
    assert found == 0 or memory.read(found, 8) == b"RSD PTR "


def test_a_record_that_wraps_is_a_format_error():
    header = b"HVMLBIOS" + bytes([0x14, 0, 0, 0, 1]) + bytes(7)
    start = (1 << 64) - 2
    for size in (2, 3):
        numbers = [start.to_bytes(8, "little"), size.to_bytes(8, "little"), b"\1\0\0\0"]
        memory = Bytes({0x90000: header + b"".join(numbers), 0x56: b"\0\x90"})
        if size == 2:
            assert bios.memory_map(memory) == (MemoryRange(start, 1 << 64),)
            continue
        with pytest.raises(FormatError, match=f"record 0 is 0x3 bytes at {start:#x}, an end"):
            bios.memory_map(memory)


@pytest.mark.parametrize("cut", [0, 0x100, 0x55, 0x400, 0x4FF])
def test_memory_that_ends_early(cut):
    memory = Bytes({})
    del memory.data[cut:]
    for read in (bios.memory_map, bios.rsdp):
        with pytest.raises(FormatError):
            read(memory)


def test_an_rsdp_at_any_place_of_the_ebda():
    for offset in range(0, 0x400, 16):
        assert (
            bios.rsdp(Bytes({0x40E: b"\0\x90", 0x90000 + offset: b"RSD PTR "})) == 0x90000 + offset
        )
    for offset in (8, 0x400):
        assert bios.rsdp(Bytes({0x40E: b"\0\x90", 0x90000 + offset: b"RSD PTR "})) == 0
