# Multiboot2: from guest memory and registers back to BootInfo. All that is read may be hostile.
from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from hvmlite.errors import FormatError
from hvmlite.model import BootInfo, CpuState, Framebuffer, GuestMemory, MemoryRange, Module
from hvmlite.protocols import _multiboot_reading as common
from hvmlite.protocols._reading import MAX_MODULES, MAX_RECORDS, check, memory_range, read
from hvmlite.spec.multiboot2 import (
    BOOTLOADER_MAGIC,
    TAG_ALIGN,
    Multiboot2Info,
    Multiboot2MmapEntry,
    Multiboot2Tag,
    Multiboot2TagFramebuffer,
    Multiboot2TagMmap,
    Multiboot2TagModule,
    TagType,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["decode"]

_MAX_SIZE = 16 << 20
"""Bytes of the whole information: GRUB puts it into base memory."""
_MAX_TAGS = MAX_MODULES + 64
"""One for each module, and one of each other type; 16 MiB have room for two million."""


def decode(memory: GuestMemory, cpu: CpuState) -> BootInfo:
    """Read the information that EBX points at, as a guest would.

    Tags of unknown types are passed over. Modules come back without their names; the loader's name
    becomes `origin.loader`. The RSDP's address is not known: the tags hold copies. A frame buffer
    that is indexed or holds text is left out.

    :param memory: the guest's memory; every address in it is checked before use
    :raises FormatError: EAX is not the loader's magic, the information breaks the document or
        points outside RAM; LimitError: a size, a count or the modules together are too much
    """
    common.check_magic(cpu, BOOTLOADER_MAGIC)
    address = cpu.rbx & 0xFFFFFFFF  # EBX
    source = f"multiboot2 information at {address:#x}"
    data = _information(memory, address, source)
    strings = {TagType.CMDLINE: b"", TagType.BOOT_LOADER_NAME: b""}
    modules: list[tuple[int, int, bytes]] = []
    ranges: tuple[MemoryRange, ...] = ()
    frame: Framebuffer | None = None
    for kind, tag in _tags(data, source):
        if kind in (TagType.CMDLINE, TagType.BOOT_LOADER_NAME):
            strings[TagType(kind)] = _string(tag, Multiboot2Tag.SIZE, source)
        elif kind == TagType.MODULE:
            module = Multiboot2TagModule.unpack(tag, source=source)
            line = _string(tag, Multiboot2TagModule.SIZE, source)
            modules.append((module.mod_start, module.mod_end, line))
        elif kind == TagType.MMAP:
            ranges = _memory_map(tag)
        elif kind == TagType.FRAMEBUFFER:
            frame = _framebuffer(tag)
    check(len(modules), MAX_MODULES, "records", "modules")
    contents = common.modules(memory, [(start, end) for start, end, _ in modules])
    lines = [line for _, _, line in modules]
    return BootInfo(
        cmdline=strings[TagType.CMDLINE],
        modules=tuple(Module(d, line) for d, line in zip(contents, lines, strict=True)),
        memory_map=ranges,
        origin=common.origin(strings[TagType.BOOT_LOADER_NAME]),
        framebuffer=frame,
    )


def _information(memory: GuestMemory, address: int, source: str) -> bytes:
    head = Multiboot2Info.unpack(read(memory, address, Multiboot2Info.SIZE, source), source=source)
    check(head.total_size, _MAX_SIZE, "bytes", source)
    if address % TAG_ALIGN or head.total_size < Multiboot2Info.SIZE + Multiboot2Tag.SIZE:
        raise FormatError(
            f"{head.total_size} bytes, 16 or more at a multiple of {TAG_ALIGN} needed",
            source=source,
        )
    return read(memory, address, head.total_size, source)


def _tags(data: bytes, source: str) -> Iterator[tuple[int, bytes]]:
    at = Multiboot2Info.SIZE
    for number in count():
        check(number, _MAX_TAGS, "tags", source)
        tag = Multiboot2Tag.unpack(data, at, source=source)
        if not Multiboot2Tag.SIZE <= tag.size <= len(data) - at:
            raise FormatError(
                f"tag {tag.type} of {tag.size} bytes, 8 or more within {len(data) - at} needed",
                source=source,
                offset=at,
            )
        if tag.type == TagType.END:
            return
        yield tag.type, data[at : at + tag.size]
        at += -(-tag.size // TAG_ALIGN) * TAG_ALIGN


def _string(tag: bytes, start: int, source: str) -> bytes:
    text, nul, _ = tag[start:].partition(b"\0")
    if not nul:
        raise FormatError("a string without its NUL, one within its tag needed", source=source)
    return text


def _memory_map(tag: bytes) -> tuple[MemoryRange, ...]:
    source = "memory map"
    head = Multiboot2TagMmap.unpack(tag, source=source)
    if head.entry_size < Multiboot2MmapEntry.SIZE:
        message = f"records of {head.entry_size} bytes, {Multiboot2MmapEntry.SIZE} or more needed"
        raise FormatError(message, source=source)
    records = (len(tag) - Multiboot2TagMmap.SIZE) // head.entry_size
    check(records, MAX_RECORDS, "records", source)
    ranges = []
    for number in range(records):
        at = Multiboot2TagMmap.SIZE + number * head.entry_size
        record = Multiboot2MmapEntry.unpack(tag, at, source=source)
        ranges.append(memory_range(number, record.addr, record.len, record.type))
    return tuple(ranges)


def _framebuffer(tag: bytes) -> Framebuffer | None:
    # Text and indexed frame buffers have fewer or other bytes behind the common ones.
    whole = tag.ljust(Multiboot2TagFramebuffer.SIZE, b"\0")
    return common.framebuffer(Multiboot2TagFramebuffer.unpack(whole))
