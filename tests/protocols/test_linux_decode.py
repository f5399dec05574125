"""Linux: decode undoes encode, all doors tell the same, and hostile memory is a FormatError."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvmlite.errors import FormatError, LimitError
from hvmlite.guest.memory import FlatMemory, PlanMemory, fill
from hvmlite.guest.place import place
from hvmlite.model import (
    BootInfo,
    CpuState,
    Framebuffer,
    MemoryRange,
    MemoryType,
    Module,
    SetupNode,
)
from hvmlite.protocols import linux32, linux64, pvh
from hvmlite.spec.linux import (
    BootE820Entry,
    BootParams,
    SetupData,
    SetupHeader,
    SetupIndirect,
    SetupType,
)
from makers.linux import bzimage
from makers.pvh import HOLE, machine
from protocols.linux_plans import lay_out, number

MIB, PAGE = 1 << 20, 0x1000
PROTOCOLS = (linux64, linux32)
IMAGE = bzimage()
IMAGE.payload.image  # unpacked once, for PVH  # noqa: B018

# The law: decode(encode(x)) == x on the fields that are carried

lines = st.binary(max_size=300).map(lambda text: text.replace(b"\0", b" "))
shorts = st.integers(0, 0xFFFF)
colours = st.tuples(st.integers(0, 255), st.integers(0, 255))
screens = st.builds(
    Framebuffer,
    address=st.integers(0, (1 << 64) - 1),
    width=shorts,
    height=shorts,
    pitch=shorts,
    depth=shorts,
    red=colours,
    green=colours,
    blue=colours,
    reserved=colours,
)
plain_types = st.integers(0, 0x7FFFFFFF).filter(lambda type_: type_ != SetupType.SETUP_E820_EXT)
infos = st.builds(
    BootInfo,
    cmdline=lines,
    modules=st.lists(st.builds(Module, st.binary(max_size=5000), lines), max_size=5).map(tuple),
    rsdp=st.integers(0, (1 << 64) - 1),
    framebuffer=st.none() | screens,
    setup_data=st.lists(st.builds(SetupNode, plain_types, st.binary(max_size=99))).map(tuple),
    hardware_subarch=st.integers(0, (1 << 32) - 1),
    hardware_subarch_data=st.integers(0, (1 << 64) - 1),
)


@st.composite
def machines(draw):
    """RAM from 256 MiB to beyond 4 GiB, cut up by up to 300 reserved ranges of every type."""
    memory = draw(st.integers(256, 8192)) * MIB
    reserved = [HOLE]
    for start in draw(st.lists(st.integers(0x5000, memory // PAGE), max_size=20)):
        size = draw(st.integers(1, 64 * PAGE))
        type_ = draw(st.sampled_from([*MemoryType, 12, 0xFFFFFFFF]))
        reserved.append(MemoryRange(start * PAGE, start * PAGE + size, type_))
    for number_ in range(draw(st.sampled_from([0, 0, 50, 280]))):
        at = MIB + number_ * 2 * PAGE
        reserved.append(MemoryRange(at, at + PAGE, MemoryType.RESERVED))
    return machine(memory, reserved=reserved)


def joined(modules):
    """The one initrd that Linux sees: an independent reading of buffer-format.rst."""
    data = b""
    for module in modules:
        if data and module.data:
            data += b"\0\0\0\0"  # where LZ4 ends
        while len(data) % 4 and module.data:
            data += b"\0"
        data += bytes(module.data)
    return (data,) if data else ()


def carried(protocol, info):
    values = {name: getattr(info, name) for name in protocol.carries}
    values["modules"] = joined(info.modules)
    return values


@settings(max_examples=settings().max_examples // 2)
@given(infos, machines())
def test_decode_undoes_encode_through_every_door(info, on):
    for protocol in PROTOCOLS:
        made = lay_out(protocol, IMAGE, info, on=on)
        read = protocol.decode(PlanMemory(made), made.cpu)
        assert carried(protocol, read) == carried(protocol, made.boot_info)
        assert len(read.modules) <= 1
        assert read.memory_map == made.boot_info.memory_map


@settings(max_examples=settings().max_examples // 4)
@given(
    st.builds(
        BootInfo,
        cmdline=lines,
        modules=st.lists(st.builds(Module, st.binary(min_size=1, max_size=99)), max_size=1).map(
            tuple
        ),
        rsdp=st.integers(0, (1 << 64) - 1),
    ),
    st.integers(32, 8192).map(lambda mib: machine(mib * MIB)),
)
def test_the_same_through_any_door(info, on):
    told = []
    for protocol in (pvh, *PROTOCOLS):
        made = place(protocol.encode(protocol.offers(IMAGE), info, on, None), on, info)
        read = protocol.decode(PlanMemory(made), made.cpu)
        told.append(
            (
                read.cmdline,
                tuple(bytes(m.data) for m in read.modules),
                read.memory_map,
                read.rsdp,
            )
        )
    assert told[0] == told[1] == told[2]


# Hand-made memory

BASE, RAM = 0x10000, 0x60000


class Ram:
    """RAM from BASE to RAM, written by hand."""

    def __init__(self, page=None, **header):
        self.data = bytearray(RAM - BASE)
        fields = {"header": 0x53726448, "version": 0x20F, "type_of_loader": 0xFF}
        self.put(BASE, BootParams(hdr=SetupHeader(**{**fields, **header}), **(page or {})))

    def put(self, address, data):
        data = data if isinstance(data, bytes) else data.pack()
        self.data[address - BASE : address - BASE + len(data)] = data
        return self

    def read(self, address, size):
        if not BASE <= address <= address + size <= RAM:
            raise FormatError(f"{size} bytes at {address:#x} are not all RAM", source="memory")
        return bytes(self.data[address - BASE : address - BASE + size])


def decode(ram, rsi=BASE, protocol=linux64):
    return protocol.decode(ram, CpuState(rsi=rsi))


def test_an_empty_page():
    assert decode(Ram()) == BootInfo()


def test_esi_is_32_bits_wide_and_rsi_64():
    assert decode(Ram(), BASE | 1 << 32, linux32) == BootInfo()
    with pytest.raises(FormatError):
        decode(Ram(), BASE | 1 << 32)


def test_with_a_sentinel_linux_clears_what_it_does_not_trust():
    page = {"acpi_rsdp_addr": 5, "ext_cmd_line_ptr": 1, "ext_ramdisk_image": 1}
    header = {"cmd_line_ptr": 0x20000, "ramdisk_image": 0x21000, "ramdisk_size": 3}
    with pytest.raises(FormatError):
        decode(Ram(page, **header))
    ram = Ram({**page, "sentinel": 0xFF}, **header)
    ram.put(0x20000, b"quiet\0").put(0x21000, b"abc")
    assert decode(ram) == BootInfo(b"quiet", (Module(b"abc"),))


def test_a_loader_of_type_0_has_no_initrd():
    header = {"ramdisk_image": 0x21000, "ramdisk_size": 3}
    assert decode(Ram(**header)).modules == (Module(bytes(3)),)
    assert decode(Ram(**header, type_of_loader=0)).modules == ()


def test_fields_that_the_version_does_not_have_are_not_read():
    header = {"hardware_subarch": 1, "hardware_subarch_data": 2, "setup_data": 1}
    assert decode(Ram(**header, version=0x206)) == BootInfo()
    assert decode(Ram(**{**header, "setup_data": 0}, version=0x207)).hardware_subarch == 1
    with pytest.raises(FormatError):
        decode(Ram(**header, version=0))  # what Firecracker writes: all fields count


def node(ram, at, next_, type_, data):
    return ram.put(at, SetupData(next=next_, type=type_, len=len(data)).pack() + data)


def test_an_indirect_node_is_the_node_that_it_points_at():
    ram = Ram(setup_data=0x20000).put(0x30000, b"seed")
    indirect = SetupIndirect(type=0x80000009, len=4, addr=0x30000)
    node(ram, 0x20000, 0, 0x80000000, indirect.pack())
    assert decode(ram).setup_data == (SetupNode(9, b"seed"),)


def test_a_memory_map_behind_an_indirect_node_is_none():
    record = BootE820Entry(addr=0, size=0x1000, type=1).pack()
    ram = Ram(setup_data=0x20000).put(0x30000, record)
    indirect = SetupIndirect(type=0x80000001, len=20, addr=0x30000)
    node(ram, 0x20000, 0x20100, 0x80000000, indirect.pack())
    node(ram, 0x20100, 0, 1, record + b"rest")
    assert decode(ram).memory_map == (MemoryRange(0, 0x1000, MemoryType.RAM),)
    assert decode(ram).setup_data == (SetupNode(1, record),)


@pytest.mark.parametrize("type_", [0x80000000, 0x00000009, 0])
def test_an_indirect_node_of_no_type_is_a_format_error(type_):
    ram = Ram(setup_data=0x20000)
    node(ram, 0x20000, 0, 0x80000000, SetupIndirect(type=type_, len=4, addr=0x30000).pack())
    with pytest.raises(FormatError, match="an indirect type of another node needed"):
        decode(ram)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_list_without_end_is_a_format_error(length):
    ram = Ram(setup_data=0x20000)
    for number_ in range(length):
        node(ram, 0x20000 + 32 * number_, 0x20000 + 32 * ((number_ + 1) % length), 9, b"x")
    with pytest.raises(FormatError, match="a node of this list again"):
        decode(ram)


HUGE = (1 << 64) - 1


@pytest.mark.parametrize(
    ("page", "header", "message"),
    [
        ({}, {"header": 0}, "zero page at 0x10000: magic 0x0, 0x53726448 (HdrS) needed"),
        ({}, {"cmd_line_ptr": RAM}, ""),
        ({}, {"cmd_line_ptr": 1}, ""),
        ({"ext_cmd_line_ptr": 0xFFFFFFFF}, {"cmd_line_ptr": 0xFFFFFFFF}, ""),
        ({}, {"ramdisk_image": RAM - 1, "ramdisk_size": 2}, ""),
        ({"ext_ramdisk_image": 0xFFFFFFFF}, {"ramdisk_image": 0xFFFFFFFF, "ramdisk_size": 2},
         "an end within 64 bits is needed"),
        ({"e820_entries": 129}, {}, "memory map: 129 records, at most 128 fit the page"),
        ({"e820_entries": 255}, {}, "memory map: 255 records"),
        ({"e820_entries": 1, "e820_table": (BootE820Entry(addr=HUGE, size=2),)}, {},
         "memory map: record 0 is 0x2 bytes at 0xffffffffffffffff"),
        ({}, {"setup_data": HUGE}, ""),
        ({}, {"setup_data": RAM - 15}, ""),
        ({}, {"setup_data": 1}, ""),
    ],
)  # fmt: skip
def test_what_points_nowhere_is_a_format_error(page, header, message):
    for protocol in PROTOCOLS:
        with pytest.raises(FormatError) as caught:
            decode(Ram(page, **header), BASE, protocol)
        assert message in str(caught.value)
        assert type(caught.value) is FormatError


@pytest.mark.parametrize(
    ("length", "inside"),
    [((16 << 20) + 1, None), (0xFFFFFFFF, None), (24, (16 << 20) + 1), (24, HUGE)],
)
def test_budgets_bound_what_nodes_point_at(length, inside):
    ram = Ram(setup_data=0x20000)
    ram.put(0x20000, SetupData(type=1 << 31, len=length))
    if inside:
        ram.put(0x20010, SetupIndirect(type=0x80000009, len=inside, addr=0x30000))
    with pytest.raises(LimitError) as caught:
        decode(ram)
    assert caught.value.limit == "setup_data bytes"


def test_a_huge_initrd_is_not_read():
    with pytest.raises(LimitError):
        decode(Ram({"ext_ramdisk_size": 1}, ramdisk_image=BASE, ramdisk_size=0))


def test_a_list_of_more_nodes_than_anybody_needs():
    ram = Ram(setup_data=0x20000)
    for number_ in range(5000):
        ram.put(0x20000 + 16 * number_, SetupData(next=0x20010 + 16 * number_))
    with pytest.raises(LimitError, match="4097 records"):
        decode(ram)


def test_continuations_cannot_make_the_map_larger_than_the_budget():
    ram = Ram(setup_data=0x20000)
    for number_ in range(4):
        at = 0x20000 + number_ * 0x8000
        node(ram, at, at + 0x8000, 1, BootE820Entry(type=1).pack() * 1600)
    with pytest.raises(LimitError, match="at most 4096"):
        decode(ram)


# Hostile memory

INFO = BootInfo(
    b"console=ttyS0",
    (Module(b"initrd" * 100),),
    setup_data=(SetupNode(9, b"seed"), SetupNode(2, b"dtb")),
)
HOLES = [MemoryRange(MIB + 2 * PAGE * n, MIB + 2 * PAGE * n + PAGE, 2) for n in range(100)]
ON = machine(32 * MIB, reserved=[HOLE, *HOLES])
MADE = lay_out(linux64, IMAGE, INFO, on=ON)
GOOD = bytearray(ON.memory)
fill(MADE, GOOD)
PLACES = [MADE.cpu.rsi] * 3 + [
    MADE.address_of(name) for name in ("setup_data 0", "setup_data 1", "memory map")
]
HEADER = st.integers(0x1F0, 0x26C)
offsets = st.one_of(HEADER, st.integers(0, 4095), st.integers(0, 40))


@given(
    st.lists(
        st.tuples(st.sampled_from(PLACES), offsets, st.integers(0, 255)), min_size=1, max_size=9
    )
)
def test_changed_tables_give_boot_info_or_format_error(changes):
    before = {place_ + offset: GOOD[place_ + offset] for place_, offset, _ in changes}
    for place_, offset, value in changes:
        GOOD[place_ + offset] = value
    try:
        for protocol in PROTOCOLS:
            assert isinstance(protocol.decode(FlatMemory(GOOD, ON), MADE.cpu), BootInfo)
    except FormatError:
        pass
    finally:
        for address, value in before.items():
            GOOD[address] = value


addresses = st.one_of(
    st.integers(0, HUGE), st.sampled_from([0, BASE, RAM - 1, RAM, HUGE]), st.integers(BASE, RAM)
)
words = addresses.map(lambda value: value & 0xFFFFFFFF)
headers = st.fixed_dictionaries(
    {
        "version": st.integers(0x1FF, 0x210),
        "cmd_line_ptr": words,
        "ramdisk_image": words,
        "ramdisk_size": words,
        "setup_data": addresses,
    }
)
nodes = st.tuples(
    st.sampled_from([0x20000, 0x20040, 0x20080]),
    addresses,
    st.sampled_from([0, 1, 9, 0x80000000, 0x80000001]),
    st.binary(max_size=48),
)


@given(headers, st.lists(nodes, max_size=4), addresses)
def test_arbitrary_lists_give_boot_info_or_format_error(header, listed, rsi):
    ram = Ram(**header)
    for at, next_, type_, data in listed:
        node(ram, at, next_, type_, data)
    for register in (BASE, rsi):
        try:
            decode(ram, register)
        except FormatError:
            continue


def test_the_page_cut_off_at_its_end():
    for size in (0, 1, 0x1F1, 0x26C, 4095):
        with pytest.raises(FormatError, match="not all RAM") as caught:
            decode(Ram(), RAM - size)
        assert f"while reading the zero page at {RAM - size:#x}" in caught.value.__notes__


def test_the_machine_of_these_tests_has_a_continuation():
    assert number(GOOD, MADE.cpu.rsi + 0x1E8, 1) == 128
    assert len(MADE.boot_info.memory_map) > 128
