"""PVH: decode undoes encode, and hostile memory gives FormatError and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hvmlite.errors import FormatError, LimitError
from hvmlite.guest.memory import FlatMemory, PlanMemory, fill
from hvmlite.guest.place import place
from hvmlite.model import BootInfo, CpuState, MemoryRange, MemoryType, Module
from hvmlite.protocols import pvh
from hvmlite.spec.pvh import HvmMemmapTableEntry, HvmModlistEntry, HvmStartInfo, HvmStartInfoV0
from makers.pvh import HOLE, MIB, kernel, machine, note, segment

PAGE = 0x1000
SMALL = kernel(note(MIB + 0x10), segments=(segment(MIB, 0x2000, b"\xf4" * 0x1000),))


def carried(protocol, info):
    # What the protocol states that it carries; of a module, its data and command line.
    values = {name: getattr(info, name) for name in protocol.carries}
    values["modules"] = tuple((bytes(m.data), m.cmdline) for m in info.modules)
    return values


# The law: decode(encode(x)) == x on the fields that are carried

lines = st.binary(max_size=300).map(lambda text: text.replace(b"\0", b" "))
modules = st.builds(Module, st.binary(max_size=5000), lines, st.sampled_from(["module", "initrd"]))
infos = st.builds(
    BootInfo,
    cmdline=lines,
    modules=st.lists(modules, max_size=64).map(tuple),
    rsdp=st.integers(0, (1 << 64) - 1),
)


@st.composite
def machines(draw):
    """RAM from 4 MiB to beyond 4 GiB, cut up by reserved ranges of every type."""
    memory = draw(st.integers(4, 8192)) * MIB
    reserved = [HOLE]
    for start in draw(st.lists(st.integers(0x300, memory // PAGE), max_size=40)):
        size = draw(st.integers(1, 64 * PAGE))
        type_ = draw(st.sampled_from([*MemoryType, 12, 0xFFFFFFFF]))
        reserved.append(MemoryRange(start * PAGE, start * PAGE + size, type_))
    return machine(memory, reserved=reserved)


@given(infos, machines())
@example(BootInfo(b"x" * 60_000, (Module(b""),) * 64), machine(8 << 30))
def test_decode_undoes_encode(info, on):
    made = place(pvh.encode(pvh.offers(SMALL), info, on, None), on, info)
    read = pvh.decode(PlanMemory(made), made.cpu)
    assert carried(pvh, read) == carried(pvh, made.boot_info)
    assert read.memory_map
    assert read.origin is None


@given(infos)
def test_version_0_carries_all_but_the_memory_map(info):
    on = machine(16 * MIB)
    made = place(pvh.encode(pvh.offers(SMALL), info, on, None, version=0), on, info)
    read = pvh.decode(PlanMemory(made), made.cpu)
    assert read.memory_map == ()
    assert (read.cmdline, read.rsdp) == (info.cmdline, info.rsdp)
    assert carried(pvh, read)["modules"] == carried(pvh, info)["modules"]


# Hand-made memory

BASE = 0x10000
RAM = 0x40000


class Ram:
    """RAM from BASE to RAM, written by hand."""

    def __init__(self):
        self.data = bytearray(RAM - BASE)

    def put(self, address, data):
        data = data if isinstance(data, bytes) else data.pack()
        at = address - BASE
        self.data[at : at + len(data)] = data
        return self

    def read(self, address, size):
        if not BASE <= address <= address + size <= RAM:
            raise FormatError(f"{size} bytes at {address:#x} are not all RAM", source="memory")
        return bytes(self.data[address - BASE : address - BASE + size])


def decode(ram, rbx=BASE):
    return pvh.decode(ram, CpuState(rbx=rbx))


def test_version_0_is_read_as_40_bytes_at_the_very_end_of_ram():
    at = RAM - HvmStartInfoV0.SIZE
    assert decode(Ram().put(at, HvmStartInfoV0(rsdp_paddr=5)), at) == BootInfo(rsdp=5)
    with pytest.raises(FormatError):
        decode(Ram().put(at, HvmStartInfoV0(version=1)), at)


def test_version_0_s_neighbours_are_no_memory_map():
    # Behind the 40 bytes of version 0 anything may lie.
    ram = Ram().put(BASE, HvmStartInfo(version=0, memmap_paddr=BASE, memmap_entries=3))
    assert decode(ram).memory_map == ()


@pytest.mark.parametrize("version", [2, 0xFFFFFFFF])
def test_later_versions_are_read_as_version_1(version):
    ram = Ram().put(BASE, HvmStartInfo(version=version, memmap_paddr=0x20000, memmap_entries=1))
    ram.put(0x20000, HvmMemmapTableEntry(addr=1, size=2, type=3))
    assert decode(ram).memory_map == (MemoryRange(1, 3, MemoryType.ACPI),)


def test_ebx_is_32_bits_wide():
    assert decode(Ram().put(BASE, HvmStartInfo()), BASE | 1 << 32) == BootInfo()


def test_unknown_types_and_the_end_of_the_address_space_are_kept():
    ram = Ram().put(BASE, HvmStartInfo(memmap_paddr=0x20000, memmap_entries=2))
    ram.put(0x20000, HvmMemmapTableEntry(addr=(1 << 64) - 1, size=1, type=99))
    ram.put(0x20018, HvmMemmapTableEntry(addr=5, size=0, type=1))
    first, second = decode(ram).memory_map
    assert (first.end, first.type) == (1 << 64, 99)
    assert second == MemoryRange(5, 5)


def test_a_string_may_end_at_the_last_byte_of_ram_and_not_later():
    ram = Ram().put(BASE, HvmStartInfo(cmdline_paddr=RAM - 3)).put(RAM - 3, b"ab\0")
    assert decode(ram).cmdline == b"ab"
    with pytest.raises(FormatError):
        decode(ram.put(RAM - 1, b"c"))


def test_a_string_at_the_end_of_ram_that_ends_within_a_page(monkeypatch):
    monkeypatch.setitem(globals(), "RAM", RAM - 0x7F0)
    ram = Ram().put(BASE, HvmStartInfo(cmdline_paddr=RAM - 3)).put(RAM - 3, b"ab\0")
    assert decode(ram).cmdline == b"ab"


HUGE = (1 << 64) - 1


@pytest.mark.parametrize(
    ("start", "more", "message"),
    [
        ({"magic": 0x2BADB002}, {}, "start info at 0x10000: magic 0x2badb002, 0x336ec578 needed"),
        ({"cmdline_paddr": HUGE}, {}, ""),
        ({"cmdline_paddr": 1}, {}, ""),
        ({"cmdline_paddr": RAM}, {}, ""),
        ({"nr_modules": 1}, {}, "module list: 1 records at address 0, which means absent"),
        ({"nr_modules": 1, "modlist_paddr": HUGE}, {}, "an end within 64 bits is needed"),
        ({"nr_modules": 1, "modlist_paddr": RAM - 31}, {}, ""),
        ({"nr_modules": 1, "modlist_paddr": 1 << 40}, {}, ""),
        ({"memmap_entries": 1}, {}, "memory map: 1 records at address 0"),
        ({"memmap_entries": 1, "memmap_paddr": HUGE - 23}, {}, ""),
        ({"memmap_entries": 2, "memmap_paddr": RAM - 47}, {}, ""),
        (
            {"memmap_entries": 1, "memmap_paddr": 0x20000},
            {0x20000: HvmMemmapTableEntry(addr=HUGE, size=2)},
            "memory map: record 0 is 0x2 bytes at 0xffffffffffffffff",
        ),
        (
            {"nr_modules": 1, "modlist_paddr": 0x20000},
            {0x20000: HvmModlistEntry(paddr=HUGE, size=2)},
            "module 0: 0x2 bytes at 0xffffffffffffffff, an end within 64 bits is needed",
        ),
        (
            {"nr_modules": 1, "modlist_paddr": 0x20000},
            {0x20000: HvmModlistEntry(paddr=RAM - 1, size=2)},
            "",
        ),
        (
            {"nr_modules": 1, "modlist_paddr": 0x20000},
            {0x20000: HvmModlistEntry(cmdline_paddr=RAM)},
            "",
        ),
    ],
)
def test_what_points_nowhere_is_a_format_error(start, more, message):
    ram = Ram().put(BASE, HvmStartInfo(**start))
    for address, value in more.items():
        ram.put(address, value)
    with pytest.raises(FormatError) as caught:
        decode(ram)
    assert message in str(caught.value)
    assert type(caught.value) is FormatError


@pytest.mark.parametrize("rbx", [0, RAM, RAM - 39, 0xFFFFFFFF])
def test_a_start_info_outside_ram_is_a_format_error(rbx):
    with pytest.raises(FormatError) as caught:
        decode(Ram(), rbx)
    assert f"while reading the start info at {rbx:#x}" in caught.value.__notes__


@pytest.mark.parametrize(
    ("start", "limit"),
    [
        ({"nr_modules": 0xFFFFFFFF, "modlist_paddr": BASE}, "module list records"),
        ({"nr_modules": 4097, "modlist_paddr": BASE}, "module list records"),
        ({"memmap_entries": 0xFFFFFFFF, "memmap_paddr": BASE}, "memory map records"),
        ({"nr_modules": 1, "modlist_paddr": 0x20000}, "module bytes"),
        ({"cmdline_paddr": 0x21000}, "string bytes"),
    ],
)
def test_budgets_name_themselves(start, limit):
    ram = Ram().put(BASE, HvmStartInfo(**start)).put(0x21000, b"x" * 0x1E000)
    ram.put(0x20000, HvmModlistEntry(paddr=BASE, size=(2 << 30) + 1))
    with pytest.raises(LimitError) as caught:
        decode(ram)
    assert caught.value.limit == limit


def test_one_long_string_cannot_be_read_once_for_each_module():
    # 60,000 bytes times 1,000 modules would be 60 MB from a page of records.
    ram = Ram().put(BASE, HvmStartInfo(nr_modules=1000, modlist_paddr=0x11000))
    ram.put(0x11000, HvmModlistEntry(cmdline_paddr=0x20000).pack() * 1000)
    ram.put(0x20000, b"x" * 60_000 + b"\0")
    with pytest.raises(LimitError):
        decode(ram)


def test_one_large_module_cannot_be_read_a_thousand_times():
    ram = Ram().put(BASE, HvmStartInfo(nr_modules=4096, modlist_paddr=0x11000))
    ram.put(0x11000, HvmModlistEntry(paddr=BASE, size=1 << 20).pack() * 4096)
    with pytest.raises(LimitError):
        decode(ram)


# Hostile memory

ON = machine(2 * MIB)
INFO = BootInfo(b"console=ttyS0", (Module(b"initrd" * 100, b"one"), Module(b"two")), rsdp=0xE0000)
MADE = place(pvh.encode(pvh.offers(SMALL), INFO, ON, None), ON, INFO)
GOOD = bytearray(ON.memory)
fill(MADE, GOOD)
TABLES = [MADE.address_of(name) for name in ("start info", "module list", "memory map")]


@given(
    st.lists(
        st.tuples(st.sampled_from(TABLES), st.integers(0, 79), st.integers(0, 255)), min_size=1
    )
)
def test_changed_tables_give_boot_info_or_format_error(changes):
    before = {table + offset: GOOD[table + offset] for table, offset, _ in changes}
    for table, offset, value in changes:
        GOOD[table + offset] = value
    try:
        assert isinstance(pvh.decode(FlatMemory(GOOD, ON), MADE.cpu), BootInfo)
    except FormatError:
        pass
    finally:
        for address, value in before.items():
            GOOD[address] = value


addresses = st.one_of(
    st.integers(0, HUGE), st.sampled_from([0, BASE, RAM - 1, RAM, HUGE]), st.integers(BASE, RAM)
)
counts = st.one_of(st.integers(0, 5), st.integers(0, 0xFFFFFFFF))
starts = st.builds(
    HvmStartInfo,
    version=st.integers(0, 3),
    nr_modules=counts,
    modlist_paddr=addresses,
    cmdline_paddr=addresses,
    memmap_paddr=addresses,
    memmap_entries=counts,
)
records = st.builds(HvmModlistEntry, paddr=addresses, size=addresses, cmdline_paddr=addresses)


@given(starts, st.lists(records, max_size=5), st.binary(max_size=500), addresses)
def test_arbitrary_tables_give_boot_info_or_format_error(start, table, noise, rbx):
    at = BASE + 0x1000
    start = start.replace(modlist_paddr=at) if table else start
    ram = Ram().put(0x20000, noise).put(BASE, start)
    ram.put(at, b"".join(record.pack() for record in table))
    for register in (BASE, rbx):
        try:
            decode(ram, register)
        except FormatError:
            continue


def test_the_start_info_cut_off_at_every_byte():
    for size in range(HvmStartInfo.SIZE):
        at = RAM - size
        with pytest.raises(FormatError):
            decode(Ram().put(at, HvmStartInfo().pack()[:size]), at)
