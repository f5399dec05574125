"""The memory map of a hand-off, whatever else is wrong with it, as hvmlite's decoders read it."""

from __future__ import annotations

import struct
from types import SimpleNamespace

from hvmlite.errors import FormatError
from hvmlite.model import MemoryRange
from hvmlite.protocols import _linux_decode as linux
from hvmlite.protocols import _multiboot1_decode as multiboot1
from hvmlite.protocols import _multiboot2_decode as multiboot2
from hvmlite.protocols import _pvh_decode as pvh
from hvmlite.protocols._reading import memory_range
from hvmlite.spec.linux import SetupType
from hvmlite.spec.multiboot1 import InfoFlag, MultibootInfo
from hvmlite.spec.multiboot2 import Multiboot2Tag, Multiboot2TagBasicMeminfo, TagType

KIB, MIB = 1 << 10, 1 << 20
MOST = 2000
"""Records that are read: the stub takes half of it."""


def told_map(way, memory, cpu):
    """The ranges, none where even that cannot be read."""
    try:
        return tuple(READERS[way](memory, cpu))
    except FormatError:
        return ()


def _pvh(memory, cpu):
    return pvh._memory_map(memory, pvh._start_info(memory, cpu.rbx & 0xFFFFFFFF))


def _multiboot1(memory, cpu):
    info = MultibootInfo.unpack(memory.read(cpu.rbx & 0xFFFFFFFF, MultibootInfo.SIZE))
    if info.flags & InfoFlag.MEM_MAP and info.mmap_length:
        return multiboot1._memory_map(memory, info)
    return _sizes(info.mem_lower, info.mem_upper) if info.flags & InfoFlag.MEMORY else ()


def _multiboot2(memory, cpu):
    tags = dict(_tags(multiboot2._information(memory, cpu.rbx & 0xFFFFFFFF, "")))
    ranges = multiboot2._memory_map(tags[TagType.MMAP]) if TagType.MMAP in tags else ()
    if ranges or TagType.BASIC_MEMINFO not in tags:
        return ranges
    sizes = Multiboot2TagBasicMeminfo.unpack(tags[TagType.BASIC_MEMINFO])
    return _sizes(sizes.mem_lower, sizes.mem_upper)


def _tags(data):
    try:
        yield from multiboot2._tags(data, "")
    except FormatError as error:
        # The stub takes an end tag that is cut: kexec-tools makes such.
        left = data[error.offset :] if error.offset else b""
        if not (0 < len(left) < Multiboot2Tag.SIZE and left[0] == TagType.END):
            raise


def _sizes(lower, upper):
    return MemoryRange(0, lower * KIB), MemoryRange(MIB, MIB + upper * KIB)


def _linux(memory, cpu):
    # By offsets: the whole page is a thousand fields, and this is read 40,000 times.
    page = memory.read(cpu.rsi, 0x1000)
    count, (ext_mem,), (alt_mem,) = page[0x1E8], _at("<H", page, 2), _at("<I", page, 0x1E0)
    if count > 128:  # the stub stops at that
        return []
    table = struct.iter_unpack("<QQI", page[0x2D0 : 0x2D0 + 20 * count])
    found = [memory_range(n, *record) for n, record in enumerate(table)]
    if len(found) < 2:  # e820.c: that is no map
        found = [*_sizes(0x9F000 // KIB, max(alt_mem, ext_mem))]
    (first,) = _at("<Q", page, 0x250)
    try:
        for node, direct in linux.nodes(memory, SimpleNamespace(setup_data=first)):
            if direct and node.type == SetupType.SETUP_E820_EXT:
                whole = min(len(node.data) // 20, MOST) * 20
                table = struct.iter_unpack("<QQI", node.data[:whole])
                found += [memory_range(n, *record) for n, record in enumerate(table)]
    except FormatError:
        pass  # the list ends here
    return found


def _at(format_, page, offset):
    return struct.unpack_from(format_, page, offset)


READERS = {
    "pvh": _pvh,
    "multiboot1": _multiboot1,
    "multiboot2": _multiboot2,
    "linux32": _linux,
    "linux64": _linux,
}
