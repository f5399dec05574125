# The zero page, struct boot_params: what the 32-bit and the 64-bit entry are told.
from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.errors import RequestError
from hvmlite.guest import layout
from hvmlite.model import Fixup, Kind, MemoryRange, MemoryType, Piece, Ref
from hvmlite.protocols._linux_handed import INITRD, initrd_size, next_node, setup_data, window
from hvmlite.protocols._linux_header import filled_in, fixups, header_of, seal
from hvmlite.protocols._linux_screen import screen_info
from hvmlite.spec.linux import (
    E820_MAX_ENTRIES_ZEROPAGE,
    HEADER_JUMP,
    HEADER_START,
    JUMP_END,
    BootE820Entry,
    BootParams,
    SetupData,
    SetupHeader,
    SetupType,
    Version,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from hvmlite.model import BootInfo, Image, Machine, Offer

__all__ = ["MEMORY_MAP", "ZERO_PAGE", "zero_page"]

ZERO_PAGE = "zero page"
MEMORY_MAP = "memory map"

_CARVED = 16
"""Ranges that pieces may take out of RAM, beside what the machine has; ACPI tables are one."""
_LEAST_RECORDS = 2
"""Linux does not believe a shorter map (append_e820_table in arch/x86/kernel/e820.c)."""


def zero_page(
    offer: Offer, kernel: Piece, info: BootInfo, machine: Machine, rsdp: Ref | None
) -> list[Piece]:
    """Return the zero page and the setup_data list that belongs to it.

    Records of the memory map that the page has no room for are the list's first node.

    :param kernel: what code32_start is the address of
    :raises RequestError: a number does not fit its field
    """
    header = header_of(offer)
    where = window(header)
    nodes = setup_data(info, where) if header.version >= Version.V2_09 else []
    room = _records(machine, header)
    if room > E820_MAX_ENTRIES_ZEROPAGE:
        more = room - E820_MAX_ENTRIES_ZEROPAGE
        nodes.insert(0, _continuation(more, [node.name for node in nodes], where))
    addresses = list(fixups(kernel, info, nodes[0].name if nodes else None))
    if initrd_size(info):
        addresses.append(_address("ext_ramdisk_image", Ref(INITRD), 32))
    if rsdp is not None:
        addresses.append(_address("acpi_rsdp_addr", rsdp))
    page = BootParams(
        screen_info=screen_info(info.framebuffer),
        acpi_rsdp_addr=0 if rsdp else info.rsdp,
        ext_ramdisk_size=initrd_size(info) >> 32,
        hdr=filled_in(header, info),
    )
    return [
        *nodes,
        Piece(
            ZERO_PAGE,
            size=BootParams.SIZE,
            align=layout.PAGE,
            low=where.low,
            high=where.high,
            fixups=tuple(addresses),
            late=_with_map(page, room, header, offer.image),
            seal=seal(offer),
        ),
    ]


def _with_map(
    page: BootParams, room: int, header: SetupHeader, image: Image
) -> Callable[[tuple[MemoryRange, ...]], bytes]:
    def told(ranges: tuple[MemoryRange, ...]) -> bytes:
        _check(ranges, room, header)
        table = _table(ranges[:E820_MAX_ENTRIES_ZEROPAGE])
        extended = _extended_kib(ranges) if header.version < Version.V2_05 else 0
        filled = page.replace(alt_mem_k=extended, e820_entries=len(table), e820_table=table)
        data = bytearray(filled.pack())
        _copy_rest(data, image)
        return bytes(data)

    return told


def _extended_kib(ranges: tuple[MemoryRange, ...]) -> int:
    # Unpackers before 2.05 do not read the map, and halt with "Less than 4MB of memory" without it.
    start = layout.HIGH_MEMORY
    ends = (r.end for r in ranges if r.type == MemoryType.RAM and r.start <= start < r.end)
    return (min(next(ends, start), layout.FOUR_GIB) - start) >> 10


def _address(field: str, ref: Ref, shift: int | None = None) -> Fixup:
    at = BootParams.FIELDS[field]
    return Fixup(at.offset, at.size, ref, shift)


def _copy_rest(page: bytearray, image: Image) -> None:
    # A later protocol's header may be longer than what we know of it; it is copied as it is.
    if isinstance(image.header, SetupHeader):
        start, end = HEADER_START + SetupHeader.SIZE, JUMP_END + image.data[HEADER_JUMP + 1]
        page[start : max(start, end)] = image.data[start : max(start, end)]


def _records(machine: Machine, header: SetupHeader) -> int:
    # How many there may be: each range of the machine between two others, and what pieces take.
    # It is settled before the map is known, because the map depends on where this lies.
    most = 2 * (len(machine.ram) + len(machine.reserved) + _CARVED)
    if most <= E820_MAX_ENTRIES_ZEROPAGE or header.version < Version.V2_09:
        return E820_MAX_ENTRIES_ZEROPAGE
    return most


def _check(ranges: tuple[MemoryRange, ...], room: int, header: SetupHeader) -> None:
    if _LEAST_RECORDS <= len(ranges) <= room:
        return
    needed = f"at least {_LEAST_RECORDS} needed: Linux does not believe a shorter one"
    if len(ranges) > room:
        needed = f"at most {room} needed"
        if header.version < Version.V2_09:
            needed += ": there is no continuation before protocol 2.09"
    raise RequestError(f"memory map: {len(ranges)} records found, {needed}", field="memory_map")


def _table(ranges: tuple[MemoryRange, ...]) -> tuple[BootE820Entry, ...]:
    return tuple(BootE820Entry(addr=r.start, size=r.size, type=r.type) for r in ranges)


def _continuation(room: int, others: list[str], where: layout.Window) -> Piece:
    # Always there if it may be needed, with no record if it is not. A direct node: what is behind
    # a SETUP_INDIRECT does not become part of the map (parse_setup_data, arch/x86/kernel/setup.c).
    def told(ranges: tuple[MemoryRange, ...]) -> bytes:
        data = b"".join(record.pack() for record in _table(ranges[E820_MAX_ENTRIES_ZEROPAGE:]))
        return SetupData(type=SetupType.SETUP_E820_EXT, len=len(data)).pack() + data

    return Piece(
        MEMORY_MAP,
        kind=Kind.MEMORY_MAP,
        size=SetupData.SIZE + room * BootE820Entry.SIZE,
        align=8,
        low=where.low,
        high=where.high,
        fixups=next_node(others),
        late=told,
    )
