"""Stock kernels by the entries of Linux's own protocol, and the same told through each door."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import pytest

import hvmlite
from boot.agreement import agrees, as_found, linux_page, told_early
from boot.reporter import LINE, QUICK, boot, finish
from hvmlite.engines import qemu
from hvmlite.errors import RequestError
from hvmlite.guest import acpi
from hvmlite.guest.memory import PlanMemory
from hvmlite.guest.place import place
from hvmlite.model import (
    BootInfo,
    Ending,
    Framebuffer,
    Kind,
    MemoryRange,
    MemoryType,
    Module,
    Offer,
    Piece,
    Ref,
    Refusal,
    RunOptions,
    SetupNode,
)
from hvmlite.protocols import linux16, linux32, linux64
from initramfs import Archive

pytestmark = pytest.mark.boot
KERNELS = ("6.1-cloud", "6.12-cloud", "6.1-full", "6.12-full", "6.1-686-pae")
MIB, GIB = 1 << 20, 1 << 30
TIMEOUT = 240
PINNED = LINE.replace(" -- ", " nokaslr -- ")


def doors(path, *names):
    """The protocols that the image offers, in order."""
    offered = [o.protocol for o in hvmlite.offers(hvmlite.open_image(path)) if isinstance(o, Offer)]
    return [name for name in offered if not names or name in names]


PAIRS = [
    (name, protocol)
    for name in KERNELS
    for protocol in ("pvh", "linux64", "linux32", "linux16")
    if (name, protocol) != ("6.1-686-pae", "linux64")
]


@pytest.fixture(scope="module")
def through(kernels, initrds):
    """Plan and report of a kernel by a door, booted once."""

    @cache
    def booted(name, protocol):
        return boot(kernels[name], [initrds.of(name)], protocol=protocol, timeout=TIMEOUT)

    return booted


@pytest.mark.parametrize(("name", "protocol"), PAIRS)
def test_a_door_leads_to_user_space(kernels, initrds, through, name, protocol):
    plan, report = through(name, protocol)
    assert plan.protocol == protocol
    agrees(plan, report, initrds.payload, kernels[name])


@pytest.mark.parametrize("name", KERNELS)
def test_all_doors_are_offered_and_tell_the_same(kernels, through, name):
    found = doors(kernels[name])
    assert [(name, protocol) for protocol in found] == [pair for pair in PAIRS if pair[0] == name]
    first, *others = [through(name, protocol)[1] for protocol in found]
    for other in others:
        same(first, other)


def same(one, other):
    """What two doors both carry, as the guest itself saw it.

    Below 1 MiB lies what only one of them has: the 16-bit entry's BIOS.
    """
    assert one.cmdline == other.cmdline
    assert one.files == other.files
    assert one.tables == other.tables
    assert one["cpus"] == other["cpus"]
    for name in ("ACPI Tables", "ACPI Non-volatile Storage"):
        assert one.ranges(name) == other.ranges(name)
    for name in ("System RAM", "Reserved"):
        assert [r for r in one.ranges(name) if r[0] >= MIB] == [
            r for r in other.ranges(name) if r[0] >= MIB
        ]


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("6.1-cloud", "linux64"),
        ("6.1-cloud", "linux32"),
        ("6.12-cloud", "linux64"),
        ("6.12-cloud", "linux32"),
        ("6.12-cloud", "linux16"),
        ("6.1-686-pae", "linux32"),
        ("6.1-686-pae", "linux16"),
    ],
)
def test_without_kaslr_it_runs_where_it_was_put(kernels, initrds, name, protocol):
    plan, report = boot(
        kernels[name], [initrds.of(name)], cmdline=PINNED, protocol=protocol, timeout=TIMEOUT
    )
    assert not report.boot_params[0x211] & 2
    agrees(plan, report, initrds.payload, kernels[name])


def extracted(kernel, tmp_path):
    vmlinux = tmp_path / "vmlinux"
    vmlinux.write_bytes(hvmlite.open_image(kernel).payload.image.data)
    return vmlinux


@pytest.mark.parametrize("name", ["6.1-cloud", "6.12-cloud", "6.1-686-pae"])
def test_a_vmlinux_starts_without_a_header(kernels, initrds, tmp_path, name):
    protocol = "linux32" if "686" in name else "linux64"
    path = extracted(kernels[name], tmp_path)
    assert doors(path, "linux64", "linux32") == [protocol]
    plan, report = boot(path, [initrds.of(name)], protocol=protocol, timeout=TIMEOUT)
    agrees(plan, report, initrds.payload)


@pytest.mark.parametrize("protocol", ["linux64", "linux32", "linux16"])
def test_two_processors(kernels, initrds, protocol):
    path = kernels["6.12-cloud"]
    plan, report = boot(path, [initrds.amd64], cpus=2, protocol=protocol, timeout=TIMEOUT)
    assert report["cpus"].strip() == "2"
    agrees(plan, report, initrds.payload, path)


@pytest.mark.parametrize("name", ["6.1-cloud", "6.12-cloud"])
def test_an_initrd_above_4_gib_by_the_64_bit_entry(kernels, initrds, name):
    path = kernels[name]
    plan, report = boot(path, [initrds.amd64], memory=8 * GIB, protocol="linux64", timeout=TIMEOUT)
    assert plan.address_of("initrd") > 8 * GIB
    assert int.from_bytes(report.boot_params[0xC0:0xC4], "little") == 2
    agrees(plan, report, initrds.payload, path)


def test_an_initrd_stays_below_initrd_addr_max_by_the_32_bit_entry(kernels, initrds):
    path = kernels["6.12-cloud"]
    plan, report = boot(path, [initrds.amd64], memory=8 * GIB, protocol="linux32", timeout=TIMEOUT)
    (initrd,) = [piece for piece in plan.pieces if piece.name == "initrd"]
    assert -(-initrd.end // 4096) * 4096 == 2 * GIB  # 0x7fffffff is the last byte
    agrees(plan, report, initrds.payload, path)


@pytest.mark.parametrize("protocol", ["linux64", "linux32", "linux16"])
def test_several_initrds_are_one_to_the_guest(kernels, initrds, tmp_path, protocol):
    more = {"odd": b"x" * 4097, "more": bytes(range(256))}
    second = Archive()
    for name, content in more.items():
        second.file(f"/payload/{name}", content)
    uneven = tmp_path / "first"
    uneven.write_bytes(initrds.amd64.read_bytes() + bytes(3))
    (tmp_path / "second").write_bytes(second.cpio())
    path = kernels["6.12-cloud"]
    plan, report = boot(path, [uneven, tmp_path / "second"], protocol=protocol, timeout=TIMEOUT)
    agrees(plan, report, initrds.payload | more, path)


@pytest.mark.parametrize("protocol", ["linux64", "linux32", "linux16"])
def test_the_longest_command_line(kernels, initrds, protocol):
    line = f"console=ttyS0 {QUICK} ".ljust(2047, "x")
    path = kernels["6.12-cloud"]
    plan, report = boot(path, [initrds.amd64], cmdline=line, protocol=protocol, timeout=TIMEOUT)
    agrees(plan, report, initrds.payload, path)
    with pytest.raises(RequestError, match="2048 bytes found, at most 2047"):
        hvmlite.plan(path, cmdline=line + "x", protocol=protocol)


@pytest.mark.parametrize("protocol", ["linux64", "linux32", "linux16"])
def test_without_an_initrd(kernels, protocol):
    line = f"console=ttyS0 {QUICK}"
    with hvmlite.run(kernels["6.12-cloud"], cmdline=line, protocol=protocol) as guest:
        outcome, text = guest.wait(TIMEOUT), guest.console.text()
    assert outcome.kind is Ending.RESET
    assert "VFS: Unable to mount root fs" in text
    told_early(guest.plan, text)


def test_a_vmlinux_is_moved_and_runs(kernels, initrds, tmp_path):
    """What lies at its linked address, 16 MiB, is called reserved: it goes 2 MiB higher."""
    path = extracted(kernels["6.12-cloud"], tmp_path)
    plan = plan_with(hole(16 * MIB, 17 * MIB), path, initrds.amd64, linux64)
    assert plan.cpu.rip == linux64.offers(hvmlite.open_image(path)).entry + 2 * MIB
    report = finish(qemu.start(plan, RunOptions()), TIMEOUT)
    agrees(plan, report, initrds.payload)
    assert report.ranges("Kernel code")[0][0] == 18 * MIB


@pytest.mark.parametrize("protocol", [linux64, linux32], ids=lambda p: p.NAME)
def test_a_bzimage_is_moved_and_runs_there(kernels, initrds, protocol):
    path = kernels["6.12-cloud"]
    plan = plan_with(hole(16 * MIB, 17 * MIB), path, initrds.amd64, protocol, PINNED)
    assert plan.address_of("kernel") == 18 * MIB
    report = finish(qemu.start(plan, RunOptions()), TIMEOUT)
    agrees(plan, report, initrds.payload, path)
    assert report.ranges("Kernel code")[0][0] == 18 * MIB


def test_a_bzimage_is_moved_by_less_than_it_prefers(kernels, initrds):
    """16 MiB is this kernel's own alignment, and too much for what the machine has left."""
    path = kernels["6.1-686-pae"]
    plan = plan_with(hole(16 * MIB, 17 * MIB), path, initrds.i386, linux32, PINNED, memory=48 * MIB)
    where = plan.address_of("kernel")
    assert where % (16 * MIB)
    page = PlanMemory(plan).read(plan.cpu.rsi, 4096)
    chosen = int.from_bytes(page[0x230:0x234], "little")
    assert chosen < 16 * MIB
    assert where % chosen == 0
    report = finish(qemu.start(plan, RunOptions()), TIMEOUT)
    assert report.ranges("Kernel code")[0][0] == where


