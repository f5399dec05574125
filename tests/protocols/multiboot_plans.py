"""Plans of multiboot kernels, and a reader of what they hold that shares no code with ours."""

from __future__ import annotations

import struct
from dataclasses import replace

from hvmlite.guest import acpi
from hvmlite.guest.memory import PlanMemory
from hvmlite.guest.place import place
from hvmlite.model import BootInfo, Offer, Ref
from makers.multiboot import image, machine


def plan(protocol, data, info=None, on=None, *, tables=False):
    """Encode and place; with `tables` there are ACPI tables, as in a real boot."""
    info, on = info or BootInfo(), on or machine()
    offer = protocol.offers(image(data))
    assert isinstance(offer, Offer), offer
    entry = protocol.encode(offer, info, on, Ref(acpi.RSDP) if tables else None)
    if tables:
        entry = replace(entry, pieces=entry.pieces + acpi.tables(on))
    made = place(entry, on, info)
    return made, PlanMemory(made)


def u32(memory, address):
    return struct.unpack("<I", memory.read(address, 4))[0]


def u64(memory, address):
    return struct.unpack("<Q", memory.read(address, 8))[0]


def text(memory, address):
    found = b""
    while b"\0" not in found:
        found += memory.read(address + len(found), 64)
    return found.split(b"\0")[0]


def tags2(memory, address):
    """(type, contents without the head) of every multiboot2 tag, the end tag included."""
    total, reserved = struct.unpack("<II", memory.read(address, 8))
    assert address % 8 == 0
    assert reserved == 0
    found, at = [], 8
    while at < total:
        kind, size = struct.unpack("<II", memory.read(address + at, 8))
        found.append((kind, memory.read(address + at + 8, size - 8)))
        padding = -size % 8
        assert not any(memory.read(address + at + size, padding))
        at += size + padding
    assert at == total
    assert found[-1] == (0, b"")
    return found


def one(found, kind):
    """The contents of the only tag of a type."""
    (contents,) = [body for number, body in found if number == kind]
    return contents
