# What the protocols' encoders have in common: kernel, modules, command line, a flat processor.
from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hvmlite.errors import RequestError
from hvmlite.guest import layout, segments
from hvmlite.model import CpuState, DescriptorTable, Dropped, Fixup, Kind, Piece, Ref
from hvmlite.spec.x86 import CR0, RFLAGS

if TYPE_CHECKING:
    from hvmlite.guest.layout import Window
    from hvmlite.model import BootInfo, Image, Module, SegmentRegister
    from hvmlite.wire import Struct

__all__ = [
    "KERNEL",
    "check_lines",
    "elf_kernel",
    "entry_ref",
    "flat_cpu",
    "module_name",
    "module_piece",
    "not_carried",
    "pointer",
]

KERNEL = "kernel"
"""The group of the kernel's pieces."""


def check_lines(info: BootInfo, limit: int | None) -> None:
    """Refuse command lines that cannot be handed over as strings, or are longer than `limit`."""
    lines = [("command line", info.cmdline)]
    lines += [(f"command line of module {i}", m.cmdline) for i, m in enumerate(info.modules)]
    for where, line in lines:
        if 0 in line:
            message = f"{where}: NUL found at byte {line.index(0)}, text without it needed"
            raise RequestError(message, field="cmdline")
    if limit is not None and len(info.cmdline) > limit:
        raise RequestError(
            f"command line: {len(info.cmdline)} bytes found, at most {limit} needed: "
            "the kernel takes no more",
            field="cmdline",
        )


def flat_cpu(
    gdt: Piece, code: SegmentRegister, data: SegmentRegister, tr: SegmentRegister
) -> CpuState:
    """Return 32-bit protected mode without paging, all general registers 0.

    An exception before the guest has an IDT of its own is a triple fault: IDTR's limit is 0.
    """
    return CpuState(
        rflags=int(RFLAGS.FIXED),
        cr0=int(CR0.PE | CR0.ET),
        cs=code,
        ds=data,
        es=data,
        ss=data,
        fs=data,
        gs=data,
        tr=tr,
        ldtr=segments.UNUSABLE,
        gdtr=DescriptorTable(0, gdt.length - 1),
        idtr=DescriptorTable(0, 0),
    )


def elf_kernel(image: Image, *, whole: bool) -> list[Piece]:
    """Return the segments of an ELF as pieces of the group :data:`KERNEL`.

    :param whole: what lies between the segments is the kernel's as well, as Linux takes it: it
        makes RAM of all from its first byte to its last (``e820_add_kernel_range``) and frees what
        lies between its segments for everybody (``mark_rodata_ro``)
    """
    ends: dict[int, int] = {}
    if whole:
        ends = dict(pairwise(sorted(s.paddr for s in image.segments if s.memsz)))
    return [
        Piece(
            f"kernel segment {number}",
            segment.data,
            Kind.KERNEL,
            size=ends.get(segment.paddr, segment.end) - segment.paddr,
            at=segment.paddr,
            high=max(segment.end, layout.FOUR_GIB),
            group=KERNEL,
        )
        for number, segment in enumerate(image.segments)
        if segment.memsz
    ]


def entry_ref(kernel: list[Piece], entry: int) -> Ref:
    """Return `entry` as an offset into the piece that it lies in, so that it moves with it."""
    for piece in kernel:
        if piece.at is not None and piece.at <= entry < piece.at + piece.length:
            return Ref(piece.name, entry - piece.at)
    raise RequestError(
        f"entry {entry:#x}: in no segment, an offer for this image needed", field="offer"
    )


def module_name(number: int, module: Module) -> str:
    """Return the name of a module's piece."""
    name = f"module {number}"
    return name if module.name in ("module", name) else f"{name} ({module.name})"


def module_piece(number: int, module: Module, window: Window = layout.MODULES) -> Piece:
    """Return the piece of a module: whole pages, as high as `window` and the RAM allow."""
    return Piece(
        module_name(number, module),
        module.data,
        Kind.MODULE,
        align=layout.PAGE,
        low=window.low,
        high=window.high,
        top=True,
    )


def pointer(layout_: type[Struct], field: str, piece: str, start: int = 0) -> Fixup:
    """Return the fixup that writes a piece's address into `field` of the structure at `start`."""
    return Fixup(start + layout_.FIELDS[field].offset, layout_.FIELDS[field].size, Ref(piece))


def not_carried(info: BootInfo, reason: str) -> tuple[Dropped, ...]:
    """Return all that was asked for, as dropped: for protocols that carry nothing."""
    asked = {
        "cmdline": info.cmdline,
        "modules": info.modules,
        "origin": info.origin,
        "framebuffer": info.framebuffer,
        "setup_data": info.setup_data,
        "hardware_subarch": info.hardware_subarch,
    }
    return tuple(Dropped(field, reason) for field, value in asked.items() if value)