@pytest.mark.parametrize("protocol", [linux64, linux32], ids=lambda p: p.NAME)
def test_a_memory_map_of_more_than_128_records_arrives(kernels, initrds, protocol):
    """100 holes of a page, each between two pages of RAM: the machine is the engine's, and only
    the guest is told of them."""
    path = kernels["6.12-cloud"]
    real = qemu.machine(512 * MIB, 1)
    starts = range(2 * MIB, 2 * MIB + 200 * 4096, 2 * 4096)
    holes = tuple(MemoryRange(at, at + 4096, MemoryType.RESERVED) for at in starts)
    cut_up = replace(real, reserved=(*real.reserved, *holes))
    plan = replace(plan_with([], path, initrds.amd64, protocol, machine=cut_up), machine=real)
    assert len(plan.boot_info.memory_map) > 200
    report = finish(qemu.start(plan, RunOptions()), TIMEOUT)
    assert as_found(plan, report) == linux_page(plan, path)
    assert "extended physical RAM map" in report["dmesg"]
    found = re.findall(
        r"reserve setup_data: \[mem 0x(\w+)-0x(\w+)\] (.*?)$", report["dmesg"], re.MULTILINE
    )
    reserved = [(int(a, 16), int(b, 16) + 1) for a, b, name in found if name == "reserved"]
    assert [(r.start, r.end) for r in plan.boot_info.memory_map if r.type == 2] == reserved


