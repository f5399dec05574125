"""linux64: when the 64-bit entry is offered, and the state that it is entered in."""

from __future__ import annotations

import pytest

from hvmlite.guest.memory import PlanMemory
from hvmlite.guest.segments import decode as decode_descriptor
from hvmlite.model import BootInfo, Mode, Offer, Refusal, Relocation
from hvmlite.protocols import linux64
from makers.linux import ENTRY, MIB, PREF, bzimage, parse, vmlinux
from makers.pvh import bzimage as around
from makers.pvh import kernel, machine
from protocols.linux_plans import lay_out

GIB = 1 << 30


def offer(image) -> Offer:
    found = linux64.offers(image)
    assert isinstance(found, Offer), found
    return found


def reasons(image) -> str:
    found = linux64.offers(image)
    assert isinstance(found, Refusal), found
    assert found.protocol == "linux64"
    return "; ".join(map(str, found.reasons))


def test_a_bzimage_is_entered_0x200_after_its_load_address():
    image = bzimage()
    found = offer(image)
    assert (found.protocol, found.image, found.nested) == ("linux64", image, False)
    assert found.entry == PREF + 0x200
    assert found.needs == PREF + 0x400000
    assert found.cmdline_limit == 2047
    assert found.relocation == Relocation(0x200000, PREF, (64 << 30) - 1, least=0x200000)
    assert not image.payload.asked  # nothing is unpacked for it


def test_without_the_flag_it_stays_below_4_gib():
    found = offer(bzimage(xloadflags=1))
    assert found.relocation.highest == (4 << 30) - 1


