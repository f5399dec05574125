"""What went wrong in other Linux loaders, one named test each; tests/images has those of files."""

from __future__ import annotations

import mmap
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmlite.errors import FormatError, HvmliteError, PlacementError
from hvmlite.guest import acpi
from hvmlite.guest.memory import PlanMemory, fill
from hvmlite.guest.place import place
from hvmlite.model import BootInfo, Kind, MemoryRange, MemoryType, Module, Offer, Ref, Refusal
from hvmlite.protocols import linux16, linux32, linux64
from makers.linux import MIB, PREF, bzimage, parse
from makers.pvh import HOLE, machine
from protocols.linux_plans import number

GIB = 1 << 30
EACH = pytest.mark.parametrize("protocol", [linux64, linux32, linux16], ids=lambda p: p.NAME)
HIGH = {linux64: 1 << 36, linux32: 1 << 32, linux16: 1 << 32}


def plan(protocol, image=None, info=None, on=None):
    info, on = info or BootInfo(), on or machine()
    offer = protocol.offers(image or bzimage())
    assert isinstance(offer, Offer), offer
    entry = protocol.encode(offer, info, on, Ref(acpi.RSDP))
    return place(replace(entry, pieces=(*entry.pieces, *acpi.tables(on))), on, info)


@pytest.fixture
def sparse(tmp_path):
    """Makes files of any size that take no room, mapped as boot.py maps an initrd."""

    def make(size):
        path = tmp_path / str(size)
        with path.open("wb") as file:
            file.truncate(size)
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    return make


# --- CVE-2016-9384: bytes that nobody set were copied into the guest --------------------------


@EACH
def test_cve_2016_9384_every_byte_that_is_handed_over_is_known(protocol):
    made = plan(protocol, info=BootInfo(b"quiet", (Module(b"\xaa" * 5000), Module(b"\xbb" * 3))))
    memory = bytearray(made.machine.memory)
    fill(made, memory)
    for piece in made.pieces:
        memory[piece.start : piece.end] = bytes(piece.end - piece.start)
    assert not any(memory)  # nothing lies beside the pieces
    if protocol is not linux16:
        (page,) = [piece for piece in made.pieces if piece.name == "zero page"]
        records = len(made.boot_info.memory_map)
        data = bytes(page.data)
        assert len(data) == 4096
        assert not any(data[:0x70])  # screen, power management, SpeedStep
        assert not any(data[0x78:0x1E8])
        assert not any(data[0x1E9:0x1F1])  # counts of tables that are not there, and the sentinel
        assert not any(data[0x26C:0x2D0])
        assert not any(data[0x2D0 + 20 * records :])


# --- CVE-2020-15707: GRUB, the sum of initrd sizes wrapped ------------------------------------


