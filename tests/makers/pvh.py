"""Kernels with PVH notes, and machines, as values: no file is parsed to make them."""

from __future__ import annotations

from hvmlite.errors import FormatError
from hvmlite.model import (
    Image,
    LoadSegment,
    Machine,
    MemoryRange,
    MemoryType,
    Note,
    Payload,
    RamBlock,
)
from hvmlite.spec.elf import EM_X86_64
from hvmlite.spec.linux import SetupHeader

MIB = 1 << 20
START = 0x1000000
ENTRY = START + 0x100
HOLE = MemoryRange(0xA0000, 0x100000, MemoryType.RESERVED)


def note(desc, type_=18, name="Xen", *, align=4, where="PT_NOTE segment 1", label=""):
    if isinstance(desc, int):
        desc = desc.to_bytes(4, "little")
    return Note(name, type_, desc, where, 0x200, align, label)


def reloc(*words):
    return note(b"".join(word.to_bytes(4, "little") for word in words), 19)


LINUX = note(b"\0\0\0\0", 0x101, "Linux", label="LTO_INFO")


def segment(paddr=START, memsz=0x4000, data=b"\xf4" * 0x2000, align=0x1000):
    return LoadSegment(paddr, paddr, memsz, memoryview(data), 7, align)


def kernel(*notes, segments=None, machine=EM_X86_64, format_="elf", warnings=(), header=None):
    return Image(
        format=format_,
        source="kernel",
        data=memoryview(b""),
        machine=machine,
        segments=(segment(),) if segments is None else tuple(segments),
        notes=notes or (note(ENTRY),),
        header=header,
        warnings=tuple(warnings),
    )


def bzimage(inside, *, compression="zstd", **fields):
    """A bzImage around `inside`: an Image, or the message of the FormatError of unpacking it."""

    def unpack():
        if isinstance(inside, str):
            raise FormatError(inside, source="bzImage", hint="look closer")
        return inside

    fields = {"version": 0x20F, "cmdline_size": 2047} | fields
    return Image(
        format="bzimage",
        source="bzImage",
        data=memoryview(b""),
        payload=Payload(compression, 0x4000, 0x1000, "header", unpack),
        header=SetupHeader(**fields),
    )


def machine(memory=64 * MIB, *, reserved=(HOLE,), low_end=3 << 30):
    """A PC-like machine: RAM from 0 to `low_end`, the rest from 4 GiB on."""
    low = min(memory, low_end)
    ram = [RamBlock(0, low, 0)]
    if memory > low:
        ram.append(RamBlock(1 << 32, memory - low, low))
    return Machine("test", memory, tuple(ram), tuple(reserved))