def test_an_elf64_is_entered_at_e_entry_and_may_be_moved_by_2_mib():
    image = parse(vmlinux())
    found = offer(image)
    assert (found.entry, found.nested, found.image) == (ENTRY, False, image)
    assert found.needs == PREF + 3 * MIB
    assert found.relocation == Relocation(2 * MIB, PREF, (4 << 30) - 1)
    assert found.cmdline_limit == 2047


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (bzimage(xloadflags=0x7E), "xloadflags: 0x7e, XLF_KERNEL_64 (0x1) needed: the kernel has"),
        (bzimage(version=0x20B), "protocol version: 2.11, 2.12 needed"),
        (bzimage(loadflags=0), "loadflags: 0x0, LOADED_HIGH (0x1) needed: a zImage is entered in"),
        (bzimage(kernel_alignment=0), "kernel_alignment: 0x0, a power of two needed"),
        (bzimage(kernel_alignment=0x300000), "kernel_alignment: 0x300000, a power of two needed"),
        (bzimage(pref_address=0x1000), "pref_address: 0x1000, 1 MiB or more needed"),
        (
            bzimage(pref_address=(1 << 64) - 1),
            "pref_address and init_size: memory up to 0x10000000000400000, an end at or below "
            "0x1000000000 needed",
        ),
        (bzimage(pref_address=1 << 32, xloadflags=1), "an end at or below 0x100000000 needed"),
        (bzimage(init_size=0xFFFFFFFF, xloadflags=1), "an end at or below 0x100000000 needed"),
        (parse(vmlinux(linux=False)), "Linux: no such note among 1, a note of Linux, or Xen's"),
        (parse(vmlinux(bits=32)), "ELF machine: 3 (i386), 62 (x86-64) needed: no other ELF has a"),
        (parse(vmlinux(entry=PREF - 1)), "e_entry: 0xffffff outside 0x1000000-0x1002000, "),
        (parse(vmlinux(entry=PREF + 2 * MIB + 0x1000)), "e_entry: 0x1201000 outside"),
        (kernel(segments=(), format_="pe"), "image format: pe, a bzImage, or the ELF of a Linux"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_was_found_and_what_was_needed(image, message):
    assert message in reasons(image)


def test_several_reasons_are_all_told():
    text = reasons(bzimage(version=0x20B, loadflags=0, kernel_alignment=3))
    assert text.count(" needed") == 3


def test_protected_mode_code_that_ends_before_the_entry():
    image, start = bzimage(payload_length=0), 5 * 512
    short = parse(bytes(image.data[: start + 0x200]))
    assert "protected-mode code: 0x200 bytes, more than 0x200 needed" in reasons(short)
    assert offer(parse(bytes(image.data[: start + 0x201])))


def test_what_a_uki_or_a_compressed_file_holds_is_entered():
    outer = around(bzimage())
    object.__setattr__(outer, "format", "compressed")
    assert offer(outer).entry == PREF + 0x200
    broken = around("frame header is damaged")
    object.__setattr__(broken, "format", "uki")
    assert "payload: bzImage: frame header is damaged" in reasons(broken)


# The CPU (boot.rst, "64-bit Boot Protocol")


@pytest.mark.parametrize("image", [bzimage(), parse(vmlinux())], ids=["bzImage", "vmlinux"])
def test_the_cpu_state_is_the_document_s_to_the_bit(image):
    made = lay_out(linux64, image)
    cpu = made.cpu
    assert cpu.mode is Mode.LONG
    assert (cpu.cr0, cpu.cr4, cpu.efer, cpu.rflags) == (0x80000011, 0x20, 0x500, 2)
    assert cpu.cr3 == made.address_of("page tables")
    assert cpu.rip == offer(image).entry
    set_ = {name: value for name, value in cpu.general.items() if value}
    assert set_ == {"rsi": made.address_of("zero page"), "rsp": cpu.rsp}
    assert cpu.rsp == made.address_of("stack") + 0xFF0
    assert (cpu.cs.selector, cpu.cs.attributes) == (0x10, 0xA09B)
    for name in ("ds", "es", "ss", "fs", "gs"):
        data = getattr(cpu, name)
        assert (data.selector, data.base, data.limit) == (0x18, 0, 0xFFFFFFFF)
        assert data.attributes == 0xC093
    assert (cpu.tr.selector, cpu.tr.attributes) == (0x20, 0x8B)
    assert not cpu.ldtr.present


def test_a_guest_that_reloads_its_selectors_gets_the_same_segments():
    made = lay_out(linux64)
    table = PlanMemory(made).read(made.cpu.gdtr.base, made.cpu.gdtr.limit + 1)
    for name, size in (("cs", 8), ("ds", 8), ("tr", 16)):
        register = getattr(made.cpu, name)
        descriptor = table[register.selector :][:size]
        assert decode_descriptor(descriptor, register.selector) == register


def walk(memory, cr3, address):
    """What a processor makes of a linear address: SDM volume 3, 4.5, by hand."""
    table = cr3
    for shift in (39, 30, 21):
        entry = int.from_bytes(memory.read(table + (address >> shift & 511) * 8, 8), "little")
        if not entry & 1:
            return None
        table = entry & 0x000FFFFFFFFFF000
        if entry & 0x80:
            return table + (address & (1 << shift) - 1)
    raise AssertionError("a 4 KiB page")


@pytest.mark.parametrize("memory", [64 * MIB, 3 * GIB, 8 * GIB, 100 * GIB])
def test_all_that_the_entry_uses_is_mapped_to_itself(memory):
    made = lay_out(linux64, memory=memory)
    ram = PlanMemory(made)
    for piece in made.pieces:
        if piece.name != "initrd" and piece.end > piece.start:
            for address in (piece.start, piece.end - 1):
                assert walk(ram, made.cpu.cr3, address) == address, piece
    last = min(max(block.end for block in made.machine.ram), 64 * GIB)
    for address in (0, MIB - 1, MIB, 4 * GIB - 1, max(last, 4 * GIB) - 1):
        assert walk(ram, made.cpu.cr3, address) == address
    assert walk(ram, made.cpu.cr3, max(last, 4 * GIB)) is None


@pytest.mark.parametrize("memory", [64 * MIB, 8 * GIB, 128 * GIB])
def test_what_kaslr_does_not_know_lies_below_1_mib(memory):
    made = lay_out(linux64, info=BootInfo(b"x" * 2047), memory=memory)
    known = {"kernel", "initrd", "zero page", "command line"}
    for piece in made.pieces:
        assert piece.name in known or piece.end <= MIB, piece


# Where things go


def test_an_initrd_lies_above_4_gib_only_if_the_kernel_can_read_the_address():
    high = lay_out(linux64, memory=8 * GIB)
    assert high.address_of("initrd") > 8 * GIB
    low = lay_out(linux64, bzimage(xloadflags=1), memory=8 * GIB)
    assert low.address_of("initrd") < 2 * GIB
    elf = lay_out(linux64, parse(vmlinux()), memory=8 * GIB)
    assert elf.address_of("initrd") < 2 * GIB


def test_a_kernel_goes_above_4_gib_if_there_is_no_room_below():
    image = bzimage(init_size=0xC0000000)
    made = lay_out(linux64, image, memory=12 * GIB, on=machine(12 * GIB, low_end=2 * GIB))
    assert made.address_of("kernel") == 4 * GIB
    assert made.cpu.rip == 4 * GIB + 0x200
    assert walk(PlanMemory(made), made.cpu.cr3, 7 * GIB - 1) == 7 * GIB - 1
