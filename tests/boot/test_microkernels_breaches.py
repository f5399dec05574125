"""Every check of the microkernels can fail: a promise that is broken is named, a trap is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

import microkernel
from boot.poison import poisoned
from boot.test_microkernels import MEMORY
from hvmlite.guest.memory import PlanMemory
from hvmlite.model import GuestPlan
from microkernel import DOORS

pytestmark = [pytest.mark.boot, pytest.mark.usefixtures("microkernels")]


def patched(plan: GuestPlan, address: int, code: bytes) -> GuestPlan:
    """The plan with other bytes at an address of the kernel."""
    pieces = []
    for piece in plan.pieces:
        at = address - piece.start
        if 0 <= at < len(piece.data):
            data = bytes(piece.data)
            piece = replace(piece, data=data[:at] + code + data[at + len(code) :])
        pieces.append(piece)
    assert tuple(pieces) != plan.pieces
    return replace(plan, pieces=tuple(pieces))


def within(plan: GuestPlan, piece: str, offset: int, code: bytes) -> GuestPlan:
    return patched(plan, plan.address_of(piece) + offset, code)


def _interrupts_on(cpu):
    return replace(cpu, rflags=cpu.rflags | 0x200)


def _another_magic(cpu):
    return replace(cpu, rax=cpu.rax ^ 1)


def _paging_bits(cpu):
    return replace(cpu, cr4=cpu.cr4 | 0x10)


def _not_zero(cpu):
    return replace(cpu, rbp=1)


def _no_descriptors(cpu):
    return cpu.with_register("gdtr", cpu.gdtr.base + 8)


def _data_not_flat(cpu):
    return replace(cpu, ds=replace(cpu.ds, base=0x1000))


def _code_not_flat(cpu):
    return replace(cpu, cs=replace(cpu.cs, base=0x1000), rip=cpu.rip - 0x1000)


def _gs_not_flat(cpu):
    return replace(cpu, gs=replace(cpu.gs, base=0x1000))


def _another_segment(cpu):
    return replace(cpu, es=replace(cpu.es, selector=cpu.es.selector + 8))


BREACHES = [
    ("pvh32", "pvh", _interrupts_on, ["rflags-if"]),
    ("pvh64", "pvh", _interrupts_on, ["rflags-if"]),
    ("pvh32", "pvh", _paging_bits, ["cr4"]),
    ("pvh64", "pvh", _data_not_flat, ["ds"]),
    ("pvh64", "pvh", _code_not_flat, ["cs"]),
    ("linux32", "linux32", _interrupts_on, ["rflags-if"]),
    ("linux32", "linux32", _not_zero, ["ebp"]),
    ("linux32", "linux32", _no_descriptors, ["gdt"]),
    ("linux64", "linux32", _no_descriptors, ["gdt"]),
    ("linux64", "linux64", _interrupts_on, ["rflags-if"]),
    ("linux64", "linux64", _another_segment, ["es"]),
    ("linux64", "linux64", _no_descriptors, ["gdt"]),
    ("linux16", "linux16", _interrupts_on, ["rflags-if"]),
    ("linux16", "linux16", _another_segment, ["es"]),
    ("multiboot1-elf32", "multiboot1", _interrupts_on, ["rflags-if"]),
    ("multiboot1-elf64", "multiboot1", _another_magic, ["eax"]),
    ("multiboot2-elf32", "multiboot2", _another_magic, ["eax"]),
    ("multiboot2-elf64", "multiboot2", _gs_not_flat, ["gs"]),
]


@pytest.mark.parametrize(
    ("build", "protocol", "change", "checks"),
    [pytest.param(*row, id=f"{row[0]}-{row[1]}{row[2].__name__}") for row in BREACHES],
)
def test_a_broken_promise_is_named(build, protocol, change, checks):
    """The other half of every check: it can fail."""
    plan = microkernel.plan(build, protocol, memory=MEMORY)
    report = microkernel.start(replace(plan, cpu=change(plan.cpu)))
    assert (report.status, report.checks) == (1, checks)


IMAGE = 0x100000
HEADER = ["type_of_loader", "header", "loadflags", "header-end"]
TAGS = [
    "tag-size", "end-tag", "tag-command-line", "tag-loader-name", "tag-memory", "tag-memory-map",
    "memory-map",
]  # fmt: skip
MEMORY_BREACHES = [
    ("pvh64", "pvh", "start info", 0, b"\x79", ["magic", "memory-map"]),
    ("pvh64", "pvh", "start info", 0x34, b"\x01", ["info-reserved"]),
    ("pvh64", "pvh", "start info", 0x18, IMAGE.to_bytes(8, "little"), ["command-line-over-image"]),
    ("pvh64", "pvh", "start info", 0x20, b"\x10", ["rsdp"]),
    ("pvh64", "pvh", "start info", 0x10, b"\0\0\0\0\x05", ["reach"]),
    ("pvh64", "pvh", "module list", 0, IMAGE.to_bytes(8, "little"), ["module-over-image"]),
    ("pvh64", "pvh", "module list", 3, b"\x70", ["module-in-ram"]),
    ("pvh64", "pvh", "module list", 0x18, b"\x01", ["module-reserved"]),
    ("pvh64", "pvh", "memory map", 0x14, b"\x01", ["map-reserved"]),
    ("pvh64", "pvh", "ACPI RSDP", 9, b"?", ["rsdp"]),
    ("pvh64", "pvh", "ACPI XSDT", 9, b"?", ["rsdp-tables"]),
    ("linux32", "linux32", "zero page", 0x1EF, b"\xff", ["sentinel"]),
    ("linux32", "linux32", "zero page", 0x210, b"\0", ["type_of_loader"]),
    ("linux32", "linux32", "zero page", 0x1E8, b"\x81", ["e820_entries"]),
    ("linux32", "linux32", "zero page", 0x211, b"\0", ["loadflags"]),
    ("linux32", "linux32", "zero page", 0x214, b"\x01", ["code32_start"]),
    ("linux32", "linux32", "zero page", 0x26C, b"\x01", ["header-too-long"]),
    ("linux64", "linux64", "zero page", 0x1F1, bytes(0x7B), HEADER),
    ("multiboot1-elf32", "multiboot1", "multiboot information", 0, b"\x6c", ["memory-information"]),
    (
        "multiboot1-elf32",
        "multiboot1",
        "memory map",
        0,
        b"\x13",
        ["map-record-size", "image-in-ram", "module-in-ram"],
    ),
    ("multiboot2-elf32", "multiboot2", "multiboot2 information", 12, b"\x07", TAGS),
]


@pytest.mark.parametrize(
    ("build", "protocol", "piece", "offset", "code", "checks"),
    [pytest.param(*row, id=f"{row[1]}-{row[2]}-{row[3]:#x}") for row in MEMORY_BREACHES],
)
def test_a_wrong_byte_in_memory_is_named(build, protocol, piece, offset, code, checks, tmp_path):
    module = tmp_path / "module"
    module.write_bytes(b"module" * 1000)
    plan = microkernel.plan(build, protocol, memory=MEMORY, modules=[(module, "")], cmdline="x")
    report = microkernel.start(within(plan, piece, offset, code))
    assert report.status == 1
    assert report.checks == checks


@pytest.mark.parametrize(
    "build", [build for build, _ in dict(DOORS).items() if "linux" not in build]
)
def test_what_is_not_cleared_is_named(build):
    """An ELF's BSS, and what the address fields of a multiboot header call so."""
    (protocol,) = (abi for name, abi in DOORS if name == build)
    plan = microkernel.plan(build, protocol, memory=MEMORY)
    report = microkernel.start(poisoned(plan, protocol, 0, window=True))
    assert (report.status, report.checks) == (1, ["bss"])


