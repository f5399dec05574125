# PVH: from guest memory and registers back to BootInfo. Everything read here may be hostile.
from __future__ import annotations

from typing import TypeVar

from hvmlite.errors import FormatError
from hvmlite.model import BootInfo, CpuState, GuestMemory, MemoryRange, Module
from hvmlite.protocols._reading import (
    MAX_MODULE_BYTES,
    MAX_MODULES,
    MAX_RECORDS,
    Strings,
    check,
    memory_range,
    read,
)
from hvmlite.spec.pvh import (
    XEN_HVM_START_MAGIC_VALUE,
    HvmMemmapTableEntry,
    HvmModlistEntry,
    HvmStartInfo,
    HvmStartInfoV0,
)
from hvmlite.wire import Struct

__all__ = ["decode"]

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
    strings = Strings(memory)
    return BootInfo(
        cmdline=strings.read(info.cmdline_paddr, "command line"),
        modules=_modules(memory, info, strings),
        memory_map=_memory_map(memory, info),
        rsdp=info.rsdp_paddr,
    )


def _start_info(memory: GuestMemory, address: int) -> HvmStartInfo:
    source = f"start info at {address:#x}"
    first = HvmStartInfoV0.unpack(read(memory, address, HvmStartInfoV0.SIZE, source))
    if first.magic != XEN_HVM_START_MAGIC_VALUE:
        raise FormatError(
            f"magic {first.magic:#x}, {XEN_HVM_START_MAGIC_VALUE:#x} needed", source=source
        )
    if first.version == 0:
        return HvmStartInfo(**{name: getattr(first, name) for name in first.FIELDS})
    return HvmStartInfo.unpack(read(memory, address, HvmStartInfo.SIZE, source))


def _modules(memory: GuestMemory, info: HvmStartInfo, strings: Strings) -> tuple[Module, ...]:
    records = _table(
        memory, HvmModlistEntry, info.modlist_paddr, info.nr_modules, MAX_MODULES, "module list"
    )
    total = sum(record.size for record in records)
    check(total, MAX_MODULE_BYTES, "module bytes", "module list")
    modules = []
    for number, record in enumerate(records):
        name = f"module {number}"
        data = read(memory, record.paddr, record.size, name) if record.size else b""
        modules.append(Module(data, strings.read(record.cmdline_paddr, f"{name} command line")))
    return tuple(modules)


def _memory_map(memory: GuestMemory, info: HvmStartInfo) -> tuple[MemoryRange, ...]:
    records = _table(
        memory,
        HvmMemmapTableEntry,
        info.memmap_paddr,
        info.memmap_entries,
        MAX_RECORDS,
        "memory map",
    )
    return tuple(
        memory_range(number, record.addr, record.size, record.type)
        for number, record in enumerate(records)
    )


def _table(
    memory: GuestMemory, layout: type[_T], address: int, count: int, limit: int, source: str
) -> tuple[_T, ...]:
    if count == 0:
        return ()  # whatever the address says
    check(count, limit, "records", source)
    if address == 0:
        raise FormatError(f"{count} records at address 0, which means absent", source=source)
    return layout.unpack_all(read(memory, address, count * layout.SIZE, source), source=source)
