# The Linux boot protocol: from guest memory back to BootInfo. Everything read here may be hostile.
from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.errors import FormatError
from hvmlite.model import BootInfo, CpuState, GuestMemory, MemoryRange, Module, SetupNode
from hvmlite.protocols._linux_screen import framebuffer
from hvmlite.protocols._reading import (
    MAX_MODULE_BYTES,
    MAX_RECORDS,
    Strings,
    check,
    memory_range,
    read,
)
from hvmlite.spec.linux import (
    E820_MAX_ENTRIES_ZEROPAGE,
    HDRS,
    SETUP_INDIRECT_FLAG,
    BootE820Entry,
    BootParams,
    SetupData,
    SetupHeader,
    SetupIndirect,
    SetupType,
    Version,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["checked_header", "decode32", "decode64", "module", "nodes"]

_MAX_NODE_BYTES = 16 << 20
"""All setup_data together; the largest in use are option ROMs of PCI devices."""


def decode64(memory: GuestMemory, cpu: CpuState) -> BootInfo:
    """Read the zero page that RSI points at, as a kernel would.

    Linux distrusts a page whose sentinel is not 0 and clears, among others, the address of the RSDP
    and the upper halves of addresses (sanitize_boot_params); and it takes no initrd from a loader
    of type 0. Several modules come back as one, the initrd.

    :param memory: the guest's memory; every address in it is checked before use
    :raises FormatError: the page breaks the protocol or points outside RAM; LimitError: a count, a
        string, or what is pointed at is beyond what is read here
    """
    return _decode(memory, cpu.rsi)


def decode32(memory: GuestMemory, cpu: CpuState) -> BootInfo:
    """Read the zero page that ESI points at, see :func:`decode64`."""
    return _decode(memory, cpu.rsi & 0xFFFFFFFF)  # the upper half means nothing in 32-bit mode


def _decode(memory: GuestMemory, address: int) -> BootInfo:
    source = f"zero page at {address:#x}"
    page = BootParams.unpack(read(memory, address, BootParams.SIZE, source))
    header = checked_header(page.hdr, source)
    if page.sentinel:
        page = page.replace(
            acpi_rsdp_addr=0, ext_ramdisk_image=0, ext_ramdisk_size=0, ext_cmd_line_ptr=0
        )
    line = header.cmd_line_ptr | page.ext_cmd_line_ptr << 32
    map_ = list(_ranges(_table(page), "memory map"))
    found = []
    for node, direct in nodes(memory, header):
        if direct and node.type == SetupType.SETUP_E820_EXT:
            more = len(node.data) // BootE820Entry.SIZE
            check(len(map_) + more, MAX_RECORDS, "records", "memory map")
            table = BootE820Entry.unpack_all(node.data[: more * BootE820Entry.SIZE])
            map_ += _ranges(table, "memory map continuation")
        else:
            found.append(node)
    return BootInfo(
        cmdline=Strings(memory).read(line, "command line"),
        modules=module(
            memory,
            header,
            header.ramdisk_image | page.ext_ramdisk_image << 32,
            header.ramdisk_size | page.ext_ramdisk_size << 32,
        ),
        memory_map=tuple(map_),
        rsdp=page.acpi_rsdp_addr,
        framebuffer=framebuffer(page.screen_info),
        setup_data=tuple(found),
        hardware_subarch=header.hardware_subarch,
        hardware_subarch_data=header.hardware_subarch_data,
    )


def checked_header(header: SetupHeader, source: str) -> SetupHeader:
    """Return the header with the fields that its version does not have as 0.

    Version 0 is what loaders of ELF kernels write who do not know better: all fields count.

    :raises FormatError: it is none
    """
    if header.header != HDRS:
        raise FormatError(f"magic {header.header:#x}, {HDRS:#x} (HdrS) needed", source=source)
    if header.version and header.version < Version.V2_09:
        header = header.replace(setup_data=0)
    if header.version and header.version < Version.V2_07:
        header = header.replace(hardware_subarch=0, hardware_subarch_data=0)
    return header


def module(memory: GuestMemory, header: SetupHeader, address: int, size: int) -> tuple[Module, ...]:
    """Return the initrd; nothing where Linux takes none (early_reserve_initrd)."""
    if not (header.type_of_loader and address and size):
        return ()
    check(size, MAX_MODULE_BYTES, "module bytes", "initrd")
    return (Module(read(memory, address, size, "initrd")),)


def nodes(memory: GuestMemory, header: SetupHeader) -> Iterator[tuple[SetupNode, bool]]:
    """Yield the setup_data list: the node, and whether its data is its own.

    What a SETUP_INDIRECT points at comes as a node of its type. Linux shows it in sysfs so, but
    reads no memory map there (parse_setup_data in arch/x86/kernel/setup.c).

    :raises FormatError: it has no end, or leads outside RAM
    """
    address, seen, left = header.setup_data, set[int](), _MAX_NODE_BYTES
    while address:
        source = f"setup_data at {address:#x}"
        if address in seen:
            raise FormatError("a node of this list again, an end of it needed", source=source)
        seen.add(address)
        check(len(seen), MAX_RECORDS, "records", "setup_data")
        node = SetupData.unpack(read(memory, address, SetupData.SIZE, source))
        check(_MAX_NODE_BYTES - left + node.len, _MAX_NODE_BYTES, "setup_data bytes", source)
        data = read(memory, address + SetupData.SIZE, node.len, source)
        left -= node.len
        type_ = node.type
        if type_ == SetupType.SETUP_INDIRECT:
            where = SetupIndirect.unpack(data, source=source)
            type_ = where.type & ~SETUP_INDIRECT_FLAG
            if not where.type & SETUP_INDIRECT_FLAG or not type_:
                needed = "an indirect type of another node needed"
                raise FormatError(f"type {where.type:#x} inside, {needed}", source=source)
            check(_MAX_NODE_BYTES - left + where.len, _MAX_NODE_BYTES, "setup_data bytes", source)
            data = read(memory, where.addr, where.len, source)
            left -= where.len
        yield SetupNode(type_, data), type_ == node.type
        address = node.next


def _table(page: BootParams) -> tuple[BootE820Entry, ...]:
    if page.e820_entries > E820_MAX_ENTRIES_ZEROPAGE:
        raise FormatError(
            f"{page.e820_entries} records, at most {E820_MAX_ENTRIES_ZEROPAGE} fit the page",
            source="memory map",
        )
    return page.e820_table[: page.e820_entries]


def _ranges(table: tuple[BootE820Entry, ...], source: str) -> Iterator[MemoryRange]:
    for number, record in enumerate(table):
        yield memory_range(number, record.addr, record.size, record.type, source)
