"""The zero page and what it points at, by the offsets that boot.rst and zero-page.rst print."""

from __future__ import annotations

import pytest

from hvmlite.errors import RequestError
from hvmlite.guest.memory import PlanMemory
from hvmlite.model import (
    BootInfo,
    Framebuffer,
    Kind,
    MemoryRange,
    MemoryType,
    Module,
    Origin,
    SetupNode,
)
from hvmlite.protocols import linux32, linux64
from makers.linux import MIB, PREF, bzimage, parse, vmlinux
from makers.pvh import HOLE, machine
from protocols.linux_plans import INITRD, lay_out, number

BOTH = pytest.mark.parametrize("protocol", [linux64, linux32], ids=lambda p: p.NAME)


def told(protocol=linux64, image=None, info=None, **options):
    made = lay_out(protocol, image, info, **options)
    memory = PlanMemory(made)
    return made, memory, memory.read(made.cpu.rsi, 4096)


@BOTH
def test_the_header_is_the_image_s_but_for_what_a_loader_writes(protocol):
    image = bzimage(root_flags=1, vid_mode=0xFFFF, loadflags=0xE3, ext_loader_ver=7)
    made, _, page = told(protocol, image)
    end = 0x202 + image.data[0x201]
    expected = bytearray(4096)
    expected[0x1F1:end] = image.data[0x1F1:end]
    expected[0x210] = 0xFF
    expected[0x211] = 0x21  # LOADED_HIGH and QUIET stay; KASLR, KEEP_SEGMENTS, CAN_USE_HEAP go
    for at, size, value in (
        (0x214, 4, PREF),
        (0x218, 4, made.address_of("initrd")),
        (0x21C, 4, 600),
        (0x226, 2, 0),
        (0x228, 4, made.address_of("command line")),
        (0x1E8, 1, len(made.boot_info.memory_map)),
    ):
        expected[at : at + size] = value.to_bytes(size, "little")
    for index, record in enumerate(made.boot_info.memory_map):
        at = 0x2D0 + 20 * index
        expected[at : at + 8] = record.start.to_bytes(8, "little")
        expected[at + 8 : at + 16] = record.size.to_bytes(8, "little")
        expected[at + 16 : at + 20] = int(record.type).to_bytes(4, "little")
    assert page == bytes(expected)


def test_a_header_longer_than_we_know_is_copied_as_it_is():
    image = bzimage()
    data = bytearray(image.data)
    data[0x201] = 0x290 - 0x202
    data[0x26C:0x290] = bytes(range(0x24))
    page = told(image=parse(bytes(data)))[2]
    assert page[0x26C:0x290] == bytes(range(0x24))


def test_what_lies_behind_a_shorter_header_is_not_copied():
    data = bytearray(bzimage(version=0x20A).data)
    data[0x201] = 0x264 - 0x202  # a header of 2.10
    data[0x264:0x290] = b"\xcc" * 0x2C  # code
    page = told(linux32, parse(bytes(data)))[2]
    assert not any(page[0x264:0x290])


def test_a_vmlinux_gets_a_header():
    made, _, page = told(image=parse(vmlinux()))
    assert page[0x1FE:0x200] == b"\x55\xaa"
    assert page[0x202:0x206] == b"HdrS"
    assert (number(page, 0x206, 2), page[0x210], page[0x211]) == (0x20C, 0xFF, 1)
    assert number(page, 0x230, 4) == 0x200000
    assert number(page, 0x218, 4) == made.address_of("initrd")
    assert number(page, 0x228, 4) == made.address_of("command line")


@BOTH
def test_the_command_line_has_the_room_that_the_kernel_copies(protocol):
    made, memory, page = told(protocol, info=BootInfo(b"quiet"))
    assert memory.read(number(page, 0x228, 4), 2048) == b"quiet".ljust(2048, b"\0")
    (piece,) = [piece for piece in made.pieces if piece.kind is Kind.COMMAND_LINE]
    assert piece.end - piece.start == 2048
    assert number(page, 0x0C8, 4) == 0


