"""What went wrong in other PVH loaders, one named test each; tests/images has those of files."""

from __future__ import annotations

import mmap
from dataclasses import replace
from itertools import pairwise

import pytest

from hvmlite.errors import PlacementError
from hvmlite.guest import acpi
from hvmlite.guest.memory import fill
from hvmlite.guest.place import place
from hvmlite.model import BootInfo, Kind, MemoryRange, MemoryType, Module, Offer, Ref
from hvmlite.protocols import pvh
from makers.pvh import ENTRY, HOLE, LINUX, MIB, START, kernel, machine, note, reloc, segment

GIB = 1 << 30


def plan(image=None, info=None, on=None, *, tables=True):
    info, on = info or BootInfo(), on or machine()
    offer = pvh.offers(image or kernel(note(ENTRY), LINUX))
    assert isinstance(offer, Offer)
    entry = pvh.encode(offer, info, on, Ref(acpi.RSDP) if tables else None)
    return place(
        replace(entry, pieces=entry.pieces + (acpi.tables(on) if tables else ())), on, info
    )


def number(data, offset, size):
    return int.from_bytes(data[offset : offset + size], "little")


@pytest.fixture
def sparse(tmp_path):
    """Makes files of any size that take no room, mapped as boot.py maps an initrd."""
    made = []

    def make(size):
        path = tmp_path / str(size)
        with path.open("wb") as file:
            file.truncate(size)
        with path.open("rb") as file:
            made.append(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
        return made[-1]

    return make


# --- CVE-2016-9384: padding that nobody set was copied into the guest -------------------------


def test_cve_2016_9384_every_byte_that_is_handed_over_is_known():
    # Offsets are written out, so that a wrong layout of ours is no excuse.
    modules = (Module(b"\xaa" * 5000, b"first"), Module(b"\xbb" * 3))
    made = plan(info=BootInfo(b"console=ttyS0", modules))
    memory = bytearray(made.machine.memory)
    fill(made, memory)
    start = made.cpu.rbx
    assert number(memory, start + 0x34, 4) == 0  # reserved
    assert number(memory, start + 0x08, 4) == 0  # no flags
    listed = number(memory, start + 0x10, 8)
    for at in (listed, listed + 32):
        assert number(memory, at + 0x18, 8) == 0  # reserved
        data, size = number(memory, at, 8), number(memory, at + 8, 8)
        assert not any(memory[data + size : -(-(data + size) // 4096) * 4096])  # end of the page
    map_, records = number(memory, start + 0x28, 8), number(memory, start + 0x30, 4)
    for at in range(map_, map_ + 24 * records, 24):
        assert number(memory, at + 0x14, 4) == 0  # reserved
    assert not any(memory[map_ + 24 * records : map_ + 24 * 128])
    line = number(memory, start + 0x18, 8)
    assert bytes(memory[line : line + 2048]) == b"console=ttyS0".ljust(2048, b"\0")
    for piece in made.pieces:
        memory[piece.start : piece.end] = bytes(piece.end - piece.start)
    assert not any(memory)  # nothing lies beside the pieces


# --- XSA-95: limits of segments ---------------------------------------------------------------


@pytest.mark.parametrize("start", [(1 << 32) - 0x1000, 1 << 32, (1 << 63), (1 << 64) - 0x4000])
@pytest.mark.parametrize("movable", [False, True])
def test_xsa_95_a_segment_at_or_beyond_the_end_of_32_bits(start, movable):
    segments = (segment(), segment(start, 0x4000))
    notes = (note(ENTRY), reloc()) if movable else (note(ENTRY),)
    with pytest.raises(PlacementError, match="kernel"):
        plan(kernel(*notes, segments=segments), on=machine(3 * GIB))


def test_xsa_95_a_segment_beyond_32_bits_is_there_to_the_byte_if_ram_is():
    image = kernel(segments=(segment(), segment(1 << 32, 0x4000, b"high")))
    made = plan(image, on=machine(8 * GIB))
    placed = {piece.name: (piece.start, piece.end) for piece in made.pieces}
    assert placed["kernel segment 1"] == (1 << 32, (1 << 32) + 0x4000)


# --- CVE-2020-13765: QEMU's rom_copy, a kernel that is larger than the memory it goes to ------


@pytest.mark.parametrize("memsz", [48 * MIB + 1, 64 * MIB, 1 << 40, (1 << 64) - START])
def test_cve_2020_13765_a_kernel_that_goes_beyond_ram(memsz):
    with pytest.raises(PlacementError, match=r"^kernel segment 0: 0x1000000-"):
        plan(kernel(segments=(segment(memsz=memsz),)))


def test_cve_2020_13765_a_kernel_up_to_the_last_byte_of_ram_is_copied_and_nothing_else():
    data = b"\xf4" * (48 * MIB)
    made = plan(kernel(segments=(segment(memsz=len(data), data=data),)))
    memory = bytearray(made.machine.memory)
    fill(made, memory)
    assert memory[START:] == data
    with pytest.raises(PlacementError, match="is not in guest memory"):
        fill(made, memoryview(memory)[:-1])


# --- CVE-2020-15707: GRUB, the sum of initrd sizes wrapped ------------------------------------


@pytest.mark.parametrize("size", [(1 << 32) - 4096, (1 << 32) - 1, 1 << 32, (1 << 32) + 1])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_cve_2020_15707_initrds_near_4_gib(size, count, sparse):
    info = BootInfo(modules=(Module(sparse(size)),) * count)
    for memory in (64 * MIB, 8 * GIB, 64 * GIB):
        with pytest.raises(PlacementError, match=r"^module \d: no room") as caught:
            plan(info=info, on=machine(memory))
        assert caught.value.need == size


@pytest.mark.parametrize("count", [4, 5, 8])  # the sum is 2**32, and a little or much more
def test_cve_2020_15707_many_initrds_whose_sum_wraps(count, sparse):
    info = BootInfo(modules=(Module(sparse(GIB)),) * count)
    with pytest.raises(PlacementError, match=r"^module \d: no room"):
        plan(info=info, on=machine(64 * GIB))


def test_cve_2020_15707_the_most_that_fits_is_told_to_the_byte(sparse):
    info = BootInfo(modules=(Module(sparse(2 * GIB + 1)), Module(sparse(MIB + 1))))
    made = plan(info=info, on=machine(64 * GIB))
    pieces = {piece.name: piece for piece in made.pieces}
    table = pieces["module list"].data
    for at, name, size in ((0, "module 0", 2 * GIB + 1), (32, "module 1", MIB + 1)):
        assert number(table, at, 8) == pieces[name].start
        assert number(table, at + 8, 8) == size == pieces[name].end - pieces[name].start


# --- Xen's PVH fixes without a CVE ------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 7, 1023, 1024, 2046, 2047])
def test_xen_pvh_fixes_command_line_room(length):
    # Room for the line, its NUL and each module's line, whatever their sizes are.
    modules = tuple(Module(b"m", b"y" * size) for size in (length + 1, 1, 4096))
    made = plan(info=BootInfo(b"x" * length, modules))
    memory = bytearray(made.machine.memory)
    fill(made, memory)
    line = number(memory, made.cpu.rbx + 0x18, 8)
    assert memory[line : line + length + 1] == b"x" * length + b"\0"
    listed = number(memory, made.cpu.rbx + 0x10, 8)
    for index, module in enumerate(modules):
        line = number(memory, listed + 32 * index + 0x10, 8)
        assert memory[line : line + len(module.cmdline) + 1] == module.cmdline + b"\0"


@pytest.mark.parametrize("size", [1, 4 * MIB, 15 * MIB - 1, 15 * MIB, 16 * MIB + 1, 30 * MIB])
@pytest.mark.parametrize("top", [40 * MIB, 60 * MIB])  # of the kernel's zero-filled memory
def test_xen_pvh_fixes_no_initrd_over_the_kernel(size, top):
    low = segment(START, MIB)
    bss = segment(START + 2 * MIB, top - START - 2 * MIB, b"\x90")
    initrd = Module(b"i" * size, name="initrd")
    room = max(15 * MIB, 64 * MIB - top)
    image = kernel(note(ENTRY), LINUX, segments=(low, bss))
    if size > room:
        with pytest.raises(PlacementError, match=r"module 0 \(initrd\)"):
            plan(image, BootInfo(modules=(initrd,)))
        return
    made = plan(image, BootInfo(modules=(initrd,)))
    placed = next(piece for piece in made.pieces if piece.kind is Kind.MODULE)
    # the gap between the segments is the kernel's as well: Linux takes all from first to last
    assert placed.end <= START or placed.start >= top


def test_xen_pvh_fixes_the_low_1_mib():
    made = plan(info=BootInfo(b"quiet", (Module(b"initrd"),)), on=machine(8 * GIB))
    for piece in made.pieces:
        assert piece.start >= 0x1000, piece  # vectors and BIOS data area stay zero
        assert not (piece.start < HOLE.end and HOLE.start < piece.end), piece
        if piece.kind in (Kind.KERNEL, Kind.MODULE):
            assert piece.start >= MIB, piece
    map_ = made.boot_info.memory_map
    assert (map_[0].start, map_[0].type) == (0, MemoryType.RAM)
    assert HOLE in map_
    low = [r for r in map_ if r.start < MIB]
    assert low[-1].end == MIB
    assert all(a.end == b.start for a, b in pairwise(low))  # no byte without type
    assert MemoryRange(1 << 32, (1 << 32) + 5 * GIB) in map_
