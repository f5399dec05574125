"""The project's own guests, by every entry ABI: they find what its document promises, and no more
is needed; what their own decoders read is what the plan has."""

from __future__ import annotations

import random
import zlib

import pytest

import microkernel
from boot.poison import poisoned
from hvmlite.guest.memory import PlanMemory
from hvmlite.model import GuestPlan, MemoryType
from microkernel import DOORS, Report

pytestmark = [pytest.mark.boot, pytest.mark.usefixtures("microkernels")]
MIB, GIB = 1 << 20, 1 << 30
MEMORY = 64 * MIB

LINUX = {"linux16", "linux32", "linux64"}
MULTIBOOT = {"multiboot1", "multiboot2"}
BZIMAGES = {"linux16", "linux32", "linux64"}

BY_TABLE = pytest.mark.parametrize(("build", "protocol"), DOORS)


def agrees(plan: GuestPlan, report: Report) -> None:
    """The guest's own report is what the plan says it would find."""
    assert report.passed, (report.checks, report.trap)
    assert report["abi"] == plan.protocol
    registers(plan, report)
    info, protocol = plan.boot_info, plan.protocol
    assert report.cmdline == info.cmdline
    modules(plan, report)
    assert [tuple(each) for each in report["memory_map"]] == [
        (r.start, r.end, told_type(r.type, protocol)) for r in info.memory_map
    ]
    nodes = [(n.type, len(n.data), zlib.crc32(n.data)) for n in info.setup_data]
    found = [tuple(node) for node in report["setup_data"]]
    assert [node for node in found if node[0] != 1] == (nodes if protocol in LINUX else [])
    rsdp(plan, report)


def registers(plan: GuestPlan, report: Report) -> None:
    cpu, found = plan.cpu, report["regs"]
    mask = (1 << (64 if plan.protocol == "linux64" else 32)) - 1
    expected = {name: value & mask for name, value in cpu.general.items() if name in found}
    for name in ("rip", "rflags", "cr0", "cr2", "cr3", "cr4", "efer"):
        expected[name] = getattr(cpu, name)
    for name in ("cs", "ds", "es", "fs", "gs", "ss", "tr", "ldtr"):
        expected[name] = getattr(cpu, name).selector
    for name in ("gdtr", "idtr"):
        table = getattr(cpu, name)
        expected[name], expected[f"{name}_limit"] = table.base, table.limit
    if plan.protocol == "linux16":
        expected["rip"] += cpu.cs.base  # said as a linear address
        expected["efer"] = 0  # not looked at
        del expected["tr"], expected["ldtr"]  # which real mode cannot store
    assert found == expected


def modules(plan: GuestPlan, report: Report) -> None:
    """In their order, where the plan has them, whole; Linux is given them as one."""
    given = [(bytes(m.data), m.cmdline) for m in plan.boot_info.modules]
    if plan.protocol in LINUX:
        given = [(joined([data for data, _ in given]), b"")] if given else []
        given = [each for each in given if each[0]]
    found = report["modules"]
    assert [(m["size"], m["crc32"]) for m in found] == [
        (len(data), zlib.crc32(data)) for data, _ in given
    ]
    assert [bytes.fromhex(m["cmdline"] or "") for m in found] == [line for _, line in given]
    memory = PlanMemory(plan)
    for module, (data, _) in zip(found, given, strict=True):
        assert memory.read(module["start"], module["size"]) == data


def joined(parts: list[bytes]) -> bytes:
    """One initramfs buffer: behind each part but the last at least 4 zeros, to a multiple of 4."""
    padded = [part + bytes(-len(part) % 4 + 4) for part in parts[:-1]]
    return b"".join([*padded, parts[-1]])


def told_type(type_: int, protocol: str) -> int:
    # Multiboot knows 1 to 5; what is any other is no RAM to it.
    return type_ if protocol not in MULTIBOOT or type_ <= 5 else MemoryType.RESERVED


def rsdp(plan: GuestPlan, report: Report) -> None:
    """It is where the plan has it, or found as ACPI 5.2.5.1 has it, or said not to be carried."""
    found = (report["rsdp"], report["rsdp_searched"])
    if "rsdp" in {each.field for each in plan.dropped}:
        assert found == (0, True)
        return
    assert report["rsdp_ok"]
    if plan.protocol == "multiboot2":  # a copy, in its information
        assert not report["rsdp_searched"]
        assert (report["facts"]["rsdp_old"], report["facts"]["rsdp_new"]) == (20, 36)
    else:
        assert found == (plan.boot_info.rsdp, plan.protocol in {"multiboot1", "linux16"})


@pytest.fixture
def files(tmp_path):
    """Modules of sizes at the ends of words and pages."""
    made = []
    for number, size in enumerate((1, 4095, 4096, 4097, 3, 70000)):
        path = tmp_path / f"module-{number}"
        path.write_bytes(random.Random(number).randbytes(size))
        made.append((path, "" if number % 2 else f"module {number}, a line"))
    return made


@BY_TABLE
def test_a_microkernel_agrees_with_the_plan(build, protocol):
    plan, report = microkernel.run(build, protocol, memory=MEMORY, cmdline="a 'b c' -- d=é")
    agrees(plan, report)


@BY_TABLE
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_needed_but_what_the_document_promises(build, protocol, seed, files):
    plan = microkernel.plan(build, protocol, memory=MEMORY, modules=files[:3], cmdline="poison")
    changed = poisoned(plan, protocol, seed, window=build in BZIMAGES)
    report = microkernel.start(changed)
    agrees(changed, report)


@BY_TABLE
def test_modules(build, protocol, files):
    plan, report = microkernel.run(build, protocol, memory=MEMORY, modules=files)
    agrees(plan, report)


@BY_TABLE
def test_neither_a_module_nor_a_command_line(build, protocol):
    plan, report = microkernel.run(build, protocol, memory=MEMORY)
    agrees(plan, report)
    assert report["modules"] == []
    assert report.cmdline == b""


@BY_TABLE
def test_the_longest_command_line(build, protocol):
    line = bytes(range(1, 256)) * 8
    line += bytes([33]) * (2047 - len(line))
    plan, report = microkernel.run(build, protocol, memory=MEMORY, cmdline=line)
    agrees(plan, report)
    assert len(report.cmdline) == 2047


@BY_TABLE
@pytest.mark.parametrize("memory", [5 * GIB, 2 * GIB + 768 * MIB - MIB, 33 * MIB])
def test_memory_sizes(build, protocol, memory, files):
    plan, report = microkernel.run(build, protocol, memory=memory, modules=files[:1])
    agrees(plan, report)
    ram = sum(end - start for start, end, type_ in report["memory_map"] if type_ == 1)
    assert memory - MIB < ram <= memory