@pytest.mark.parametrize(
    ("version", "stated", "limit"),
    [(0x20F, 2047, 2047), (0x206, 4095, 4095), (0x205, 4095, 255), (0x20F, 0xFFFFFFFF, 0xFFFF)],
)
def test_a_command_line_beyond_the_limit_is_refused(version, stated, limit):
    image = bzimage(version=version, cmdline_size=stated)
    assert told(linux32, image, BootInfo(b"x" * limit))
    with pytest.raises(RequestError, match=f"at most {limit} needed"):
        told(linux32, image, BootInfo(b"x" * (limit + 1)))


def test_a_nul_in_the_command_line_is_refused():
    with pytest.raises(RequestError, match="NUL found at byte 1"):
        told(info=BootInfo(b"a\0b"))


# The initrd


def test_without_a_module_there_is_no_initrd():
    for modules in ((), (Module(b""),), (Module(b""), Module(b""))):
        made, _, page = told(info=BootInfo(modules=modules))
        assert not any(page[0x218:0x220])
        assert "initrd" not in {piece.name for piece in made.pieces}
    assert [each.field for each in made.dropped] == ["modules"]


@BOTH
def test_several_modules_are_one_each_at_a_multiple_of_4(protocol):
    modules = (Module(b"abc"), Module(b"defgh"), Module(b""), Module(b"i"))
    made, memory, page = told(protocol, info=BootInfo(modules=modules))
    size = number(page, 0x21C, 4)
    assert memory.read(number(page, 0x218, 4), size) == b"abc\0\0\0\0\0defgh\0\0\0\0\0\0\0i"
    assert made.dropped == ()


def test_one_module_is_not_copied():
    data = memoryview(bytes(5000))
    made, _, page = told(info=BootInfo(modules=(Module(data),)))
    (piece,) = [piece for piece in made.pieces if piece.name == "initrd"]
    assert piece.data is data
    assert number(page, 0x21C, 4) == 5000


def test_above_4_gib_both_halves_of_the_address_are_told():
    made, memory, page = told(memory=8 << 30)
    address = number(page, 0x218, 4) | number(page, 0x0C0, 4) << 32
    assert address == made.address_of("initrd") > 4 << 30
    assert memory.read(address, 6) == b"initrd"


# What cannot be said is listed


def test_what_the_zero_page_has_no_place_for_is_listed():
    info = BootInfo(
        modules=(Module(b"a", b"line"), Module(b"b"), Module(b"c", b"line")),
        origin=Origin("KVM"),
    )
    made, _, _ = told(info=info)
    assert [each.field for each in made.dropped] == [
        "origin", "modules[0].cmdline", "modules[2].cmdline"
    ]  # fmt: skip


def test_what_an_old_header_has_no_field_for_is_listed_and_not_written():
    info = BootInfo(setup_data=(SetupNode(9, b"seed"),), hardware_subarch=2)
    made, _, page = told(linux32, bzimage(version=0x206), info)
    assert [each.field for each in made.dropped] == ["hardware_subarch", "setup_data"]
    assert not any(page[0x23C:0x248])
    assert not any(page[0x250:0x258])


# setup_data


def chain(memory, page):
    found, at = [], number(page, 0x250, 8)
    while at:
        head = memory.read(at, 16)
        found.append((at, number(head, 8, 4), memory.read(at + 16, number(head, 12, 4))))
        at = number(head, 0, 8)
    return found


@BOTH
def test_setup_data_is_a_list_in_the_order_given(protocol):
    nodes = (SetupNode(9, b"seed" * 8), SetupNode(2, b""), SetupNode(0x7FFFFFFF, b"odd"))
    made, memory, page = told(protocol, info=BootInfo(setup_data=nodes))
    found = chain(memory, page)
    assert [(type_, data) for _, type_, data in found] == [(n.type, n.data) for n in nodes]
    for at, _, data in found:
        assert at % 8 == 0
        (home,) = [r for r in made.boot_info.memory_map if r.start <= at < r.end]
        assert home.type == MemoryType.RAM  # the kernel reserves it, and may write to it
        assert at + 16 + len(data) <= home.end


@pytest.mark.parametrize("type_", [1, 0x80000000, 0x80000001, 0x80000009])
def test_nodes_that_speak_of_other_memory_are_refused(type_):
    with pytest.raises(RequestError, match=f"setup_data 1: type {type_:#x} found"):
        told(info=BootInfo(setup_data=(SetupNode(9, b""), SetupNode(type_, bytes(24)))))


