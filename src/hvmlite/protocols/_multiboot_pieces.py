# What both versions of multiboot hand over: memory sizes and types, modules, the processor.
from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from hvmlite.guest import bios, layout, segments
from hvmlite.guest.layout import Window
from hvmlite.model import (
    BootInfo,
    Dropped,
    Kind,
    Machine,
    MemoryRange,
    MemoryType,
    Offer,
    Piece,
    Preference,
    Ref,
    Relocation,
)
from hvmlite.protocols._pieces import flat_cpu, module_piece

if TYPE_CHECKING:
    from collections.abc import Callable

    from hvmlite.model import CpuState
    from hvmlite.spec.multiboot1 import MultibootMmapEntry
    from hvmlite.spec.multiboot2 import Multiboot2MmapEntry

__all__ = [
    "LOADER_NAME",
    "bios_pieces",
    "cpu",
    "dropped",
    "low",
    "map_limit",
    "mem_lower",
    "mem_upper",
    "memory_type",
    "module_pieces",
    "module_window",
    "records",
    "rgb",
]

LOADER_NAME = b"hvmlite (as GRUB 2)"
"""Xen takes the first word of every command line for a file name, which older loaders put there,
unless the loader's name has "GRUB " and no 0 behind it (`loader_is_grub2` in xen/arch/x86/setup.c).
Ours are, like those of GRUB 2, what the user wrote and nothing else."""

_MODULES = "modules"
"""The group of the modules' pieces."""
_CARVED = 32
"""Records that pieces can add to the memory map: each range of ACPI tables, and RAM after it."""
_BASE_KIB = layout.LEGACY_HOLE.low >> 10
_KIB_LIMIT = (1 << 32) - 1


def low(
    name: str,
    data: bytes = b"",
    kind: Kind = Kind.BOOT_INFO,
    *,
    size: int = 0,
    late: Callable[[tuple[MemoryRange, ...]], bytes] | None = None,
) -> Piece:
    """Return a piece of the information, in :data:`hvmlite.guest.layout.MULTIBOOT`."""
    window = layout.MULTIBOOT
    return Piece(name, data, kind, size=size, align=8, low=window.low, high=window.high, late=late)


def cpu(gdt: Piece, magic: int) -> CpuState:
    """Return the state of the document's section "I386 machine state", with `magic` in EAX."""
    return flat_cpu(gdt, segments.CODE32, segments.DATA32, segments.TSS).replace(rax=magic)


def bios_pieces(offer: Offer, machine: Machine, rsdp: Ref | None) -> tuple[Piece, ...]:
    """Return the BIOS that a multiboot kernel finds under it on a PC, and may call in real mode.

    Xen takes the place of its trampoline and its memory map from there, and looks for the RSDP in
    the EBDA. Nothing is returned for a kernel that lies in its place, or if the machine has no RAM
    there.
    """
    windows = (layout.IVT, layout.BDA, layout.BIOS)
    lies_there = any(
        segment.memsz and segment.paddr < window.high and window.low < segment.end
        for segment in offer.image.segments
        for window in windows
    )
    base = any(block.start == 0 and block.end >= layout.BIOS.high for block in machine.ram)
    return () if lies_there or not base else bios.pieces(machine, rsdp)


def module_window(offer: Offer, machine: Machine, modules: int) -> Window:
    """Return where modules lie, as low as possible.

    That is after the kernel, as QEMU and often GRUB have it: kernels take memory behind their end
    before they look at modules, but less than what a module in front of them would cost. If there
    is no room for `modules` bytes, or the kernel's place is not known yet, anywhere from 1 MiB on.
    The last page below 4 GiB is left out, so that the end of a module fits 32 bits.
    """
    high = layout.FOUR_GIB - layout.PAGE
    after = max(segment.end for segment in offer.image.segments)
    after = max(layout.HIGH_MEMORY, _pages(after))
    stays = offer.relocation is None or offer.relocation.preference is Preference.LINKED
    if stays and any(
        block.start <= after and min(block.end, high) - after >= modules for block in machine.ram
    ):
        return Window(after, high)
    return Window(layout.HIGH_MEMORY, high)


