"""Makes multiboot kernels, right and wrong ones, byte by byte from the documents' tables."""

from __future__ import annotations

import struct

from hvmlite import images
from hvmlite.model import Image, Machine, MemoryRange, MemoryType, RamBlock
from hvmlite.spec.elf import EM_386, EM_X86_64
from makers.elf import Elf, Sect, Segment

MIB = 1 << 20
START = MIB
CODE = b"\xfa\xf4\xeb\xfd"  # cli; hlt; jmp .-1
HOLE = MemoryRange(0xA0000, 0x100000, MemoryType.RESERVED)


def header1(flags=3, *, checksum=None, magic=0x1BADB002, addresses=(), video=()):
    """A multiboot 1 header: `addresses` are its five address fields, `video` its four others."""
    total = -(magic + flags) & 0xFFFFFFFF if checksum is None else checksum
    words = [magic, flags, total]
    if addresses or video:
        words += [*addresses, *[0] * (5 - len(addresses))]
    words += video
    return struct.pack(f"<{len(words)}I", *words)


def tag(kind, *words, optional=False, size=None):
    """A header tag of 32-bit words, padded to 8 bytes."""
    body = struct.pack(f"<{len(words)}I", *words)
    length = 8 + len(body) if size is None else size
    raw = struct.pack("<HHI", kind, int(optional), length) + body
    return raw + bytes(-len(raw) % 8)


END = tag(0)


def header2(*tags, architecture=0, checksum=None, length=None, end=END):
    """A multiboot2 header with its tags and an end tag."""
    body = b"".join(tags) + end
    size = 16 + len(body) if length is None else length
    total = -(0xE85250D6 + architecture + size) & 0xFFFFFFFF if checksum is None else checksum
    return struct.pack("<4I", 0xE85250D6, architecture, size, total) + body


def elf(
    header,
    *,
    bits=32,
    offset=None,
    entry=None,
    machine=None,
    memsz=0x2000,
    vaddr=None,
    paddr=START,
    **more,
):
    """An ELF with `header` at the beginning of its segment, at `paddr`, and code behind it.

    `offset` is where in the file the segment is; the entry is the code if nothing else is asked.
    """
    code = bytes(-len(header) % 16) + CODE
    segment = Segment(header + code, paddr=paddr, memsz=memsz, vaddr=vaddr, align=8)
    start = (paddr if vaddr is None else vaddr) + len(header) + len(code) - len(CODE)
    kernel = Elf(
        bits=bits,
        machine=machine or (EM_X86_64 if bits == 64 else EM_386),
        entry=start if entry is None else entry,
        segments=[segment],
        **more,
    )
    if offset is None:
        return kernel.build()
    segment.offset, segment.filesz = offset, len(segment.data)
    built = kernel.build()
    return built.ljust(offset, b"\0")[:offset] + segment.data + built[offset:]


def symbols():
    """Sections as a linker leaves them: code at its address, tables without one."""
    return [
        Sect(".text", b"", addr=START, offset=0x100, size=4),
        Sect(".bss", b"", type=8, addr=START + 0x1000, offset=0, size=0x100),
        Sect(".symtab", b"symbols!" * 3, type=2, align=8),
        Sect(".strtab", b"\0main\0", type=3),
        Sect(".empty", b""),
    ]


def image(data, name="kernel"):
    """What a protocol is given: an ELF as it is read, anything else as plain bytes."""
    if data[:4] == b"\x7fELF":
        return images.parse(data, name)
    return Image("raw", name, memoryview(data))


def machine(memory=64 * MIB, *, reserved=(HOLE,), low_end=3 << 30):
    """A PC: RAM from 0 to `low_end`, the rest from 4 GiB on."""
    low = min(memory, low_end)
    ram = [RamBlock(0, low, 0)]
    if memory > low:
        ram.append(RamBlock(1 << 32, memory - low, low))
    return Machine("test", memory, tuple(ram), tuple(reserved))
