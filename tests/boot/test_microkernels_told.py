"""What no command line can ask for, told to the microkernels: their own decoders read it right."""

from __future__ import annotations

from dataclasses import replace

import pytest

import hvmlite
import microkernel
from boot.test_microkernels import BY_TABLE, LINUX, MIB, agrees
from hvmlite import protocols
from hvmlite.engines import qemu
from hvmlite.errors import RequestError
from hvmlite.guest import acpi
from hvmlite.guest.place import place
from hvmlite.model import (
    BootInfo,
    Framebuffer,
    GuestPlan,
    MemoryRange,
    MemoryType,
    Ref,
    SetupNode,
)

pytestmark = [pytest.mark.boot, pytest.mark.usefixtures("microkernels")]
SCREEN = Framebuffer(
    0xFD000000, 1024, 768, 4096, 32, red=(16, 8), green=(8, 7), blue=(1, 6), reserved=(24, 5)
)


def member(protocol: str) -> protocols.BootProtocol:
    return next(each for each in protocols.PROTOCOLS if protocol == each.NAME)


def told(build: str, protocol: str, info: BootInfo, *holes: MemoryRange) -> GuestPlan:
    """What :func:`hvmlite.plan` makes, with this information, on a machine with holes in its RAM.

    QEMU has no such machine. Its RAM goes on where the guest is told of a hole.
    """
    real = qemu.machine(64 * MIB, 1)
    machine = replace(real, reserved=(*real.reserved, *holes))
    image = hvmlite.open_image(microkernel.FOLDER / build)
    entry = member(protocol).encode(member(protocol).offers(image), info, machine, Ref(acpi.RSDP))
    entry = replace(entry, pieces=(*entry.pieces, *acpi.tables(machine)))
    plan = place(entry, machine, info)
    found = replace(plan.boot_info, rsdp=plan.address_of(acpi.RSDP))
    return replace(plan, boot_info=found, machine=real)


def carries(protocol: str, field: str) -> bool:
    return field in member(protocol).carries


@BY_TABLE
def test_a_frame_buffer(build, protocol):
    plan = told(build, protocol, BootInfo(b"x", framebuffer=SCREEN))
    report = microkernel.start(plan)
    agrees(plan, report)
    found = report["framebuffer"]
    if not carries(protocol, "framebuffer"):
        assert found is None
        return
    names = ("address", "width", "height", "pitch", "depth")
    assert [found[name] for name in names] == [getattr(SCREEN, name) for name in names]
    assert found["type"] == (0x23 if protocol in LINUX else 1)  # VIDEO_TYPE_VLFB, direct colour
    # multiboot has no field for bits that are not used
    reserved = SCREEN.reserved if protocol in LINUX else (0, 0)
    colours = (SCREEN.red, SCREEN.green, SCREEN.blue, reserved)
    assert bytes.fromhex(found["colours"]) == bytes(sum(colours, ()))


@BY_TABLE
def test_setup_data_and_the_subarchitecture(build, protocol):
    nodes = (SetupNode(9, bytes(range(32))), SetupNode(2, b""), SetupNode(9, b"x" * 5000))
    info = BootInfo(b"x", (), setup_data=nodes, hardware_subarch=3, hardware_subarch_data=1 << 40)
    if not carries(protocol, "setup_data"):
        info = replace(info, setup_data=(), hardware_subarch=0, hardware_subarch_data=0)
    plan = told(build, protocol, info)
    report = microkernel.start(plan)
    agrees(plan, report)
    facts = report["facts"]
    if carries(protocol, "hardware_subarch"):
        assert facts["hardware_subarch"] == info.hardware_subarch
        assert facts["hardware_subarch_data"] == info.hardware_subarch_data


def holes(number: int) -> list[MemoryRange]:
    """Pages that are no RAM, of all types, each between two that are."""
    types = (MemoryType.RESERVED, MemoryType.ACPI, MemoryType.NVS, MemoryType.UNUSABLE)
    starts = [0x2000000 + 0x2000 * n for n in range(number)]
    return [MemoryRange(at, at + 0x1000, types[n % len(types)]) for n, at in enumerate(starts)]


@BY_TABLE
def test_a_memory_map_with_many_records(build, protocol):
    plan = told(build, protocol, BootInfo(b"x"), *holes(50))
    assert 100 < len(plan.boot_info.memory_map) <= 128
    agrees(plan, microkernel.start(plan))


@BY_TABLE
def test_a_memory_map_with_more_records_than_a_zero_page_has(build, protocol):
    """128 of them. Linux's 32-bit and 64-bit entries are told the rest in a setup_data node."""
    if protocol == "linux16":
        with pytest.raises(RequestError, match=r"memory map: \d+ records found, at most 128"):
            told(build, protocol, BootInfo(b"x"), *holes(150))
        return
    plan = told(build, protocol, BootInfo(b"x"), *holes(150))
    assert len(plan.boot_info.memory_map) > 300
    report = microkernel.start(plan)
    agrees(plan, report)
    if protocol in LINUX:
        assert report["facts"]["e820_entries"] == 128
