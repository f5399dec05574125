# The 16-bit entry of Linux's boot protocol: a kernel's setup code, and BIOS services for it.
from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.errors import RequestError
from hvmlite.guest import bios, layout
from hvmlite.model import (
    BootInfo,
    CpuState,
    Dropped,
    Entry,
    Kind,
    Machine,
    MemoryRange,
    Offer,
    Piece,
    Ref,
    SegmentRegister,
)
from hvmlite.protocols import _linux_handed as handed
from hvmlite.protocols._linux_encode import initrd_end, kernel_pieces
from hvmlite.protocols._linux_header import filled_in, fixups, seal
from hvmlite.protocols._linux_load import code, setup_size
from hvmlite.protocols._linux_real_mode_offer import base, header_end, high, old
from hvmlite.protocols._pieces import KERNEL, check_lines
from hvmlite.spec.linux import (
    CL_MAGIC,
    CL_MAGIC_AT,
    CL_OFFSET_AT,
    E820_MAX_ENTRIES_ZEROPAGE,
    HEADER_JUMP,
    HEADER_START,
    LoadFlags,
    SetupHeader,
    Version,
)
from hvmlite.wire import patch

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CARRIES", "encode"]

CARRIES = frozenset(
    {
        "cmdline",
        "modules",
        "memory_map",
        "rsdp",
        "setup_data",
        "hardware_subarch",
        "hardware_subarch_data",
    }
)

_SETUP = "setup"
_SEGMENT = 0x10000
_HEAP_END = 0xE000
"""End of heap and stack in the setup's segment; boot.rst, "Sample Boot Configuration"."""
_HEAP_END_OLD = 0x9000
_HEAP_BIAS = 0x200
"""heap_end_ptr is this much less than what it means."""
_LINE_END_OLD = 0xA000


def encode(offer: Offer, info: BootInfo, machine: Machine, rsdp: Ref | None) -> Entry:
    """Lay out what the document asks for (boot.rst, "Running the Kernel"), and BIOS services.

    The setup code has a segment of its own with heap and stack; the command line follows in base
    memory. It asks the BIOS for the memory map; the kernel finds the RSDP by the EBDA's segment.

    :param rsdp: the piece with the ACPI RSDP; without it the guest is told of none
    :raises RequestError: the command line is more than the kernel takes, or has a NUL in it. The
        memory map is known only after placing: `place` raises it for more than 128 records, which
        is all that the setup code asks for
    :raises UnsupportedError: the BIOS was not built
    """
    header = offer.image.header
    if not isinstance(header, SetupHeader):
        raise RequestError("offer: not of a bzImage, one of linux16 needed", field="offer")
    check_lines(info, offer.cmdline_limit)
    kernel = kernel_pieces(offer, layout.FOUR_GIB) if high(header) else _zimage(offer)
    nodes = []
    if header.version >= Version.V2_09:
        low = layout.FIRST_FREE if high(header) else layout.HIGH_MEMORY
        nodes = handed.setup_data(info, layout.Window(low, layout.FOUR_GIB))
    pieces = [*bios.pieces(machine, rsdp), *kernel, *nodes]
    pieces.append(_setup(offer, header, info, kernel[0], nodes[0].name if nodes else None))
    if not old(header):
        modern = high(header) and header.version >= Version.V2_05
        window = layout.REAL_MODE if modern else layout.LINUX_OLD
        pieces.append(handed.command_line(offer, info, window))
    pieces += handed.initrd(info, initrd_end(offer))
    return Entry(
        protocol=offer.protocol,
        pieces=tuple(pieces),
        cpu=_cpu(header),
        relocations={KERNEL: offer.relocation} if offer.relocation else {},
        dropped=tuple(_dropped(info, header, rsdp)),
    )


def _zimage(offer: Offer) -> list[Piece]:
    data = code(offer.image)
    return [
        Piece(KERNEL, data, Kind.KERNEL, at=layout.LINUX_ZIMAGE.low),
        Piece(
            "unpacked kernel",
            kind=Kind.KERNEL,
            size=offer.needs - layout.HIGH_MEMORY,
            at=layout.HIGH_MEMORY,
        ),
    ]


def _heap_end(header: SetupHeader) -> int:
    return _HEAP_END_OLD if base(header) == layout.LINUX_SETUP_OLD else _HEAP_END


def _setup(
    offer: Offer, header: SetupHeader, info: BootInfo, kernel: Piece, nodes: str | None
) -> Piece:
    # Boot sector and setup code with the header filled in, room for heap and stack; before 2.02
    # the command line behind them. A zImage is entered where its setup code moves it, not where it
    # is loaded: `code32_start` says so already.
    size, heap_end = setup_size(header), _heap_end(header)
    entered = kernel if high(header) else None
    filled = filled_in(header, info)
    if header.version >= Version.V2_01:
        flags = filled.loadflags | LoadFlags.CAN_USE_HEAP
        filled = filled.replace(loadflags=flags, heap_end_ptr=heap_end - _HEAP_BIAS)
    data = bytearray(offer.image.data[:size])
    if old(header):
        line = info.cmdline + b"\0"
        filled = filled.replace(setup_move_size=heap_end + len(line))
        patch(data, CL_MAGIC_AT, 2, CL_MAGIC)
        patch(data, CL_OFFSET_AT, 2, heap_end)
        data += bytes(heap_end - size) + line
    end = min(header_end(offer.image), HEADER_START + SetupHeader.SIZE)  # beyond it is code
    data[HEADER_START:end] = filled.pack()[: end - HEADER_START]

    def checked(ranges: tuple[MemoryRange, ...]) -> bytes:
        if len(ranges) > E820_MAX_ENTRIES_ZEROPAGE:
            raise RequestError(
                f"memory map: {len(ranges)} records found, at most {E820_MAX_ENTRIES_ZEROPAGE} "
                "needed: the setup code asks for no more",
                field="memory_map",
            )
        return bytes(data)

    return Piece(
        _SETUP,
        kind=Kind.CODE,
        size=_LINE_END_OLD if base(header) == layout.LINUX_SETUP_OLD else _SEGMENT,
        at=base(header),
        fixups=tuple(fixups(entered, info, nodes, line=not old(header))),
        late=checked,
        seal=seal(offer),
    )


def _cpu(header: SetupHeader) -> CpuState:
    # Interrupts off; all segments the setup's, but for CS, which begins behind the boot sector.
    start = base(header)
    data = SegmentRegister(selector=start >> 4, base=start, limit=0xFFFF, type=0x3)
    at = start + HEADER_JUMP
    return CpuState(
        rip=0,
        rsp=_heap_end(header),
        cs=SegmentRegister(selector=at >> 4, base=at, limit=0xFFFF, type=0xB),
        ds=data,
        es=data,
        ss=data,
        fs=data,
        gs=data,
        idtr=bios.IDTR,
    )


def _dropped(info: BootInfo, header: SetupHeader, rsdp: Ref | None) -> Iterator[Dropped]:
    yield from handed.dropped(info, header)
    if info.framebuffer is not None:
        yield Dropped("framebuffer", "the setup code asks the BIOS for its screen, which has none")
    if info.rsdp and rsdp is None:
        yield Dropped("rsdp", "the kernel looks for it where the EBDA is, an address is not told")
