"""The vocabulary of hvmlite: frozen values without behaviour, shared by all rooms.

A part is imported when one of its names is first used: unpacking a kernel can begin before all of
them are there.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.model.boot import (
        BootInfo,
        Framebuffer,
        MemoryRange,
        MemoryType,
        Module,
        Origin,
        SetupNode,
    )
    from hvmlite.model.cpu import CpuState, DescriptorTable, Mode, SegmentRegister
    from hvmlite.model.disk import BootEntry, DiskLayout, Partition
    from hvmlite.model.engine import Availability, ConsoleChunk, RunOptions
    from hvmlite.model.entry import Dropped, Entry, Fixup, Kind, Piece, Ref
    from hvmlite.model.image import Image, LoadSegment, Note, Part, Payload, Section
    from hvmlite.model.machine import Disk, Machine, PciHost, Platform, RamBlock, SerialPort
    from hvmlite.model.offer import (
        Offer,
        Preference,
        Reason,
        Refusal,
        Relocation,
        Requirement,
        Verdict,
    )
    from hvmlite.model.outcome import Ending, Outcome
    from hvmlite.model.pe import PeHeaders
    from hvmlite.model.plan import GuestMemory, GuestPlan, PlacedPiece

__all__ = [
    "Availability",
    "BootEntry",
    "BootInfo",
    "ConsoleChunk",
    "CpuState",
    "DescriptorTable",
    "Disk",
    "DiskLayout",
    "Dropped",
    "Ending",
    "Entry",
    "Fixup",
    "Framebuffer",
    "GuestMemory",
    "GuestPlan",
    "Image",
    "Kind",
    "LoadSegment",
    "Machine",
    "MemoryRange",
    "MemoryType",
    "Mode",
    "Module",
    "Note",
    "Offer",
    "Origin",
    "Outcome",
    "Part",
    "Partition",
    "Payload",
    "PciHost",
    "PeHeaders",
    "Piece",
    "PlacedPiece",
    "Platform",
    "Preference",
    "RamBlock",
    "Reason",
    "Ref",
    "Refusal",
    "Relocation",
    "Requirement",
    "RunOptions",
    "Section",
    "SegmentRegister",
    "SerialPort",
    "SetupNode",
    "Verdict",
]

_PARTS = {
    "boot": (
        "BootInfo",
        "Framebuffer",
        "MemoryRange",
        "MemoryType",
        "Module",
        "Origin",
        "SetupNode",
    ),
    "cpu": (
        "CpuState",
        "DescriptorTable",
        "Mode",
        "SegmentRegister",
    ),
    "disk": (
        "BootEntry",
        "DiskLayout",
        "Partition",
    ),
    "engine": (
        "Availability",
        "ConsoleChunk",
        "RunOptions",
    ),
    "entry": (
        "Dropped",
        "Entry",
        "Fixup",
        "Kind",
        "Piece",
        "Ref",
    ),
    "image": (
        "Image",
        "LoadSegment",
        "Note",
        "Part",
        "Payload",
        "Section",
    ),
    "machine": (
        "Disk",
        "Machine",
        "PciHost",
        "Platform",
        "RamBlock",
        "SerialPort",
    ),
    "offer": (
        "Offer",
        "Preference",
        "Reason",
        "Refusal",
        "Relocation",
        "Requirement",
        "Verdict",
    ),
    "outcome": (
        "Ending",
        "Outcome",
    ),
    "pe": ("PeHeaders",),
    "plan": (
        "GuestMemory",
        "GuestPlan",
        "PlacedPiece",
    ),
}
_HOMES = {name: part for part, names in _PARTS.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'hvmlite.model' has no attribute {name!r}")
    value: object = getattr(import_module(f"hvmlite.model.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
