"""linux32: when the 32-bit entry is offered, where kernels go, and the state of the processor."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hvmlite.guest.memory import PlanMemory
from hvmlite.guest.place import place
from hvmlite.guest.segments import decode as decode_descriptor
from hvmlite.model import BootInfo, Mode, Offer, Piece, Refusal, Relocation
from hvmlite.protocols import linux32
from makers.linux import ENTRY, MIB, PREF, bzimage, parse, vmlinux
from makers.pvh import kernel, machine
from protocols.linux_plans import lay_out, number

GIB = 1 << 30


def offer(image) -> Offer:
    found = linux32.offers(image)
    assert isinstance(found, Offer), found
    return found


def reasons(image) -> str:
    found = linux32.offers(image)
    assert isinstance(found, Refusal), found
    assert found.protocol == "linux32"
    return "; ".join(map(str, found.reasons))


def test_a_bzimage_is_entered_where_it_is_loaded():
    image = bzimage(xloadflags=0)
    found = offer(image)
    assert (found.protocol, found.image, found.nested) == ("linux32", image, False)
    assert (found.entry, found.needs) == (PREF, PREF + 0x400000)
    assert found.relocation == Relocation(0x200000, PREF, (4 << 30) - 1, least=0x200000)
    assert not image.payload.asked


def test_an_elf32_is_entered_at_e_entry_and_stays():
    found = offer(parse(vmlinux(bits=32)))
    assert (found.entry, found.needs, found.relocation) == (ENTRY, PREF + 3 * MIB, None)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (bzimage(version=0x201), "protocol version: 2.01, 2.02 needed"),
        (bzimage(loadflags=0x80), "loadflags: 0x80, LOADED_HIGH (0x1) needed"),
        (bzimage(code32_start=0), "code32_start: 0x0, the address of a 32-bit entry needed"),
        (parse(vmlinux()), "ELF machine: 62 (x86-64), 3 (i386) needed: no other ELF has a 32-bit"),
        (bzimage(pref_address=(1 << 32) - 0x200000), "an end at or below 0x100000000 needed"),
        (bzimage(init_size=0xFFFFFFFF), "memory up to 0x100ffffff, an end at or below 0x1000000"),
        (kernel(segments=(), format_="pe"), "image format: pe, a bzImage, or the ELF of a Linux"),
    ],
)
def test_a_refusal_says_what_was_found_and_what_was_needed(image, message):
    assert message in reasons(image)


# Where the kernel goes (docs/protocols/linux.md)


def window(image):
    made = lay_out(linux32, image, memory=GIB)
    (piece,) = [piece for piece in made.pieces if piece.name == "kernel"]
    assert made.cpu.rip == piece.start
    return piece.start, piece.end


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ({}, PREF, PREF + 0x400000),
        # an alignment that the preferred address does not have: it would move itself there
        ({"kernel_alignment": 0x2000000}, 32 * MIB, 32 * MIB + 0x400000),
        # not relocatable: it moves itself
        ({"relocatable_kernel": 0}, MIB, PREF + 0x400000),
        ({"relocatable_kernel": 0, "version": 0x204, "pref_address": 5 * PREF}, MIB, None),
        ({"pref_address": 0}, 2 * MIB, 2 * MIB + 0x400000),
        ({"version": 0x209}, 2 * MIB, None),
        ({"init_size": 0}, PREF, None),
    ],
)
def test_the_window_of_a_kernel(header, start, end):
    image = bzimage(**header)
    found = window(image)
    assert found[0] == start
    if end is None:
        # nobody states it: room for the payload's size, 2.1 MiB, twice, and 4 MiB
        assert found[1] - start > 4 * MIB
    else:
        assert found == (start, end)


def test_without_init_size_the_payload_s_last_word_counts():
    inside = vmlinux() + bytes(10 * MIB)
    one = window(bzimage(inside, version=0x209))
    assert one[1] - one[0] >= 2 * len(inside)
    other = window(bzimage(inside, version=0x207))  # no payload_length: three times what is there
    assert other[1] - other[0] < 5 * MIB


def test_code_larger_than_init_size_has_room_all_the_same():
    start, end = window(bzimage(init_size=0x1000, code=3 * MIB))
    assert end - start > 3 * MIB


@pytest.mark.parametrize("version", [0x202, 0x204, 0x205])
def test_before_2_05_a_kernel_unpacks_itself_in_base_memory(version):
    """``setup_output_buffer_if_we_run_high`` and ``move_routine_start``, up to Linux 2.6.19."""
    made = lay_out(linux32, bzimage(version=version), memory=64 * MIB)
    low = [p.name for p in made.pieces if p.start < 0x90000 and p.end > 0x1000]
    page = PlanMemory(made).read(made.cpu.rsi, 4096)
    if version < 0x205:
        assert low == []
        assert number(page, 0x1E0, 4) == 63 << 10  # alt_mem_k, else "Less than 4MB of memory"
    else:
        assert low == ["GDT", "command line", "zero page"]
        assert number(page, 0x1E0, 4) == 0
    assert made.cpu.gdtr.base == made.address_of("GDT")


def in_the_way(start, end, image=None, **options):
    on = machine(**options)
    entry = linux32.encode(offer(image or bzimage()), BootInfo(), on, None)
    pieces = (*entry.pieces, Piece("rom", size=end - start, at=start))
    made = place(replace(entry, pieces=pieces), on, BootInfo())
    return made, PlanMemory(made).read(made.cpu.rsi, 4096)


def test_a_kernel_is_moved_and_told_where_it_is():
    made, page = in_the_way(PREF, PREF + MIB)
    assert made.address_of("kernel") == made.cpu.rip == PREF + 2 * MIB
    assert number(page, 0x214, 4) == PREF + 2 * MIB
    assert number(page, 0x230, 4) == 0x200000  # its own alignment, which the place has


def test_a_kernel_that_is_moved_by_less_is_told_the_alignment():
    image = bzimage(kernel_alignment=0x1000000, min_alignment=13)
    made, page = in_the_way(PREF, PREF + 0x3000, image, memory=32 * MIB)
    assert made.cpu.rip == number(page, 0x214, 4) == PREF + 0x800000
    assert number(page, 0x230, 4) == 0x800000


@pytest.mark.parametrize("least", [0, 24, 25, 32, 64, 255])
def test_a_least_alignment_of_0_or_above_the_alignment_is_none(least):
    found = offer(bzimage(kernel_alignment=0x1000000, min_alignment=least))
    assert found.relocation.least == 0x1000000


@pytest.mark.parametrize(
    ("header", "last"),
    [
        ({}, 0x7FFFFFFF),
        ({"initrd_addr_max": 0x1FFFFFFF}, 0x1FFFFFFF),
        ({"version": 0x202, "initrd_addr_max": 0x90000}, 0x37FFFFFF),
        ({"initrd_addr_max": 0xFFFFFFFF}, 0xBFFFFFFF),  # where RAM ends
    ],
)
def test_the_initrd_ends_where_the_header_says(header, last):
    made = lay_out(linux32, bzimage(**header), on=machine(8 * GIB))
    (initrd,) = [piece for piece in made.pieces if piece.name == "initrd"]
    assert -(-initrd.end // 4096) * 4096 == last + 1


# The CPU (boot.rst, "32-bit Boot Protocol")


@pytest.mark.parametrize("image", [bzimage(), parse(vmlinux(bits=32))], ids=["bzImage", "vmlinux"])
def test_the_cpu_state_is_the_document_s_to_the_bit(image):
    made = lay_out(linux32, image)
    cpu = made.cpu
    assert cpu.mode is Mode.PROTECTED32
    assert (cpu.cr0, cpu.cr3, cpu.cr4, cpu.efer, cpu.rflags) == (0x11, 0, 0, 0, 2)
    assert {name: value for name, value in cpu.general.items() if value} == {
        "rsi": made.address_of("zero page")
    }
    assert (cpu.cs.selector, cpu.cs.base, cpu.cs.limit) == (0x10, 0, 0xFFFFFFFF)
    assert cpu.cs.attributes == 0xC09B
    for name in ("ds", "es", "ss", "fs", "gs"):
        data = getattr(cpu, name)
        assert (data.selector, data.base, data.limit) == (0x18, 0, 0xFFFFFFFF)
        assert data.attributes == 0xC093
    assert (cpu.tr.selector, cpu.tr.attributes) == (0x20, 0x8B)
    table = PlanMemory(made).read(cpu.gdtr.base, cpu.gdtr.limit + 1)
    for name in ("cs", "ds", "tr"):
        register = getattr(cpu, name)
        assert decode_descriptor(table[register.selector :][:8], register.selector) == register
