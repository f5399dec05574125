# PVH: what lies in guest memory and in the registers when the kernel is entered.
from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hvmlite.errors import RequestError
from hvmlite.guest import layout, segments
from hvmlite.model import (
    BootInfo,
    CpuState,
    DescriptorTable,
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
from hvmlite.spec.linux import E820_MAX_ENTRIES_ZEROPAGE
from hvmlite.spec.pvh import HvmMemmapTableEntry, HvmModlistEntry, HvmStartInfo, HvmStartInfoV0
from hvmlite.spec.x86 import CR0, RFLAGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from hvmlite.wire import Struct

__all__ = ["encode"]

_KERNEL = "kernel"
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
    _check_lines(offer, info)
    kernel = _kernel(offer)
    gdt = segments.gdt(segments.CODE32, segments.DATA32, segments.TSS)
    pieces = [*kernel, gdt, _command_line(offer, info), *_modules(info)]
    if version == 1:
        pieces.append(_memory_map(offer, machine))
    pieces.append(_start_info(info, rsdp, version))
    return Entry(
        protocol=offer.protocol,
        pieces=tuple(pieces),
        cpu=_cpu(gdt),
        registers={
            "rip": _entry(kernel, offer.entry),
            "rbx": Ref(_START_INFO),
            "gdtr": Ref(gdt.name),
        },
        relocations={_KERNEL: offer.relocation} if offer.relocation else {},
        dropped=tuple(_dropped(offer, info, version)),
    )


def _check_lines(offer: Offer, info: BootInfo) -> None:
    lines = [("command line", info.cmdline)]
    lines += [(f"command line of module {i}", m.cmdline) for i, m in enumerate(info.modules)]
    for where, line in lines:
        if 0 in line:
            message = f"{where}: NUL found at byte {line.index(0)}, text without it needed"
            raise RequestError(message, field="cmdline")
    limit = offer.cmdline_limit
    if limit is not None and len(info.cmdline) > limit:
        raise RequestError(
            f"command line: {len(info.cmdline)} bytes found, at most {limit} needed: "
            "the kernel takes no more",
            field="cmdline",
        )


def _cpu(gdt: Piece) -> CpuState:
    # The document leaves the rest open; Xen has zeros there, and so do we.
    data = segments.DATA32
    return CpuState(
        rflags=int(RFLAGS.FIXED),
        cr0=int(CR0.PE | CR0.ET),
        cs=segments.CODE32,
        ds=data,
        es=data,
        ss=data,
        fs=data,
        gs=data,
        tr=segments.TSS,
        ldtr=segments.UNUSABLE,
        gdtr=DescriptorTable(0, gdt.length - 1),
        idtr=DescriptorTable(0, 0),
    )


def _kernel(offer: Offer) -> list[Piece]:
    # Linux takes all from its first byte to its last for its own: e820_add_kernel_range makes RAM
    # of it, and what lies between the segments is freed for everybody (mark_rodata_ro).
    ends: dict[int, int] = {}
    if _for_linux(offer):
        ends = dict(pairwise(sorted(s.paddr for s in offer.image.segments if s.memsz)))
    return [
        Piece(
            f"kernel segment {number}",
            segment.data,
            Kind.KERNEL,
            size=ends.get(segment.paddr, segment.end) - segment.paddr,
            at=segment.paddr,
            high=max(segment.end, layout.FOUR_GIB),
            group=_KERNEL,
        )
        for number, segment in enumerate(offer.image.segments)
        if segment.memsz
    ]


def _entry(kernel: list[Piece], entry: int) -> Ref:
    for piece in kernel:
        if piece.at is not None and piece.at <= entry < piece.at + piece.length:
            return Ref(piece.name, entry - piece.at)
    raise RequestError(
        f"entry {entry:#x}: in no segment, an offer for this image needed", field="offer"
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
        name = f"module {number}"
        shown = name if module.name in ("module", name) else f"{name} ({module.name})"
        window, start = layout.MODULES, number * HvmModlistEntry.SIZE
        pieces.append(
            Piece(
                shown,
                module.data,
                Kind.MODULE,
                align=layout.PAGE,
                low=window.low,
                high=window.high,
                top=True,
            )
        )
        fixups.append(_pointer(HvmModlistEntry, "paddr", shown, start))
        if module.cmdline:
            line = f"{name} {_COMMAND_LINE}"
            pieces.append(_low(line, module.cmdline + b"\0", Kind.COMMAND_LINE))
            fixups.append(_pointer(HvmModlistEntry, "cmdline_paddr", line, start))
        records.append(HvmModlistEntry(size=len(module.data)).pack())
    if records:
        pieces.append(_low(_MODULE_LIST, b"".join(records), fixups=tuple(fixups)))
    return pieces


def _pointer(layout_: type[Struct], field: str, piece: str, start: int = 0) -> Fixup:
    return Fixup(start + layout_.FIELDS[field].offset, layout_.FIELDS[field].size, Ref(piece))


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
    fixups = [_pointer(layout_, "cmdline_paddr", _COMMAND_LINE)]
    if info.modules:
        fixups.append(_pointer(layout_, "modlist_paddr", _MODULE_LIST))
    if rsdp:
        at = layout_.FIELDS["rsdp_paddr"]
        fixups.append(Fixup(at.offset, at.size, rsdp))
    if version == 0:
        return _low(_START_INFO, start.pack(), fixups=tuple(fixups))
    fixups.append(_pointer(layout_, "memmap_paddr", _MEMORY_MAP))

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
