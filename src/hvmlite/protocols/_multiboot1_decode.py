# Multiboot 1: from guest memory and registers back to BootInfo. All that is read may be hostile.
from __future__ import annotations

from hvmlite.errors import FormatError
from hvmlite.model import BootInfo, CpuState, Framebuffer, GuestMemory, MemoryRange, Module
from hvmlite.protocols import _multiboot_reading as common
from hvmlite.protocols._reading import (
    MAX_MODULES,
    MAX_RECORDS,
    Strings,
    check,
    memory_range,
    read,
)
from hvmlite.spec.multiboot1 import (
    BOOTLOADER_MAGIC,
    InfoFlag,
    MultibootInfo,
    MultibootMmapEntry,
    MultibootModList,
)

__all__ = ["decode"]


def decode(memory: GuestMemory, cpu: CpuState) -> BootInfo:
    """Read the information that EBX points at, as a guest would.

    Only fields whose flag is set are read. Modules come back without their names; the loader's name
    becomes `origin.loader`. A frame buffer that is indexed or holds text is left out.

    :param memory: the guest's memory; every address in it is checked before use
    :raises FormatError: EAX is not the loader's magic, the information breaks the document or
        points outside RAM; LimitError: a count, a string or the modules together are too much
    """
    common.check_magic(cpu, BOOTLOADER_MAGIC)
    address = cpu.rbx & 0xFFFFFFFF  # EBX
    source = f"multiboot information at {address:#x}"
    info = MultibootInfo.unpack(read(memory, address, MultibootInfo.SIZE, source), source=source)
    strings = Strings(memory)

    def string(flag: InfoFlag, where: int, what: str) -> bytes:
        return strings.read(where, what) if info.flags & flag else b""

    return BootInfo(
        cmdline=string(InfoFlag.CMDLINE, info.cmdline, "command line"),
        modules=_modules(memory, info, strings),
        memory_map=_memory_map(memory, info),
        origin=common.origin(
            string(InfoFlag.BOOT_LOADER_NAME, info.boot_loader_name, "boot loader name")
        ),
        framebuffer=_framebuffer(info),
    )


def _modules(memory: GuestMemory, info: MultibootInfo, strings: Strings) -> tuple[Module, ...]:
    if not info.flags & InfoFlag.MODS or not info.mods_count:
        return ()
    check(info.mods_count, MAX_MODULES, "records", "module list")
    size = info.mods_count * MultibootModList.SIZE
    table = MultibootModList.unpack_all(read(memory, info.mods_addr, size, "module list"))
    extents = [(record.mod_start, record.mod_end) for record in table]
    contents = common.modules(memory, extents)
    lines = [strings.read(r.cmdline, f"module {n} command line") for n, r in enumerate(table)]
    return tuple(Module(data, line) for data, line in zip(contents, lines, strict=True))


def _memory_map(memory: GuestMemory, info: MultibootInfo) -> tuple[MemoryRange, ...]:
    # Records of any size from 20 bytes on; the size field does not count itself.
    if not info.flags & InfoFlag.MEM_MAP:
        return ()
    source = "memory map"
    check(info.mmap_length // MultibootMmapEntry.SIZE, MAX_RECORDS, "records", source)
    table = read(memory, info.mmap_addr, info.mmap_length, source) if info.mmap_length else b""
    ranges: list[MemoryRange] = []
    at = 0
    least = MultibootMmapEntry.SIZE - MultibootMmapEntry.FIELDS["addr"].offset
    while at < len(table):
        record = MultibootMmapEntry.unpack(table, at, source=source)
        if record.size < least:
            message = f"a record of {record.size} bytes, {least} or more needed"
            raise FormatError(message, source=source, offset=at)
        ranges.append(memory_range(len(ranges), record.addr, record.len, record.type))
        at += record.size + MultibootMmapEntry.FIELDS["addr"].offset
    return tuple(ranges)


def _framebuffer(info: MultibootInfo) -> Framebuffer | None:
    if not info.flags & InfoFlag.FRAMEBUFFER_INFO:
        return None
    return common.framebuffer(info)