@pytest.mark.parametrize("protocol", [linux64, linux32, linux16], ids=lambda p: p.NAME)
@pytest.mark.parametrize("name", ["6.12-cloud", "6.1-686-pae"])
def test_what_only_linux_is_told_arrives(kernels, initrds, name, protocol):
    """Nodes of setup_data, a frame buffer, the subarchitecture's data."""
    if name == "6.1-686-pae" and protocol is linux64:
        assert isinstance(protocol.offers(hvmlite.open_image(kernels[name])), Refusal)
        return
    nodes = (SetupNode(0x1234, b"first"), SetupNode(9, b"seed" * 8), SetupNode(0x1235, b"x" * 5000))
    info = BootInfo(
        LINE.encode(),
        (Module(initrds.of(name).read_bytes(), b"", "initrd"),),
        framebuffer=None if protocol is linux16 else Framebuffer(0xFD000000, 800, 600, 3200),
        setup_data=nodes,
        hardware_subarch_data=0x1122334455667788,
    )
    plan = plan_with([], kernels[name], None, protocol, info=info)
    report = finish(qemu.start(plan, RunOptions()), TIMEOUT)
    found = report.setup_data
    assert [type_ for type_, _ in found] == [node.type for node in nodes]
    # The seed is wiped once it is used (parse_setup_data in arch/x86/kernel/setup.c).
    assert (found[0][1], found[2][1]) == (nodes[0].data, nodes[2].data)
    assert not any(found[1][1])
    page = report.boot_params
    assert int.from_bytes(page[0x240:0x248], "little") == 0x1122334455667788
    assert int.from_bytes(page[0x250:0x258], "little") == plan.address_of("setup_data 0")
    if protocol is not linux16:
        screen = bytearray(64)
        for at, size, value in (
            (0x0F, 1, 0x23), (0x12, 2, 800), (0x14, 2, 600), (0x16, 2, 32), (0x18, 4, 0xFD000000),
            (0x1C, 4, 30), (0x24, 2, 3200), (0x26, 8, 0x1808_0008_0808_1008), (0x32, 2, 1),
        ):  # fmt: skip
            screen[at : at + size] = value.to_bytes(size, "little")
        assert page[:64] == bytes(screen)


def hole(start, end):
    return Piece(
        f"hole at {start:#x}", kind=Kind.CODE, size=end - start, at=start,
        memory_type=MemoryType.RESERVED,
    )  # fmt: skip


def plan_with(
    extra, kernel, initrd, protocol, line=LINE, memory=512 * MIB, machine=None, info=None
):
    """What :func:`hvmlite.plan` makes, and some pieces more."""
    extra = [extra] if isinstance(extra, Piece) else extra
    info = info or BootInfo(line.encode(), (Module(initrd.read_bytes(), b"", "initrd"),))
    machine = machine or qemu.machine(memory, 1)
    offer = protocol.offers(hvmlite.open_image(kernel))
    entry = protocol.encode(offer, info, machine, Ref(acpi.RSDP))
    pieces = (*entry.pieces, *acpi.tables(machine), *extra)
    return place(replace(entry, pieces=pieces), machine, info)
