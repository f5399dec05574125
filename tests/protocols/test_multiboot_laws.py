"""Multiboot: decode undoes encode, and all protocols tell a guest the same."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from hvmlite import images
from hvmlite.errors import PlacementError
from hvmlite.guest.memory import PlanMemory
from hvmlite.guest.place import place
from hvmlite.model import BootInfo, MemoryType, Module, Offer
from hvmlite.protocols import multiboot1, multiboot2, pvh
from makers.boot_infos import boot_infos, frames, reserved
from makers.elf import Elf, Segment, notes_segment, phys32_entry
from makers.multiboot import CODE, MIB, START, elf, header1, header2, machine, symbols, tag


def everyone(bits):
    """One ELF with both headers and the PVH note."""
    headers = header2() + header1()
    body = headers + bytes(-len(headers) % 16) + CODE
    entry = START + len(body) - len(CODE)
    kernel = Elf(bits=bits, machine=3 if bits == 32 else 62, entry=entry, sections=symbols())
    kernel.segments = [Segment(body, paddr=START, memsz=0x3000, align=8)]
    kernel.segments.append(notes_segment(phys32_entry(entry)))
    return images.parse(kernel.build(), "kernel")


KERNELS = {bits: everyone(bits) for bits in (32, 64)}
sizes = st.integers(0, (1 << 32) - 1)
infos = boot_infos(frames(sizes, st.integers(0, 255)), 40)


@st.composite
def machines(draw):
    memory = draw(st.integers(4, 8192)) * MIB
    return machine(memory, reserved=draw(reserved(memory)))


def handed_over(protocol, image, info, on):
    """(what the plan says, what is read back from the guest's memory)."""
    made = place(protocol.encode(protocol.offers(image), info, on, None), on, info)
    return made.boot_info, protocol.decode(PlanMemory(made), made.cpu)


def as_multiboot(ranges):
    # The document has no number for types above 5: they are told as reserved.
    return tuple(r if r.type <= 5 else replace(r, type=MemoryType.RESERVED) for r in ranges)


def common(info):
    return info.cmdline, [(bytes(m.data), m.cmdline) for m in info.modules]


def undone(protocol, info, on, bits):
    told, read = handed_over(protocol, KERNELS[bits], info, on)
    assert common(read) == common(told)
    assert read.memory_map == as_multiboot(told.memory_map)
    assert read.framebuffer == told.framebuffer
    assert read.origin.loader == "hvmlite (as GRUB 2)"
    assert protocol.carries == {"cmdline", "modules", "memory_map", "framebuffer"}


MANY = BootInfo(b"x" * 60_000, (Module(b""),) * 64)


@given(infos, machines(), st.sampled_from([32, 64]))
@example(MANY, machine(8 << 30), 64)
def test_multiboot1_decode_undoes_encode(info, on, bits):
    undone(multiboot1, info, on, bits)


@given(infos, machines(), st.sampled_from([32, 64]))
@example(MANY, machine(8 << 30), 64)
def test_multiboot2_decode_undoes_encode(info, on, bits):
    undone(multiboot2, info, on, bits)


@given(infos, machines(), st.sampled_from([32, 64]))
def test_every_protocol_tells_the_same(info, on, bits):
    found = {}
    for protocol in (pvh, multiboot1, multiboot2):
        told, read = handed_over(protocol, KERNELS[bits], info, on)
        ram = [r for r in as_multiboot(told.memory_map) if r.start >= MIB]
        assert [r for r in as_multiboot(read.memory_map) if r.start >= MIB] == ram
        found[protocol.NAME] = (common(read), ram)
    assert found["multiboot1"] == found["multiboot2"] == found["pvh"]


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF),
       st.integers(0, 3), machines())  # fmt: skip
def test_a_relocatable_image_lies_within_its_bounds_or_nowhere(low, high, align, wish, on):
    image = images.parse(elf(header2(tag(10, low, high, align, wish))), "kernel")
    offer = multiboot2.offers(image)
    if not isinstance(offer, Offer):
        assert -(-low // max(align, 1)) * max(align, 1) + 0x2000 > high
        return
    try:
        made = place(multiboot2.encode(offer, BootInfo(), on, None), on, BootInfo())
    except PlacementError:
        return
    at = made.address_of("kernel segment 0")
    assert low <= at
    assert at + 0x2000 <= high
    assert at % max(align, 1) == 0
    assert made.cpu.rip == at + offer.entry - START
