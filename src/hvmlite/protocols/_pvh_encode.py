# PVH: what lies in guest memory and in the registers when the kernel is entered.
from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.errors import RequestError
from hvmlite.guest import layout, segments
from hvmlite.model import (
    BootInfo,
    Dropped,
    Entry,
    Fixup,
    Kind,
    Machine,
    MemoryRange,
    Offer,
    Piece,
    Ref,
)
from hvmlite.protocols import _linux
from hvmlite.protocols._pieces import (
    KERNEL,
    check_lines,
    elf_kernel,
    entry_ref,
    flat_cpu,
    module_piece,
    pointer,
)
from hvmlite.spec.linux import E820_MAX_ENTRIES_ZEROPAGE
from hvmlite.spec.pvh import HvmMemmapTableEntry, HvmModlistEntry, HvmStartInfo, HvmStartInfoV0

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["encode"]

_START_INFO = "start info"
_COMMAND_LINE = "command line"
_MODULE_LIST = "module list"
_MEMORY_MAP = "memory map"


def encode(
    offer: Offer, info: BootInfo, machine: Machine, rsdp: Ref | None, *, version: int = 1
) -> Entry:
    """Lay out what the document asks for: kernel, start info and what it points at, CPU state.

    All information lies in the lowest free memory and below 1 GiB, where Linux can read it before
    it has page tables of its own; modules lie in the highest free memory below 4 GiB.

    :param rsdp: the piece with the ACPI RSDP; None: `info.rsdp` is its address
    :param version: of the start info: 1, or 0 without a memory map as Xen's dom0 builder writes it
    :raises RequestError: the command line is more than the guest takes, or has a NUL in it. The
        memory map is known only after placing: `place` raises it for that
    """
    if version not in (0, 1):
        raise RequestError(f"start info: version {version} found, 0 or 1 needed", field="version")
    check_lines(info, offer.cmdline_limit)
    kernel = elf_kernel(offer.image, whole=_for_linux(offer))
    gdt = segments.gdt(segments.CODE32, segments.DATA32, segments.TSS)
    pieces = [*kernel, gdt, _command_line(offer, info), *_modules(info)]
    if version == 1:
        pieces.append(_memory_map(offer, machine))
    pieces.append(_start_info(info, rsdp, version))
    return Entry(
        protocol=offer.protocol,
        pieces=tuple(pieces),
        cpu=flat_cpu(gdt, segments.CODE32, segments.DATA32, segments.TSS),
        registers={
            "rip": entry_ref(kernel, offer.entry),
            "rbx": Ref(_START_INFO),
            "gdtr": Ref(gdt.name),
        },
        relocations={KERNEL: offer.relocation} if offer.relocation else {},
        dropped=tuple(_dropped(offer, info, version)),
    )


def _low(
    name: str,
    data: bytes = b"",
    kind: Kind = Kind.BOOT_INFO,
    *,
    size: int = 0,
    fixups: tuple[Fixup, ...] = (),
    late: Callable[[tuple[MemoryRange, ...]], bytes] | None = None,
) -> Piece:
    # A piece that Linux reads while its page tables map the first GiB.
    window = layout.LINUX_PVH
    return Piece(
        name, data, kind, size, 8, low=window.low, high=window.high, fixups=fixups, late=late
    )


def _command_line(offer: Offer, info: BootInfo) -> Piece:
    # A kernel with a limit copies that many bytes and one more, whatever the line's own length is.
    size = 0 if offer.cmdline_limit is None else offer.cmdline_limit + 1
    return _low(_COMMAND_LINE, info.cmdline + b"\0", Kind.COMMAND_LINE, size=size)


def _modules(info: BootInfo) -> list[Piece]:
    # The modules, their command lines and the list; nothing at all without modules.
    pieces, records, fixups = [], [], []
    for number, module in enumerate(info.modules):
        piece, start = module_piece(number, module), number * HvmModlistEntry.SIZE
        pieces.append(piece)
        fixups.append(pointer(HvmModlistEntry, "paddr", piece.name, start))
        if module.cmdline:
            line = f"module {number} {_COMMAND_LINE}"
            pieces.append(_low(line, module.cmdline + b"\0", Kind.COMMAND_LINE))
            fixups.append(pointer(HvmModlistEntry, "cmdline_paddr", line, start))
        records.append(HvmModlistEntry(size=len(module.data)).pack())
    if records:
        pieces.append(_low(_MODULE_LIST, b"".join(records), fixups=tuple(fixups)))
    return pieces


def _memory_map(offer: Offer, machine: Machine) -> Piece:
    # Its size is needed before the map is known: Linux's own limit, or room for what the machine
    # has, each range between two others, and for every kind of thing that pieces carve out.
    limit = E820_MAX_ENTRIES_ZEROPAGE
    if not _for_linux(offer):
        limit += 2 * (len(machine.ram) + len(machine.reserved))

    def records(ranges: tuple[MemoryRange, ...]) -> bytes:
        if len(ranges) > limit:
            raise RequestError(
                f"memory map: {len(ranges)} records found, at most {limit} needed: "
                "more would overrun the kernel's table",
                field="memory_map",
            )
        return b"".join(
            HvmMemmapTableEntry(addr=r.start, size=r.size, type=r.type).pack() for r in ranges
        )

    size = limit * HvmMemmapTableEntry.SIZE
    return _low(_MEMORY_MAP, kind=Kind.MEMORY_MAP, size=size, late=records)


def _start_info(info: BootInfo, rsdp: Ref | None, version: int) -> Piece:
    # Pointers are filled in by the placer, the number of records once the map is known.
    layout_ = HvmStartInfo if version else HvmStartInfoV0
    start = layout_(
        version=version,
        nr_modules=len(info.modules),
        rsdp_paddr=0 if rsdp else info.rsdp,
    )
    fixups = [pointer(layout_, "cmdline_paddr", _COMMAND_LINE)]
    if info.modules:
        fixups.append(pointer(layout_, "modlist_paddr", _MODULE_LIST))
    if rsdp:
        at = layout_.FIELDS["rsdp_paddr"]
        fixups.append(Fixup(at.offset, at.size, rsdp))
    if version == 0:
        return _low(_START_INFO, start.pack(), fixups=tuple(fixups))
    fixups.append(pointer(layout_, "memmap_paddr", _MEMORY_MAP))

    def counted(ranges: tuple[MemoryRange, ...]) -> bytes:
        return start.replace(memmap_entries=len(ranges)).pack()

    return _low(_START_INFO, size=layout_.SIZE, fixups=tuple(fixups), late=counted)


def _for_linux(offer: Offer) -> bool:
    return offer.nested or _linux.is_linux(offer.image)


def _dropped(offer: Offer, info: BootInfo, version: int) -> list[Dropped]:
    linux = _for_linux(offer)
    dropped = []
    if version == 0:
        also = ", and Linux does not start without one except on Xen" if linux else ""
        dropped.append(Dropped("memory_map", f"version 0 has none{also}"))
    if info.origin is not None:
        dropped.append(Dropped("origin", "the start info has no field for it"))
    if linux and info.modules and info.modules[0].cmdline:
        dropped.append(Dropped("modules[0].cmdline", "Linux ignores the initrd's command line"))
    if linux and len(info.modules) > 1:
        more = f"{len(info.modules) - 1} modules are in memory, but Linux takes only the first one"
        dropped.append(Dropped("modules[1:]", more))
    return dropped
