"""The vocabulary of hvmlite: frozen values without behaviour, shared by all rooms."""

from hvmlite.model.boot import BootInfo, MemoryRange, MemoryType, Module, Origin
from hvmlite.model.cpu import CpuState, DescriptorTable, Mode, SegmentRegister
from hvmlite.model.engine import Availability, ConsoleChunk, RunOptions
from hvmlite.model.entry import Dropped, Entry, Fixup, Kind, Piece, Ref
from hvmlite.model.image import Image, LoadSegment, Note, Payload, Section
from hvmlite.model.machine import Disk, Machine, PciHost, Platform, RamBlock, SerialPort
from hvmlite.model.offer import Offer, Reason, Refusal, Relocation
from hvmlite.model.outcome import Ending, Outcome
from hvmlite.model.plan import GuestMemory, GuestPlan, PlacedPiece

__all__ = [
    "Availability",
    "BootInfo",
    "ConsoleChunk",
    "CpuState",
    "DescriptorTable",
    "Disk",
    "Dropped",
    "Ending",
    "Entry",
    "Fixup",
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
    "Payload",
    "PciHost",
    "Piece",
    "PlacedPiece",
    "Platform",
    "RamBlock",
    "Reason",
    "Ref",
    "Refusal",
    "Relocation",
    "RunOptions",
    "Section",
    "SegmentRegister",
    "SerialPort",
]
