# PVH: from guest memory and registers back to BootInfo. Everything read here may be hostile.
from __future__ import annotations

from typing import TypeVar

from hvmlite.errors import FormatError, LimitError
from hvmlite.model import BootInfo, CpuState, GuestMemory, MemoryRange, MemoryType, Module
from hvmlite.spec.pvh import (
    XEN_HVM_START_MAGIC_VALUE,
    HvmMemmapTableEntry,
    HvmModlistEntry,
    HvmStartInfo,
    HvmStartInfoV0,
)
from hvmlite.wire import Struct

__all__ = ["decode"]

# Far beyond every known guest, and small enough to be read at once.
_MAX_MODULES = 4096
_MAX_RECORDS = 4096
_MAX_STRING = 64 << 10
_MAX_STRINGS = 1 << 20
_MAX_MODULE_BYTES = 2 << 30
_PAGE = 4096

_T = TypeVar("_T", bound=Struct)


def decode(memory: GuestMemory, cpu: CpuState) -> BootInfo:
    """Read the start info that EBX points at, as a guest would.

    Version 0 is read as 40 bytes and has no memory map. A version above 1 is read as version 1,
    which its authors promise to extend only at the end. Modules come back without their names.

    :param memory: the guest's memory; every address in it is checked before use
    :raises FormatError: the tables break the ABI or point outside RAM; LimitError: a count, a
        string or the modules together are beyond what is read here
    """
    address = cpu.rbx & 0xFFFFFFFF  # EBX: the upper half means nothing in 32-bit mode
    info = _start_info(memory, address)
    strings = _Strings(memory)
    return BootInfo(
        cmdline=strings.read(info.cmdline_paddr, "command line"),
        modules=_modules(memory, info, strings),
        memory_map=_memory_map(memory, info),
        rsdp=info.rsdp_paddr,
    )


def _start_info(memory: GuestMemory, address: int) -> HvmStartInfo:
    source = f"start info at {address:#x}"
    first = HvmStartInfoV0.unpack(_read(memory, address, HvmStartInfoV0.SIZE, source))
    if first.magic != XEN_HVM_START_MAGIC_VALUE:
        raise FormatError(
            f"magic {first.magic:#x}, {XEN_HVM_START_MAGIC_VALUE:#x} needed", source=source
        )
    if first.version == 0:
        return HvmStartInfo(**{name: getattr(first, name) for name in first.FIELDS})
    return HvmStartInfo.unpack(_read(memory, address, HvmStartInfo.SIZE, source))


def _modules(memory: GuestMemory, info: HvmStartInfo, strings: _Strings) -> tuple[Module, ...]:
    records = _table(
        memory, HvmModlistEntry, info.modlist_paddr, info.nr_modules, _MAX_MODULES, "module list"
    )
    total = sum(record.size for record in records)
    if total > _MAX_MODULE_BYTES:
        raise LimitError(
            f"{total:#x} bytes in {len(records)} modules, at most {_MAX_MODULE_BYTES:#x} are read",
            limit="module bytes",
            allowed=_MAX_MODULE_BYTES,
            source="module list",
        )
    modules = []
    for number, record in enumerate(records):
        name = f"module {number}"
        data = _read(memory, record.paddr, record.size, name) if record.size else b""
        modules.append(Module(data, strings.read(record.cmdline_paddr, f"{name} command line")))
    return tuple(modules)


def _memory_map(memory: GuestMemory, info: HvmStartInfo) -> tuple[MemoryRange, ...]:
    records = _table(
        memory,
        HvmMemmapTableEntry,
        info.memmap_paddr,
        info.memmap_entries,
        _MAX_RECORDS,
        "memory map",
    )
    ranges = []
    for number, record in enumerate(records):
        end = record.addr + record.size
        if end > 1 << 64:
            raise FormatError(
                f"record {number} is {record.size:#x} bytes at {record.addr:#x}, "
                "an end within 64 bits is needed",
                source="memory map",
            )
        ranges.append(MemoryRange(record.addr, end, _memory_type(record.type)))
    return tuple(ranges)


def _memory_type(value: int) -> int:
    try:
        return MemoryType(value)
    except ValueError:
        return value


def _table(
    memory: GuestMemory, layout: type[_T], address: int, count: int, limit: int, source: str
) -> tuple[_T, ...]:
    if count == 0:
        return ()  # whatever the address says
    if count > limit:
        raise LimitError(
            f"{count} records, at most {limit} are read",
            limit=f"{source} records",
            allowed=limit,
            source=source,
        )
    if address == 0:
        raise FormatError(f"{count} records at address 0, which means absent", source=source)
    return layout.unpack_all(_read(memory, address, count * layout.SIZE, source), source=source)


def _read(memory: GuestMemory, address: int, size: int, source: str) -> bytes:
    if address + size > 1 << 64:
        raise FormatError(
            f"{size:#x} bytes at {address:#x}, an end within 64 bits is needed", source=source
        )
    try:
        return memory.read(address, size)
    except FormatError as error:
        error.add_note(f"while reading the {source}")
        raise


class _Strings:
    """Reads NUL-terminated strings, with one budget for all of them."""

    def __init__(self, memory: GuestMemory) -> None:
        self._memory = memory
        self._left = _MAX_STRINGS

    def read(self, address: int, source: str) -> bytes:
        """Return the string at `address` without its NUL; empty for address 0, which is absent."""
        if address == 0:
            return b""
        limit = min(_MAX_STRING, self._left)
        text = bytearray()
        while len(text) <= limit:
            chunk = self._chunk(address + len(text), source)
            end = chunk.find(0)
            text += chunk if end < 0 else chunk[:end]
            if end >= 0 and len(text) <= limit:
                self._left -= len(text)
                return bytes(text)
        raise LimitError(
            f"no NUL within {limit:#x} bytes at {address:#x}",
            limit="string bytes",
            allowed=limit,
            source=source,
        )

    def _chunk(self, address: int, source: str) -> bytes:
        # Up to the end of the page; bytes one by one where RAM ends within it.
        try:
            return _read(self._memory, address, -address % _PAGE or _PAGE, source)
        except FormatError:
            return _read(self._memory, address, 1, source)