@pytest.mark.parametrize("door", [door for door in DOORS if door[1] == "linux64"])
def test_what_is_not_mapped_is_named(door):
    """The first 2 MiB, in which the zero page and the command line lie."""
    plan = microkernel.plan(*door, memory=MEMORY, cmdline="x")
    memory, table = PlanMemory(plan), plan.cpu.cr3
    for _ in ("PDPT", "PD"):
        table = int.from_bytes(memory.read(table, 8), "little") & ~0xFFF
    entry = int.from_bytes(memory.read(table, 8), "little")
    assert entry & 0x80  # a large page
    report = microkernel.start(patched(plan, table, (entry & ~1).to_bytes(8, "little")))
    assert report.status == 1
    assert report.checks == ["zero-page-mapped", "command-line-mapped"]


UD2 = b"\x0f\x0b"


@pytest.mark.parametrize("build", ["pvh32", "pvh64"])
@pytest.mark.parametrize(("where", "vector"), [("say_report", 6), ("segments", 255)])
def test_a_trap_is_told(build, where, vector):
    """In C with its vector, in the entry code (which has one handler for all) without."""
    address = microkernel.symbol(build, where)
    plan = microkernel.plan(build, "pvh", memory=MEMORY)
    report = microkernel.start(patched(plan, address, UD2))
    assert report.status == 2
    assert (report.trap["vector"], report.trap["rip"]) == (vector, address)


@pytest.mark.parametrize("build", ["pvh32", "pvh64"])
def test_a_fault_is_a_failed_check(build):
    """The read at the end of what a flat segment reaches: TCG, unlike KVM, never refuses it."""
    plan = microkernel.plan(build, "pvh", memory=MEMORY)
    segments = microkernel.symbol(build, "segments")
    code = PlanMemory(plan).read(segments, 256)
    read = code.index(b"\x26\xa1\xfc\xff\xff\xff")  # mov eax, es:[0xfffffffc]
    report = microkernel.start(patched(plan, segments + read, UD2))
    assert (report.status, report.checks) == (1, ["es"])
