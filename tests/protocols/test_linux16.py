"""linux16: the setup code's segment, what is written into its header, and the BIOS behind it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvmlite.errors import FormatError, RequestError
from hvmlite.guest import acpi, bios
from hvmlite.guest.memory import FlatMemory, PlanMemory, fill
from hvmlite.guest.place import place
from hvmlite.model import (
    BootInfo,
    CpuState,
    Framebuffer,
    Kind,
    MemoryRange,
    MemoryType,
    Mode,
    Module,
    Offer,
    Ref,
    Refusal,
    SetupNode,
)
from hvmlite.protocols import linux16
from makers.linux import MIB, PREF, bzimage, parse, vmlinux
from makers.pvh import HOLE, kernel, machine
from protocols.linux_plans import INITRD, number

INFO = BootInfo(b"console=ttyS0", (INITRD,))


def offer(image) -> Offer:
    found = linux16.offers(image)
    assert isinstance(found, Offer), found
    return found


def reasons(image) -> str:
    found = linux16.offers(image)
    assert isinstance(found, Refusal), found
    assert found.protocol == "linux16"
    return "; ".join(map(str, found.reasons))


def plan(image=None, info=INFO, on=None):
    """With the ACPI tables, as boot.py adds them."""
    on = on or machine()
    entry = linux16.encode(offer(image or bzimage()), info, on, Ref(acpi.RSDP))
    made = place(replace(entry, pieces=(*entry.pieces, *acpi.tables(on))), on, info)
    return made, PlanMemory(made)


def test_a_bzimage_is_entered_behind_its_boot_sector():
    found = offer(bzimage())
    assert (found.protocol, found.nested) == ("linux16", False)
    assert found.entry == 0x10200
    assert found.needs == PREF + 0x400000
    assert found.relocation.lowest == PREF


@pytest.mark.parametrize("header", [{"version": 0x201}, {"version": 0x204, "loadflags": 0}])
def test_old_and_low_kernels_keep_their_setup_code_at_0x90000(header):
    assert offer(bzimage(**header)).entry == 0x90200


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (parse(vmlinux()), "image format: elf, a bzImage or zImage needed: an ELF has no real-mod"),
        (kernel(segments=(), format_="pe"), "image format: pe, a bzImage, or the ELF of a Linux"),
        (bzimage(loadflags=0, code=0x90000), "protected-mode code: 0x90"),
        (bzimage(kernel_alignment=5), "kernel_alignment: 0x5, a power of two needed"),
    ],
)
def test_a_refusal_says_what_was_found_and_what_was_needed(image, message):
    assert message in reasons(image)


@pytest.mark.parametrize(
    ("version", "end"),
    [(0x20F, 0x264), (0x209, 0x258), (0x207, 0x248), (0x203, 0x230), (0x202, 0x22C),
     (0x201, 0x226), (0x200, 0x220)],
)  # fmt: skip
def test_a_header_shorter_than_its_version_would_be_written_over_code(version, end):
    data = bytearray(bzimage(version=version).data)
    data[0x201] = end - 0x202
    assert offer(parse(bytes(data)))
    data[0x201] -= 1
    text = reasons(parse(bytes(data)))
    assert f"end of the setup header: {end - 1:#x}, {end:#x} or more needed for" in text


# The processor (boot.rst, "Running the Kernel")


@pytest.mark.parametrize(
    ("header", "base", "stack"),
    [({}, 0x10000, 0xE000), ({"version": 0x201}, 0x90000, 0x9000),
     ({"loadflags": 0}, 0x90000, 0x9000)],
)  # fmt: skip
def test_the_cpu_state_is_the_document_s_to_the_bit(header, base, stack):
    cpu = plan(bzimage(**header))[0].cpu
    assert cpu.mode is Mode.REAL
    assert (cpu.cr0, cpu.cr3, cpu.cr4, cpu.efer, cpu.rflags, cpu.rip) == (0x10, 0, 0, 0, 2, 0)
    assert (cpu.cs.selector, cpu.cs.base) == ((base >> 4) + 0x20, base + 0x200)
    for name in ("ds", "es", "ss", "fs", "gs"):
        segment = getattr(cpu, name)
        assert (segment.selector, segment.base) == (base >> 4, base)
    for name in ("cs", "ds", "es", "ss", "fs", "gs"):
        assert getattr(cpu, name).limit == 0xFFFF
        assert not getattr(cpu, name).db
    assert {name: value for name, value in cpu.general.items() if value} == {"rsp": stack}
    assert (cpu.idtr.base, cpu.idtr.limit) == (0, 0x3FF)


# The header, where it is in the image


def test_the_setup_code_is_the_image_s_but_for_what_a_loader_writes():
    image = bzimage()
    made, memory = plan(image)
    found, end = memory.read(0x10000, 0x10000), 5 * 512
    expected = bytearray(image.data[:end]).ljust(0x10000, b"\0")
    expected[0x210] = 0xFF
    expected[0x211] = 0x81  # LOADED_HIGH, CAN_USE_HEAP
    for at, size, value in (
        (0x214, 4, PREF),
        (0x218, 4, made.address_of("initrd")),
        (0x21C, 4, 600),
        (0x224, 2, 0xE000 - 0x200),
        (0x228, 4, made.address_of("command line")),
    ):
        expected[at : at + size] = value.to_bytes(size, "little")
    assert found == bytes(expected)


def test_what_lies_behind_the_header_is_code_and_stays():
    data = bytearray(bzimage(version=0x202).data)
    data[0x201] = 0x22C - 0x202
    data[0x22C:0x290] = b"\xcc" * 0x64
    _, memory = plan(parse(bytes(data)))
    assert memory.read(0x1022C, 0x64) == b"\xcc" * 0x64


@pytest.mark.parametrize("length", [0, 255])
def test_before_2_02_the_command_line_lies_in_the_segment(length):
    info = BootInfo(b"x" * length)
    made, memory = plan(bzimage(version=0x201), info)
    setup = memory.read(0x90000, 0xA000)
    assert number(setup, 0x20, 2) == 0xA33F
    assert number(setup, 0x22, 2) == 0x9000
    assert setup[0x9000 : 0x9001 + length] == b"x" * length + b"\0"
    assert number(setup, 0x212, 2) == 0x9001 + length  # setup_move_size
    assert number(setup, 0x224, 2) == 0x9000 - 0x200
    assert "command line" not in {piece.name for piece in made.pieces}


def test_a_kernel_of_2_00_has_no_heap():
    data = bytearray(bzimage(version=0x200).data)
    data[0x201], data[0x224:0x226] = 0x224 - 0x202, b"\xcc\xcc"
    setup = plan(parse(bytes(data)))[1].read(0x90000, 0x300)
    assert not setup[0x211] & 0x80
    assert setup[0x224:0x226] == b"\xcc\xcc"


def test_a_zimage_lies_below_its_setup_code_and_has_room_to_unpack():
    made, _ = plan(bzimage(loadflags=0, version=0x204))
    placed = {piece.name: piece for piece in made.pieces if piece.kind is Kind.KERNEL}
    assert placed["kernel"].start == 0x10000
    assert placed["unpacked kernel"].start == MIB
    assert placed["unpacked kernel"].end > 5 * MIB


@pytest.mark.parametrize("version", [0x200, 0x201, 0x202, 0x209])
def test_a_zimage_is_moved_by_its_setup_code_over_nothing_of_ours(version):
    """``do_move`` in arch/i386/boot/setup.S of Linux 2.4: 0x10000-0x90000 to 0x1000."""
    image = bzimage(loadflags=0, version=version, code32_start=0x1000)
    made, memory = plan(image, replace(INFO, setup_data=(SetupNode(9, b"seed"),)))
    assert number(memory.read(0x90000, 0x400), 0x214, 4) == 0x1000  # where it is entered then
    moved = [piece.name for piece in made.pieces if piece.start < 0x90000 and piece.end > 0x1000]
    assert moved == ["kernel"]
    assert linux16.decode(memory, made.cpu).cmdline == INFO.cmdline


@pytest.mark.parametrize("version", [0x201, 0x202, 0x204])
def test_before_2_05_a_kernel_unpacks_itself_below_its_setup_code(version):
    """``move_routine_start`` at 0x1000, and what is unpacked up to the setup or 0x90000."""
    made, memory = plan(bzimage(version=version))
    low = [p.name for p in made.pieces if p.start < 0x90000 and p.end > 0x1000]
    assert low == ([] if version < 0x202 else ["setup"])
    assert linux16.decode(memory, made.cpu).cmdline == INFO.cmdline


@pytest.mark.parametrize("align", [0, 3])
def test_fuzz_a_zimage_is_not_moved_whatever_its_alignment_is(align):
    made, _ = plan(bzimage(loadflags=0, kernel_alignment=align))
    assert made.address_of("kernel") == 0x10000


def test_the_command_line_lies_in_base_memory():
    made, _ = plan(info=BootInfo(b"x" * 2047), on=machine(8 << 30))
    (piece,) = [piece for piece in made.pieces if piece.kind is Kind.COMMAND_LINE]
    assert piece.start >= 0x20000 or piece.end <= 0x10000
    assert piece.end <= 0x9B000
    assert piece.end - piece.start == 2048


def test_a_map_of_more_records_than_the_setup_code_asks_for_is_refused():
    holes = [MemoryRange(2 * MIB + 8192 * n, 2 * MIB + 8192 * n + 4096, 2) for n in range(70)]
    with pytest.raises(RequestError, match="at most 128 needed: the setup code asks for no more"):
        plan(on=machine(reserved=[HOLE, *holes]))


def test_what_is_not_carried_is_listed():
    info = BootInfo(framebuffer=Framebuffer(1, 2, 3, 4), rsdp=0xE0000)
    entry = linux16.encode(offer(bzimage()), info, machine(), None)
    assert [each.field for each in entry.dropped] == ["framebuffer", "rsdp"]


# The way back

lines = st.binary(max_size=255).map(lambda text: text.replace(b"\0", b" "))
infos = st.builds(
    BootInfo,
    cmdline=lines,
    modules=st.lists(st.builds(Module, st.binary(min_size=1, max_size=99)), max_size=1).map(tuple),
    setup_data=st.lists(
        st.builds(SetupNode, st.integers(2, 0x7FFFFFFF), st.binary(max_size=50)), max_size=5
    ).map(tuple),
    hardware_subarch=st.integers(0, (1 << 32) - 1),
    hardware_subarch_data=st.integers(0, (1 << 64) - 1),
)


@settings(max_examples=settings().max_examples // 4)
@given(infos, st.integers(32, 8192).map(lambda mib: machine(mib * MIB)))
def test_decode_undoes_encode(info, on):
    made, memory = plan(None, info, on)
    read = linux16.decode(memory, made.cpu)
    for name in linux16.carries - {"modules"}:
        assert getattr(read, name) == getattr(made.boot_info, name), name
    assert [bytes(m.data) for m in read.modules] == [bytes(m.data) for m in info.modules]
    assert read.rsdp == made.address_of(acpi.RSDP)


@pytest.mark.parametrize("version", [0x200, 0x201, 0x202, 0x204, 0x206, 0x209, 0x20A, 0x20F])
def test_each_version_of_the_protocol_is_read_back(version):
    made, memory = plan(bzimage(version=version))
    read = linux16.decode(memory, made.cpu)
    assert (read.cmdline, bytes(read.modules[0].data)) == (b"console=ttyS0", b"initrd" * 100)
    assert read.memory_map == made.boot_info.memory_map


def test_another_bios_s_memory_map_cannot_be_known():
    made, _ = plan()
    memory = bytearray(made.machine.memory)
    fill(made, memory)
    memory[4 * 0x15 : 4 * 0x15 + 4] = bytes(4)
    with pytest.raises(FormatError, match="not hvmlite's own"):
        linux16.decode(FlatMemory(memory, made.machine), made.cpu)


MADE, _ = plan(info=replace(INFO, setup_data=(SetupNode(9, b"seed"),)))
GOOD = bytearray(MADE.machine.memory)
fill(MADE, GOOD)
PLACES = (0, 0x400, 0x10000, 0x101F0, 0x10200, MADE.address_of("setup_data 0"), 0x9B000)


@given(
    st.lists(
        st.tuples(st.sampled_from(PLACES), st.integers(0, 0x80), st.integers(0, 255)),
        min_size=1,
        max_size=9,
    ),
    st.sampled_from([0x10000, 0x10000, 0, 0xFFFFFFFF]),
)
def test_changed_memory_gives_boot_info_or_format_error(changes, base):
    before = {start + offset: GOOD[start + offset] for start, offset, _ in changes}
    for start, offset, value in changes:
        GOOD[start + offset] = value
    cpu = replace(MADE.cpu, ds=replace(MADE.cpu.ds, base=base))
    try:
        assert isinstance(linux16.decode(FlatMemory(GOOD, MADE.machine), cpu), BootInfo)
    except FormatError:
        pass
    finally:
        for address, value in before.items():
            GOOD[address] = value


def test_the_bios_s_memory_is_reserved():
    made, memory = plan()
    assert bios.memory_map(memory) == made.boot_info.memory_map
    assert MemoryRange(0x9B000, 0x9D000, MemoryType.RESERVED) in made.boot_info.memory_map
    assert isinstance(linux16.decode(memory, CpuState(ds=made.cpu.ds)), BootInfo)
