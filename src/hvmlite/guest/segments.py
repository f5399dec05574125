"""Segment descriptors, flat segments, and a descriptor table that matches them.

The encoder and decoder follow Intel SDM volume 3, 3.4.5 and 8.2.3.
"""

from __future__ import annotations

from hvmlite.errors import RequestError
from hvmlite.guest import layout
from hvmlite.model import Kind, Piece, SegmentRegister
from hvmlite.spec.x86 import CodeData, SegmentDescriptor, SystemDescriptor64, SystemType

__all__ = [
    "CODE32",
    "CODE64",
    "DATA32",
    "LINUX_CODE32",
    "LINUX_CODE64",
    "LINUX_DATA",
    "TSS",
    "UNUSABLE",
    "decode",
    "encode",
    "gdt",
]

_EXECUTE = CodeData.CODE | CodeData.R | CodeData.A
_WRITE = CodeData.W | CodeData.A

CODE32 = SegmentRegister(selector=0x08, limit=0xFFFFFFFF, type=_EXECUTE, db=1, g=1)
"""Flat 32-bit code, execute and read."""

DATA32 = SegmentRegister(selector=0x10, limit=0xFFFFFFFF, type=_WRITE, db=1, g=1)
"""Flat data, read and write; 64-bit mode uses it as well."""

CODE64 = SegmentRegister(selector=0x08, limit=0xFFFFFFFF, type=_EXECUTE, l=1, g=1)
"""64-bit code."""

TSS = SegmentRegister(selector=0x18, limit=0x67, type=SystemType.TSS_BUSY, s=0)
"""A busy 32-bit or 64-bit TSS of the least size at address 0, as the PVH document wants it in TR.

VMX refuses to enter a guest whose TR is unusable. Nobody reads the TSS: no entry switches tasks or
rings.
"""

LINUX_CODE32 = CODE32.replace(selector=0x10)
"""``__BOOT_CS`` of the Linux boot protocol, 32-bit entry (Documentation/arch/x86/boot.rst)."""

LINUX_CODE64 = CODE64.replace(selector=0x10)
"""``__BOOT_CS`` of the Linux boot protocol, 64-bit entry."""

LINUX_DATA = DATA32.replace(selector=0x18)
"""``__BOOT_DS`` of the Linux boot protocol; TR then needs another selector, such as 0x20."""

UNUSABLE = SegmentRegister(limit=0, type=0, s=0, present=0)
"""A null selector: nothing may be addressed through it."""


def encode(segment: SegmentRegister, *, long: bool = False) -> bytes:
    """Return the descriptor whose loading gives `segment`: 8 bytes.

    :param long: IA-32e mode, in which a system descriptor has 16 bytes and a 64-bit base
    :raises RequestError: no descriptor can say it (a base that is too high, a limit that the
        granularity cannot express)
    """
    limit = segment.limit
    if segment.g:
        if limit & 0xFFF != 0xFFF:
            raise _cannot(segment, f"limit {limit:#x} in pages found, an end in 0xfff needed")
        limit >>= 12
    if not 0 <= limit <= 0xFFFFF:
        raise _cannot(segment, f"limit {segment.limit:#x} found, 20 bits needed")
    wide = long and not segment.s
    if not 0 <= segment.base < 1 << (64 if wide else 32):
        raise _cannot(segment, f"base {segment.base:#x} found, {64 if wide else 32} bits needed")
    fields = {
        "limit0": limit & 0xFFFF,
        "base0": segment.base & 0xFFFF,
        "base1": segment.base >> 16 & 0xFF,
        "access": segment.attributes & 0xFF,
        "flags": limit >> 16 | segment.attributes >> 8 & 0xF0,
        "base2": segment.base >> 24 & 0xFF,
    }
    if wide:
        return SystemDescriptor64(**fields, base3=segment.base >> 32).pack()
    return SegmentDescriptor(**fields).pack()


def decode(descriptor: bytes, selector: int = 0) -> SegmentRegister:
    """Return what loading `descriptor` by `selector` puts into a segment register.

    :param descriptor: 8 bytes, or the 16 bytes of a system descriptor in IA-32e mode
    :raises FormatError: it is shorter than 8 bytes
    """
    wide = len(descriptor) >= SystemDescriptor64.SIZE
    layout_ = SystemDescriptor64 if wide else SegmentDescriptor
    raw = layout_.unpack(descriptor, source="segment descriptor")
    limit = raw.limit0 | (raw.flags & 0xF) << 16
    g = raw.flags >> 7
    base = raw.base0 | raw.base1 << 16 | raw.base2 << 24
    if isinstance(raw, SystemDescriptor64):
        base |= raw.base3 << 32
    return SegmentRegister(
        selector=selector,
        base=base,
        limit=limit << 12 | 0xFFF if g else limit,
        type=raw.access & 0xF,
        s=raw.access >> 4 & 1,
        dpl=raw.access >> 5 & 3,
        present=raw.access >> 7,
        avl=raw.flags >> 4 & 1,
        l=raw.flags >> 5 & 1,
        db=raw.flags >> 6 & 1,
        g=g,
    )


def gdt(*segments: SegmentRegister, long: bool = False, name: str = "GDT") -> Piece:
    """Return a global descriptor table with each segment where its selector says.

    The limit for GDTR is the piece's ``length - 1``. Places that no selector names are null. Null
    selectors are skipped, and registers that share a selector may be given more than once.

    :param long: IA-32e mode, see :func:`encode`
    :raises RequestError: two segments contradict each other about one place of the table
    """
    table = bytearray(8)
    used: dict[int, bytes] = {}
    for segment in segments:
        index, descriptor = segment.selector & ~7, encode(segment, long=long)
        if not index:
            continue
        for at in range(0, len(descriptor), 8):
            part = descriptor[at : at + 8]
            if used.setdefault(index + at, part) != part:
                raise _cannot(segment, "another descriptor found in this place, one needed")
            table.extend(bytes(max(0, index + at + 8 - len(table))))
            table[index + at : index + at + 8] = part
    return Piece(
        name=name,
        data=bytes(table),
        kind=Kind.DESCRIPTORS,
        align=8,
        low=layout.LOW_MEMORY.low,
        high=layout.LOW_MEMORY.high,
    )


def _cannot(segment: SegmentRegister, message: str) -> RequestError:
    return RequestError(f"segment {segment.selector:#x}: {message}", field="segment")
