"""The stub's decoders of PVH and multiboot, on this machine and under the compiler's sanitizers.

Hand-offs are made by hvmlite's own encoders and judged by its own decoders, which other tests hold
against QEMU, GRUB and Xen. tests/stub/test_hand_offs.py has the machine code as it is shipped.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hvmlite import images
from hvmlite.errors import FormatError
from hvmlite.guest import acpi
from hvmlite.guest.place import place
from hvmlite.model import (
    BootInfo,
    Machine,
    Module,
    RamBlock,
    Ref,
)
from hvmlite.protocols import multiboot1, multiboot2, pvh
from hvmlite.protocols._linux_screen import framebuffer
from hvmlite.spec.linux import BootParams
from makers.boot_infos import boot_infos, frames, reserved
from makers.elf import Elf, Segment, notes_segment, phys32_entry
from makers.multiboot import CODE, HOLE, MIB, START, header1, header2
from stub.decoders import LOWEST, Decoders, Stopped

RSDP = 0x70
PROTOCOLS = pytest.mark.parametrize("protocol", [pvh, multiboot1, multiboot2], ids=lambda p: p.NAME)
FEWER = settings(max_examples=settings().max_examples // 5)  # three protocols
STRICTER = (
    *("nr_modules", "modlist_paddr", "memmap_entries", "memmap_paddr"),
    *("flags", "information", "mods_count", "mmap_length", "boot_loader_name", "apm_table"),
    *("vbe_mode_info", "memory map", "modules", "memory map tag", "tags", "framebuffer tag"),
    *("VBE tag", "APM tag", "memory size tag", "RSDP tag", "RSDP signature", "RSDP size", "RSDP"),
    *("EFI32 table tag", "EFI64 table tag", "EFI map tag", "EFI handle and table tags"),
    *("EFI32 handle tag", "EFI64 handle tag", "EFI system table"),
)
"""What the stub refuses and hvmlite's decoder does not look at, or reads more of."""


@pytest.fixture(scope="module")
def decoders(tmp_path_factory):
    running = Decoders(tmp_path_factory.mktemp("decoders"))
    yield running
    running.close()


def everyone():
    headers = header2() + header1()
    body = headers + bytes(-len(headers) % 16) + CODE
    entry = START + len(body) - len(CODE)
    kernel = Elf(bits=64, machine=62, entry=entry)
    kernel.segments = [Segment(body, paddr=START, memsz=0x3000, align=8)]
    kernel.segments.append(notes_segment(phys32_entry(entry)))
    return images.parse(kernel.build(), "kernel")


KERNEL = everyone()


def machine(mib=64, reserved=(HOLE,), above=0):
    """RAM that begins where the host lets us have it."""
    low = mib * MIB - LOWEST
    ram = [RamBlock(LOWEST, low, 0)]
    if above:
        ram.append(RamBlock(1 << 32, above * MIB, low))
    return Machine("test", low + above * MIB, tuple(ram), tuple(reserved))


def plan(protocol, info, on, *, tables=False, **options):
    root = Ref(acpi.RSDP) if tables else None
    entry = protocol.encode(protocol.offers(KERNEL), info, on, root, **options)
    if tables:
        entry = replace(entry, pieces=entry.pieces + acpi.tables(on))
    return place(entry, on, info)


class Given:
    """What lies in the guest's memory, perhaps damaged; a GuestMemory that has nothing else."""

    def __init__(self, made, damage=()):
        self.cpu = made.cpu
        self.regions = [
            (p.start, bytearray(p.data).ljust(p.end - p.start, b"\0"))
            for p in made.pieces
            if p.end > p.start
        ]
        told = [data for at, data in self.regions if at < START or at >= START + 0x3000]
        for which, where, value in damage:
            data = told[which % len(told)]
            data[where % len(data)] = value

    def read(self, address, size):
        for start, data in self.regions:
            if start <= address and address + size <= start + len(data):
                return bytes(data[address - start :][:size])
        raise FormatError(f"{size} bytes at {address:#x}")

    def decode(self, protocol):
        return protocol.decode(self, self.cpu)

    def answer(self, decoders, protocol):
        regions: list[tuple[int, bytes]] = []
        for start, data in sorted(self.regions):  # a string without an end goes on in its neighbour
            if regions and regions[-1][0] + len(regions[-1][1]) == start:
                start, before = regions.pop()
                data = before + data
            regions.append((start, bytes(data)))
        return outcome(decoders, protocol.NAME, self.cpu.rbx & 0xFFFFFFFF, regions)