@EACH
@pytest.mark.parametrize("size", [(1 << 32) - 4096, (1 << 32) - 1, 1 << 32, (1 << 32) + 1])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_cve_2020_15707_initrds_near_4_gib(protocol, size, count, sparse):
    info = BootInfo(modules=(Module(sparse(size)),) * count)
    with pytest.raises(PlacementError, match=r"^initrd: no room") as caught:
        plan(protocol, info=info, on=machine(64 * MIB))
    assert caught.value.need == (count - 1) * (-(-size // 4) * 4 + 4) + size


@EACH
@pytest.mark.parametrize("count", [4, 5, 8])  # the sum is 2**32, and a little or much more
def test_cve_2020_15707_many_initrds_whose_sum_wraps(protocol, count, sparse):
    info = BootInfo(modules=(Module(sparse(GIB)),) * count)
    with pytest.raises(PlacementError, match=r"^initrd: no room"):
        plan(protocol, info=info, on=machine(3 * GIB))


def test_cve_2020_15707_an_initrd_beyond_4_gib_is_told_to_the_byte(sparse):
    info = BootInfo(modules=(Module(sparse((4 << 30) + 5)),))
    made = plan(linux64, info=info, on=machine(16 * GIB))
    (page,) = [piece for piece in made.pieces if piece.name == "zero page"]
    assert number(page.data, 0x21C, 4) == 5
    assert number(page.data, 0x0C4, 4) == 1


# --- CVE-2011-1583, linux-loader 0.3.0, GHSA-52h2-m2cf-9jh6: lengths and offsets of the header


@pytest.mark.parametrize("sectors", [5, 64, 65, 255])
def test_linux_loader_0_3_0_setup_sects_larger_than_the_file(sectors):
    data = bytearray(bzimage(code=0x100).data)[: 6 * 512 - 1]
    data[0x1F1] = sectors
    with pytest.raises(FormatError):
        parse(bytes(data))


@EACH
@pytest.mark.parametrize("align", [0, 3, 0x200001, 0xFFFFFFFF])
def test_linux_loader_0_3_0_an_alignment_that_is_no_power_of_two(protocol, align):
    found = protocol.offers(bzimage(kernel_alignment=align))
    assert isinstance(found, Refusal)
    assert [reason.what for reason in found.reasons] == ["kernel_alignment"]


@EACH
@pytest.mark.parametrize("pref", [(1 << 64) - 1, (1 << 64) - 0x200000, 1 << 63, 1 << 36])
def test_crosvm_76199b4a0_an_address_that_wraps(protocol, pref):
    found = protocol.offers(bzimage(pref_address=pref))
    assert isinstance(found, Refusal)
    assert f"an end at or below {HIGH[protocol]:#x} needed" in str(found.reasons[0])


@EACH
@pytest.mark.parametrize("align", [1 << 30, 1 << 31])
def test_an_alignment_as_large_as_the_address_space(protocol, align):
    found = protocol.offers(bzimage(kernel_alignment=align, pref_address=0xC0000001))
    if protocol is linux64:
        assert found.entry == (4 << 30) + 0x200
        with pytest.raises(PlacementError):
            plan(protocol, bzimage(kernel_alignment=align, pref_address=0xC0000001))
    else:
        assert isinstance(found, Refusal)


# --- kexec-tools 07a6217, ec3e4df: the memory that the kernel unpacks itself into -------------


@EACH
@pytest.mark.parametrize("size", [MIB, 0x3378000, 40 * MIB])
def test_kexec_tools_07a6217_nothing_lies_where_the_kernel_unpacks_itself(protocol, size):
    on = machine(128 * MIB)
    made = plan(protocol, bzimage(init_size=size), BootInfo(modules=(Module(b"i" * MIB),)), on)
    for piece in made.pieces:
        if piece.name != "kernel":
            assert piece.end <= PREF or piece.start >= PREF + size, piece


@EACH
def test_kexec_tools_ec3e4df_reserved_memory_in_the_window_moves_the_kernel(protocol):
    on = machine(reserved=[HOLE, MemoryRange(PREF + MIB, PREF + MIB + 4096, MemoryType.RESERVED)])
    assert plan(protocol, on=on).address_of("kernel") == PREF + 2 * MIB


@EACH
@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_init_sizes_that_say_nothing_or_too_much(protocol, size):
    found = protocol.offers(bzimage(init_size=size))
    if size == 0:
        assert found.needs > PREF + 4 * MIB
    elif protocol is linux64:  # allowed, and more than the machine has
        with pytest.raises(PlacementError, match="kernel"):
            plan(protocol, bzimage(init_size=size))
    else:
        assert isinstance(found, Refusal)


# --- libkrun 821, rust-hypervisor-firmware 176, hyperkit 66: initrds in the wrong place -------


@pytest.mark.parametrize("last", [0, 1, 0xFFFFF, 0x100FFE])
def test_rust_hypervisor_firmware_176_an_initrd_addr_max_without_room(last):
    for protocol in (linux32, linux16):
        with pytest.raises(PlacementError, match=r"^initrd: no room"):
            plan(protocol, bzimage(initrd_addr_max=last), BootInfo(modules=(Module(b"x" * 4096),)))


@EACH
@pytest.mark.parametrize("memory", [3 * GIB, 5 * GIB, 16 * GIB])
def test_hyperkit_66_initrds_lie_in_ram_only(protocol, memory):
    on = machine(memory, low_end=0xC0000000)
    made = plan(protocol, info=BootInfo(modules=(Module(b"i" * 5000),)), on=on)
    (piece,) = [piece for piece in made.pieces if piece.kind is Kind.MODULE]
    assert any(b.start <= piece.start and piece.end <= b.end for b in on.ram)


def test_libkrun_821_an_address_above_4_gib_is_never_cut():
    info = BootInfo(modules=(Module(b"initrd"),))
    on = machine(16 * GIB)
    for image in (bzimage(), bzimage(xloadflags=1), bzimage(version=0x20F, xloadflags=3)):
        made = plan(linux64, image, info, on)
        page = next(bytes(p.data) for p in made.pieces if p.name == "zero page")
        told = number(page, 0x218, 4) | number(page, 0x0C0, 4) << 32
        assert told == made.address_of("initrd")


# --- any header at all ------------------------------------------------------------------------

numbers = st.one_of(
    st.integers(0, 0xFFFFFFFF),
    st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]),
    st.integers(0, 31).map(lambda bit: 1 << bit),
)
hostile = st.fixed_dictionaries(
    {},
    optional={
        "version": st.integers(0x200, 0x210),
        "loadflags": st.integers(0, 255),
        "xloadflags": st.integers(0, 255),
        "kernel_alignment": numbers,
        "relocatable_kernel": st.integers(0, 1),
        "min_alignment": st.integers(0, 255),
        "cmdline_size": numbers,
        "initrd_addr_max": numbers,
        "pref_address": st.one_of(numbers, st.integers(0, (1 << 64) - 1)),
        "init_size": numbers,
        "code32_start": numbers,
        "cmd_line_ptr": numbers,
        "setup_data": numbers,
        "type_of_loader": st.integers(0, 255),
    },
)
ON = machine(256 * MIB)


@given(hostile, st.binary(max_size=5000))
def test_any_header_gives_a_plan_that_holds_or_an_error(header, initrd):
    image = bzimage(**header)
    for protocol in (linux64, linux32, linux16):
        offer = protocol.offers(image)
        if isinstance(offer, Refusal):
            assert offer.reasons
            continue
        info = BootInfo(b"", (Module(initrd),))
        try:
            made = place(protocol.encode(offer, info, ON, None), ON, info)
        except HvmliteError:
            continue
        kernel = [piece for piece in made.pieces if piece.kind is Kind.KERNEL]
        read = protocol.decode(PlanMemory(made), made.cpu)
        assert [bytes(m.data) for m in read.modules] == ([initrd] if initrd else [])
        assert read.memory_map == made.boot_info.memory_map
        if image.header.version >= 0x20A and image.header.init_size:
            runs = max(kernel[0].start, image.header.pref_address)
            assert runs + image.header.init_size <= kernel[-1].end or len(kernel) == 2
