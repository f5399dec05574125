"""Multiboot 1: what is read back, and hostile memory gives FormatError and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmlite.errors import FormatError, LimitError
from hvmlite.guest.memory import FlatMemory, fill
from hvmlite.model import BootInfo, CpuState, MemoryRange, Module
from hvmlite.protocols import multiboot1
from hvmlite.spec.multiboot1 import (
    InfoFlag,
    MultibootInfo,
    MultibootMmapEntry,
    MultibootModList,
)
from makers.multiboot import elf, header1, machine, symbols
from protocols.multiboot_plans import plan

BASE, RAM = 0x10000, 0x40000
MAGIC = 0x2BADB002


class Ram:
    """RAM from BASE to RAM, written by hand."""

    def __init__(self):
        self.data = bytearray(RAM - BASE)

    def put(self, address, data):
        data = data if isinstance(data, bytes) else data.pack()
        self.data[address - BASE : address - BASE + len(data)] = data
        return self

    def read(self, address, size):
        if not BASE <= address <= address + size <= RAM:
            raise FormatError(f"{size} bytes at {address:#x} are not all RAM", source="memory")
        return bytes(self.data[address - BASE : address - BASE + size])


def decode(ram, rbx=BASE, rax=MAGIC):
    return multiboot1.decode(ram, CpuState(rbx=rbx, rax=rax))


def test_only_what_a_flag_announces_is_read():
    wild = {name: 0xFF for name in MultibootInfo.FIELDS if name != "flags"}
    assert decode(Ram().put(BASE, MultibootInfo(**wild))) == BootInfo()
    flags = InfoFlag.MODS | InfoFlag.MEM_MAP
    assert decode(Ram().put(BASE, MultibootInfo(flags=flags, mods_addr=1, mmap_addr=1))) == (
        BootInfo()
    )


def test_registers_are_32_bits_wide():
    assert decode(Ram().put(BASE, MultibootInfo()), BASE | 1 << 32, MAGIC | 5 << 32) == BootInfo()


@pytest.mark.parametrize("size", [20, 24, 100])
def test_records_of_the_map_say_their_size(size):
    ram = Ram().put(BASE, MultibootInfo(flags=0x40, mmap_addr=0x20000, mmap_length=2 * (size + 4)))
    ram.put(0x20000, MultibootMmapEntry(size=size, addr=1, len=2, type=1))
    ram.put(0x20004 + size, MultibootMmapEntry(size=size, addr=5, len=0, type=99))
    assert decode(ram).memory_map == (MemoryRange(1, 3, 1), MemoryRange(5, 5, 99))


def test_a_string_of_address_0_is_absent():
    ram = Ram().put(BASE, MultibootInfo(flags=0x8, mods_count=1, mods_addr=0x20000))
    ram.put(0x20000, MultibootModList(mod_start=BASE, mod_end=BASE + 4))
    assert decode(ram).modules == (Module(MultibootInfo(flags=8).pack()[:4], b""),)


@pytest.mark.parametrize("kind", [0, 2, 3])
def test_other_frame_buffers_are_left_out(kind):
    info = MultibootInfo(flags=0x1000, framebuffer_type=kind, framebuffer_addr=0xB8000)
    assert decode(Ram().put(BASE, info)).framebuffer is None


@pytest.mark.parametrize(
    ("fields", "more", "message"),
    [
        ({"flags": 4, "cmdline": RAM}, {}, ""),
        ({"flags": 4, "cmdline": 1}, {}, ""),
        ({"flags": 0x200, "boot_loader_name": RAM - 1}, {RAM - 1: b"x"}, ""),
        ({"flags": 8, "mods_count": 1, "mods_addr": RAM - 15}, {}, ""),
        ({"flags": 8, "mods_count": 1}, {}, ""),
        ({"flags": 0x40, "mmap_addr": RAM - 23, "mmap_length": 24}, {}, ""),
        ({"flags": 0x40, "mmap_addr": 0xFFFFFFFF, "mmap_length": 24}, {}, ""),
        ({"flags": 0x40, "mmap_addr": BASE, "mmap_length": 20}, {}, "needs 24 bytes, 20 are left"),
        (
            {"flags": 0x40, "mmap_addr": 0x20000, "mmap_length": 24},
            {0x20000: MultibootMmapEntry(size=19)},
            "memory map+0x0: a record of 19 bytes, 20 or more needed",
        ),
        (
            {"flags": 0x40, "mmap_addr": 0x20000, "mmap_length": 24},
            {0x20000: MultibootMmapEntry(size=0)},
            "a record of 0 bytes",
        ),
        (
            {"flags": 0x40, "mmap_addr": 0x20000, "mmap_length": 24},
            {0x20000: MultibootMmapEntry(addr=(1 << 64) - 1, len=2)},
            "memory map: record 0 is 0x2 bytes at 0xffffffffffffffff",
        ),
        (
            {"flags": 8, "mods_count": 1, "mods_addr": 0x20000},
            {0x20000: MultibootModList(mod_start=5, mod_end=4)},
            "module 0: from 0x5 to 0x4, an end at or above its start needed",
        ),
        (
            {"flags": 8, "mods_count": 1, "mods_addr": 0x20000},
            {0x20000: MultibootModList(mod_start=RAM - 1, mod_end=RAM + 1)},
            "",
        ),
    ],
)
def test_what_points_nowhere_is_a_format_error(fields, more, message):
    ram = Ram().put(BASE, MultibootInfo(**fields))
    for address, value in more.items():
        ram.put(address, value)
    with pytest.raises(FormatError) as caught:
        decode(ram)
    assert message in str(caught.value)
    assert type(caught.value) is FormatError


def test_another_loader_s_magic_is_refused():
    with pytest.raises(FormatError, match="EAX: 0x36d76289, the loader's magic 0x2badb002 needed"):
        decode(Ram(), rax=0x36D76289)


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"flags": 8, "mods_count": 0xFFFFFFFF, "mods_addr": BASE}, "module list records"),
        ({"flags": 0x40, "mmap_length": 0xFFFFFFFF, "mmap_addr": BASE}, "memory map records"),
        ({"flags": 8, "mods_count": 2, "mods_addr": 0x20000}, "module bytes"),
        ({"flags": 4, "cmdline": 0x21000}, "string bytes"),
    ],
)
def test_budgets_name_themselves(fields, limit):
    ram = Ram().put(BASE, MultibootInfo(**fields)).put(0x21000, b"x" * 0x1E000)
    ram.put(0x20000, MultibootModList(mod_end=0x50000000).pack() * 2)
    with pytest.raises(LimitError) as caught:
        decode(ram)
    assert caught.value.limit == limit


def test_the_information_cut_off_at_every_byte():
    for size in range(MultibootInfo.SIZE):
        with pytest.raises(FormatError):
            decode(Ram(), RAM - size)


ON = machine(4 << 20)
INFO = BootInfo(b"quiet", (Module(b"initrd" * 100, b"one"), Module(b"two")))
MADE, _ = plan(multiboot1, elf(header1(), sections=symbols()), INFO, ON)
GOOD = bytearray(ON.memory)
fill(MADE, GOOD)
TABLES = [MADE.address_of(n) for n in ("multiboot information", "module list", "memory map")]


def test_the_unchanged_tables_are_read():
    assert multiboot1.decode(FlatMemory(GOOD, ON), MADE.cpu).cmdline == b"quiet"


@given(
    st.lists(
        st.tuples(st.sampled_from(TABLES), st.integers(0, 119), st.integers(0, 255)), min_size=1
    )
)
def test_changed_tables_give_boot_info_or_format_error(changes):
    before = {table + offset: GOOD[table + offset] for table, offset, _ in changes}
    for table, offset, value in changes:
        GOOD[table + offset] = value
    try:
        assert isinstance(multiboot1.decode(FlatMemory(GOOD, ON), MADE.cpu), BootInfo)
    except FormatError:
        pass
    finally:
        for address, value in before.items():
            GOOD[address] = value


@given(st.binary(max_size=400), st.integers(0, 0xFFFFFFFF), st.binary(max_size=400))
def test_arbitrary_memory_gives_boot_info_or_format_error(start, rbx, noise):
    ram = Ram().put(BASE, start).put(0x20000, noise)
    for register in (BASE, rbx):
        try:
            assert isinstance(decode(ram, register), BootInfo)
        except FormatError:
            continue