def outcome(decoders, *arguments):
    """What was decoded, or the words with which that was refused."""
    try:
        return decoders.run(*arguments), None
    except Stopped as stopped:
        return None, stopped.args[0]


def type_of(protocol, number):
    return number if protocol is pvh or number in (1, 2, 3, 4, 5, 7, 12) else 2


def screen_of(info):
    """What the zero page can say of a frame buffer."""
    frame = info.framebuffer
    if frame is None or max(frame.width, frame.height, frame.pitch) > 0xFFFF:
        return None
    ends = [position + size for position, size in (frame.red, frame.green, frame.blue)]
    lowest = min(frame.red[0], frame.green[0], frame.blue[0])
    left = (max(ends), frame.depth - max(ends)) if max(ends) < frame.depth else (0, lowest)
    return replace(frame, reserved=left)


def agrees(protocol, handed, info, memory):
    """A decoder of the stub and hvmlite's own read the same."""
    page = BootParams.unpack(handed.page)
    assert handed.cmdline == info.cmdline
    modules = [bytes(module.data) for module in info.modules]
    assert [memory.read(*where) for where in handed.modules] == [data for data in modules if data]
    if info.memory_map:  # else there may be memory sizes, which hvmlite's decoder leaves alone
        types = [type_of(protocol, r.type) for r in info.memory_map]
        told = [replace(r, type=t) for r, t in zip(info.memory_map, types, strict=True)]
        assert list(handed.memory_map) == told
    assert framebuffer(page.screen_info) == screen_of(info)
    if protocol is pvh:
        assert page.acpi_rsdp_addr == info.rsdp


depths = st.sampled_from([0, 8, 15, 16, 24, 32, 255])
infos = boot_infos(frames(st.integers(0, 0x10000), depths), 64)
mutations = st.lists(
    st.tuples(st.integers(0, 99), st.integers(0, 400), st.integers(0, 255)), max_size=6
)
MANY = BootInfo(b"x" * 60_000, (Module(b""), Module(b"y")) * 32)


@st.composite
def machines(draw):
    memory = draw(st.integers(4, 900))
    ranges = draw(reserved(memory * MIB))
    return machine(memory, ranges, draw(st.sampled_from([0, 1, 1 << 20])))


@PROTOCOLS
@FEWER
@given(info=infos, on=machines())
@example(info=MANY, on=machine(900))
def test_what_was_handed_over_is_what_is_decoded(decoders, protocol, info, on):
    info = info if protocol is not pvh else replace(info, framebuffer=None)
    memory = Given(plan(protocol, info, on))
    found, stopped = memory.answer(decoders, protocol)
    assert stopped is None
    agrees(protocol, found, memory.decode(protocol), memory)


@PROTOCOLS
@FEWER
@given(info=infos, damage=mutations)
@example(info=BootInfo(b"", (), None), damage=[(2, 360, 0)])  # a line that is in start_info
def test_damage_is_read_alike_or_refused(decoders, protocol, info, damage):
    """hvmlite's decoder may refuse what the stub has no use for and does not look at."""
    memory = Given(plan(protocol, info, machine()), damage)
    try:
        expected = memory.decode(protocol)
    except FormatError:
        expected = None
    found, stopped = memory.answer(decoders, protocol)
    if stopped:
        assert expected is None or stopped.split(": ")[0] in STRICTER, stopped
    elif expected:
        agrees(protocol, found, expected, memory)


@PROTOCOLS
@given(data=st.binary(max_size=400), magic=st.booleans())
def test_arbitrary_bytes_are_read_or_refused(decoders, protocol, data, magic):
    if magic and protocol is pvh:
        data = (0x336EC578).to_bytes(4, "little") + data
    _, stopped = outcome(decoders, protocol.NAME, 0x20000, [(0x20000, data)] if data else [])
    assert stopped is None or ", " in stopped