def module_pieces(
    offer: Offer, info: BootInfo, machine: Machine
) -> tuple[list[Piece], dict[str, Relocation]]:
    """Return the modules, one after the other, and how they may move.

    In their order, since kernels take the end of the last one for the end of all; each on whole
    pages of its own, since guests free them page by page.
    """
    sizes = [_pages(len(module.data)) for module in info.modules]
    window = module_window(offer, machine, sum(sizes))
    starts = accumulate(sizes, initial=window.low)
    pieces = [
        module_piece(number, module, window).replace(at=at, size=size, top=False, group=_MODULES)
        for number, (module, at, size) in enumerate(zip(info.modules, starts, sizes, strict=False))
    ]
    move = Relocation(layout.PAGE, window.low, window.high - 1, Preference.LOWEST)
    return pieces, {_MODULES: move} if pieces else {}


def _pages(size: int) -> int:
    return -(-size // layout.PAGE) * layout.PAGE


def map_limit(machine: Machine) -> int:
    """Return how many records the finished memory map can have at most."""
    return 2 * (len(machine.ram) + len(machine.reserved)) + _CARVED


def memory_type(type_: int) -> int:
    """Return the number of a type of memory; what multiboot does not define is reserved."""
    return type_ if MemoryType.RAM <= type_ <= MemoryType.UNUSABLE else MemoryType.RESERVED


def records(
    layout_: type[MultibootMmapEntry | Multiboot2MmapEntry], ranges: tuple[MemoryRange, ...]
) -> bytes:
    """Return a memory map as records of either version."""
    return b"".join(
        layout_(addr=r.start, len=r.size, type=memory_type(r.type)).pack() for r in ranges
    )


def mem_lower(ranges: tuple[MemoryRange, ...]) -> int:
    """Return the KiB of RAM from address 0 on, 640 at most."""
    return min(_ram_at(ranges, 0) >> 10, _BASE_KIB)


def mem_upper(ranges: tuple[MemoryRange, ...]) -> int:
    """Return the KiB of RAM from 1 MiB on up to the first hole."""
    end = _ram_at(ranges, layout.HIGH_MEMORY)
    return min(max(end - layout.HIGH_MEMORY, 0) >> 10, _KIB_LIMIT)


def _ram_at(ranges: tuple[MemoryRange, ...], address: int) -> int:
    # The end of the RAM that `address` lies in, 0 if it lies in none.
    ram = (r for r in ranges if r.type == MemoryType.RAM)
    return next((r.end for r in ram if r.start <= address < r.end), 0)


def rgb(info: BootInfo) -> dict[str, int]:
    """Return the fields of a frame buffer of direct colours, named as in both versions."""
    frame = info.framebuffer
    if frame is None:
        return {}
    return {
        "framebuffer_addr": frame.address,
        "framebuffer_pitch": frame.pitch,
        "framebuffer_width": frame.width,
        "framebuffer_height": frame.height,
        "framebuffer_bpp": frame.depth,
        "framebuffer_red_field_position": frame.red[0],
        "framebuffer_red_mask_size": frame.red[1],
        "framebuffer_green_field_position": frame.green[0],
        "framebuffer_green_mask_size": frame.green[1],
        "framebuffer_blue_field_position": frame.blue[0],
        "framebuffer_blue_mask_size": frame.blue[1],
    }


def dropped(info: BootInfo, machine: Machine) -> list[Dropped]:
    """Return what neither version can say."""
    found = []
    odd = sorted({r.type for r in machine.reserved if memory_type(r.type) != r.type})
    if odd:
        types = ", ".join(map(str, odd))
        found.append(Dropped("memory_map", f"types without a number of their own: {types}"))
    if info.origin is not None:
        found.append(Dropped("origin", "there is a place for the loader's name only"))
    if info.setup_data:
        found.append(Dropped("setup_data", "only Linux's own protocol has it"))
    if info.hardware_subarch:
        found.append(Dropped("hardware_subarch", "only Linux's own protocol has it"))
    return found
