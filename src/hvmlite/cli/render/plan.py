"""A plan: the memory map as a picture, the processor, and what the guest is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.cli._output import escape
from hvmlite.cli.render import _cpu, _map
from hvmlite.cli.render._text import address, size, table
from hvmlite.model import Kind, MemoryType

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hvmlite.cli._answer import Document
    from hvmlite.cli._style import Style
    from hvmlite.model import Disk, Dropped, GuestPlan, Machine, Module

__all__ = ["document", "dropped", "lines"]


def document(plan: GuestPlan, image: str) -> Document:
    """Return the plan for ``--json``; `image` is the file that the user named."""
    return {
        "image": escape(image),
        "protocol": plan.protocol,
        "machine": _machine(plan.machine),
        "map": [
            {
                "start": piece.start,
                "end": piece.end,
                "name": escape(piece.name),
                "kind": str(piece.kind),
                "memory_type": int(piece.memory_type),
            }
            for piece in plan.pieces
        ],
        "cpu": _cpu.document(plan.cpu),
        "boot_info": _boot_info(plan),
        "dropped": dropped(plan.dropped),
    }


def dropped(items: Sequence[Dropped]) -> list[Document]:
    """Return what could not be carried, for ``--json``."""
    return [{"field": escape(item.field), "reason": escape(item.reason)} for item in items]


def lines(plan: GuestPlan, image: str, style: Style) -> Iterator[str]:
    """Yield the plan for people."""
    machine = plan.machine
    cpus = f"{machine.cpus} processor{'s' if machine.cpus > 1 else ''}"
    yield (
        f"{style.paint(escape(image), 'bold')} by {style.paint(plan.protocol, 'bold')}"
        f" on {machine.name}: {size(machine.memory)} of RAM, {cpus}"
    )
    for item in plan.dropped:
        mark = style.paint("not carried:", "yellow")
        yield f"{mark} {escape(item.field)}: {escape(item.reason)}"
    if machine.firmware:
        yield f"{machine.firmware} runs first; the rest is its choice and the image's"
        yield from _section("disks", style)
        yield from table([_disk(disk) for disk in machine.disks])
        return
    yield from _section("guest memory", style)
    yield from _map.strip(plan, style)
    yield from _map.draw(plan, style)
    paging = "paging on" if plan.cpu.cr0 >> 31 & 1 else "paging off"
    yield from _section(f"first instruction: {plan.cpu.mode} mode, {paging}", style)
    yield from (escape(line) for line in _cpu.lines(plan))
    yield from _section("what the guest is told", style)
    yield from _told(plan)


def _disk(disk: Disk) -> tuple[str, str, str]:
    access = "read-only" if disk.read_only else "read and write"
    if disk.snapshot:
        access = "what is written is not kept"
    return escape(disk.path), disk.format, "CD-ROM, read-only" if disk.cdrom else access


def _section(title: str, style: Style) -> Iterator[str]:
    yield ""
    yield style.paint(title, "bold")


def _machine(machine: Machine) -> Document:
    return {
        "name": machine.name,
        "memory": machine.memory,
        "cpus": machine.cpus,
        "ram": [{"start": block.start, "end": block.end} for block in machine.ram],
        "reserved": [{"start": r.start, "end": r.end, "type": int(r.type)} for r in
                     machine.reserved],
        "disks": [
            {
                "path": escape(disk.path),
                "format": disk.format,
                "read_only": disk.read_only,
                "snapshot": disk.snapshot,
                "cdrom": disk.cdrom,
            }
            for disk in machine.disks
        ],
        "firmware": machine.firmware,
    }  # fmt: skip


def _boot_info(plan: GuestPlan) -> Document:
    info = plan.boot_info
    origin = info.origin
    return {
        "cmdline": escape(info.cmdline),
        "modules": [
            {
                "name": escape(module.name),
                "start": _module_start(plan, module),
                "size": len(module.data),
                "cmdline": escape(module.cmdline),
            }
            for module in info.modules
        ],
        "memory_map": [
            {"start": r.start, "end": r.end, "type": int(r.type), "name": _type_name(r.type)}
            for r in info.memory_map
        ],
        "rsdp": info.rsdp,
        "origin": origin
        and {
            "hypervisor": escape(origin.hypervisor),
            "guest_type": escape(origin.guest_type),
            "entry_abi": escape(origin.entry_abi),
            "loader": escape(origin.loader),
        },
    }


def _module_start(plan: GuestPlan, module: Module) -> int | None:
    for piece in plan.pieces:
        if piece.kind is Kind.MODULE and piece.data is module.data:
            return piece.start
    return None


def _type_name(number: int) -> str:
    try:
        return MemoryType(number).name.lower()
    except ValueError:
        return f"type {number}"


def _told(plan: GuestPlan) -> Iterator[str]:
    info = plan.boot_info
    yield f"  command line  {escape(info.cmdline) or '(empty)'}"
    if info.rsdp:
        yield f"  ACPI RSDP     {address(info.rsdp)}"
    if info.modules:
        yield "  modules"
        yield from table(
            [
                (
                    str(number),
                    "" if (start := _module_start(plan, module)) is None else address(start),
                    size(len(module.data)),
                    escape(module.name),
                    escape(module.cmdline),
                )
                for number, module in enumerate(info.modules)
            ],
            ">>><<",
            indent=4,
        )
    yield "  memory map"
    yield from table(
        [
            (address(r.start), "-", address(r.end), size(r.size), _type_name(r.type))
            for r in info.memory_map
        ],
        "><>>",
        indent=4,
    )
