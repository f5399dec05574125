"""The processor's state at the first guest instruction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.cli.render._text import address, table
from hvmlite.spec.x86 import CR0, CR4, EFER, RFLAGS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import IntFlag

    from hvmlite.cli._answer import Document
    from hvmlite.model import CpuState, GuestPlan, SegmentRegister

__all__ = ["document", "lines"]

_SEGMENTS = ("cs", "ds", "es", "fs", "gs", "ss", "tr", "ldtr")
_CONTROL: tuple[tuple[str, type[IntFlag] | None], ...] = (
    ("rflags", RFLAGS), ("cr0", CR0), ("cr2", None), ("cr3", None), ("cr4", CR4), ("cr8", None),
    ("efer", EFER),
)  # fmt: skip


def document(cpu: CpuState) -> Document:
    """Return every register by its name in the manual."""
    return {
        "mode": str(cpu.mode),
        **cpu.general,
        "rip": cpu.rip,
        **{name: getattr(cpu, name) for name, _flags in _CONTROL},
        **{name: _segment(getattr(cpu, name)) for name in _SEGMENTS},
        "gdtr": {"base": cpu.gdtr.base, "limit": cpu.gdtr.limit},
        "idtr": {"base": cpu.idtr.base, "limit": cpu.idtr.limit},
        "msrs": [{"index": index, "value": value} for index, value in cpu.msrs],
    }


def _segment(register: SegmentRegister) -> Document:
    return {
        "selector": register.selector,
        "base": register.base,
        "limit": register.limit,
        "attributes": register.attributes,
    }


def lines(plan: GuestPlan) -> Iterator[str]:
    """Yield the registers that say something; the general ones that are zero share a line."""
    cpu = plan.cpu
    rows = [("rip", address(cpu.rip), _target(plan, cpu.rip))]
    rows += [
        (name, address(value), _target(plan, value)) for name, value in cpu.general.items() if value
    ]
    if not all(cpu.general.values()):
        rows.append(("", "0", "all other general registers"))
    for name, flags in _CONTROL:
        value = getattr(cpu, name)
        if flags is not None:
            rows.append((name, address(value), _flag_names(flags, value)))
        elif value:
            rows.append((name, address(value), _target(plan, value) if name == "cr3" else ""))
    for name in ("gdtr", "idtr"):
        register = getattr(cpu, name)
        text = f"limit {register.limit:#x}"
        target = _target(plan, register.base) if name == "gdtr" else ""
        rows.append((name, address(register.base), f"{text}  {target}".rstrip()))
    rows += [(f"msr {index:#x}", address(value), "") for index, value in cpu.msrs]
    yield from table(rows)
    yield from table(_segment_rows(cpu))


def _segment_rows(cpu: CpuState) -> list[tuple[str, ...]]:
    names: dict[SegmentRegister, list[str]] = {}
    for name in _SEGMENTS:
        names.setdefault(getattr(cpu, name), []).append(name)
    return [
        (
            " ".join(same),
            f"selector {register.selector:#06x}",
            f"base {address(register.base)}",
            f"limit {address(register.limit)}",
            _describe(register),
        )
        for register, same in names.items()
    ]


def _describe(register: SegmentRegister) -> str:
    if not register.present:
        return "unusable"
    if not register.s:
        return f"system type {register.type:#x}"
    width = "64-bit" if register.l else "32-bit" if register.db else "16-bit"
    kind = "code" if register.type & 8 else "data"
    return f"{width} {kind}, type {register.type:#x}, dpl {register.dpl}"


def _target(plan: GuestPlan, value: int) -> str:
    # What lies at an address, for people: the piece's name, with the distance from its start.
    for piece in plan.pieces:
        if piece.start <= value < piece.end:
            distance = value - piece.start
            return f"-> {piece.name}" + (f" + {distance:#x}" if distance else "")
    return ""


def _flag_names(flags: type[IntFlag], value: int) -> str:
    return " ".join(flag.name or "" for flag in flags if flag & value)