# The memory map


def cut_up(holes):
    reserved = [HOLE] + [
        MemoryRange(2 * MIB + 8192 * n, 2 * MIB + 8192 * n + 4096, 2) for n in range(holes)
    ]
    return machine(reserved=reserved)


@BOTH
@pytest.mark.parametrize("holes", [0, 1, 61, 62, 63, 64, 100, 1000])
def test_records_beyond_128_are_the_first_node_of_the_list(protocol, holes):
    node = SetupNode(9, b"seed")
    info = BootInfo(setup_data=(node,))
    made, memory, page = told(protocol, info=info, on=cut_up(holes))
    map_ = made.boot_info.memory_map
    assert len(map_) == 3 + 2 * holes
    table = page[0x2D0 : 0x2D0 + 20 * page[0x1E8]]
    nodes = [(type_, data) for _, type_, data in chain(memory, page)]
    assert page[0x1E8] == min(len(map_), 128)
    if nodes[0][0] == 1:
        table += nodes.pop(0)[1]
    assert nodes == [(9, b"seed")]
    records = [table[at : at + 20] for at in range(0, len(table), 20)]
    assert [
        MemoryRange(number(r, 0, 8), number(r, 0, 8) + number(r, 8, 8), number(r, 16, 4))
        for r in records
    ] == list(map_)


def test_before_2_09_there_is_no_continuation():
    assert told(linux32, bzimage(version=0x208), BootInfo(), on=cut_up(62))
    with pytest.raises(RequestError) as caught:
        told(linux32, bzimage(version=0x208), BootInfo(), on=cut_up(63))
    assert str(caught.value) == (
        "memory map: 129 records found, at most 128 needed: "
        "there is no continuation before protocol 2.09"
    )


def test_a_map_that_linux_would_not_believe_is_refused():
    with pytest.raises(RequestError, match="1 records found, at least 2 needed"):
        told(info=BootInfo(), on=machine(reserved=()))


# RSDP, screen, subarchitecture


def test_the_rsdp_and_the_subarchitecture():
    info = BootInfo(rsdp=0xE0010, hardware_subarch=4, hardware_subarch_data=0x1122334455667788)
    page = told(info=info)[2]
    assert number(page, 0x070, 8) == 0xE0010
    assert number(page, 0x23C, 4) == 4
    assert number(page, 0x240, 8) == 0x1122334455667788


@pytest.mark.parametrize("address", [0xFD000000, 0x38_FD00_0000])
def test_a_frame_buffer(address):
    screen = Framebuffer(address, 1024, 768, 4096, 32)
    page = told(info=BootInfo(framebuffer=screen))[2]
    assert page[0x0F] == 0x23  # orig_video_isVGA: VIDEO_TYPE_VLFB
    assert [number(page, at, 2) for at in (0x12, 0x14, 0x16, 0x24)] == [1024, 768, 32, 4096]
    assert number(page, 0x18, 4) == address & 0xFFFFFFFF
    assert number(page, 0x3A, 4) == address >> 32
    assert number(page, 0x36, 4) == (2 if address >> 32 else 0)
    assert number(page, 0x1C, 4) * 65536 == 4096 * 768
    assert list(page[0x26:0x2E]) == [8, 16, 8, 8, 8, 0, 8, 24]


def test_a_frame_buffer_too_large_for_its_fields_is_refused():
    with pytest.raises(RequestError, match="lfb_width"):
        told(info=BootInfo(framebuffer=Framebuffer(0xFD000000, 65536, 768, 4096)))


def test_without_a_frame_buffer_there_is_no_screen():
    assert not any(told()[2][:0x40])


def test_the_same_request_gives_the_same_memory_byte_for_byte():
    info = BootInfo(b"a", (INITRD, Module(b"c")), setup_data=(SetupNode(9, b"x"),))
    first, second = (lay_out(linux64, info=info) for _ in range(2))
    assert first.cpu == second.cpu
    assert [(p.name, p.start, bytes(p.data)) for p in first.pieces] == [
        (p.name, p.start, bytes(p.data)) for p in second.pieces
    ]
