# What the decoders of both versions of multiboot have in common. All that is read may be hostile.
from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.errors import FormatError
from hvmlite.model import Framebuffer, GuestMemory, Origin
from hvmlite.protocols._reading import MAX_MODULE_BYTES, check, read
from hvmlite.spec.multiboot1 import FramebufferType, MultibootInfo

if TYPE_CHECKING:
    from hvmlite.model import CpuState
    from hvmlite.spec.multiboot2 import Multiboot2TagFramebuffer

__all__ = ["check_magic", "framebuffer", "modules", "origin"]


def check_magic(cpu: CpuState, magic: int) -> None:
    """Refuse a state in which EAX does not say that this version's loader entered the kernel."""
    eax = cpu.rax & 0xFFFFFFFF
    if eax != magic:
        raise FormatError(f"{eax:#x}, the loader's magic {magic:#x} needed", source="EAX")


def modules(memory: GuestMemory, extents: list[tuple[int, int]]) -> list[bytes]:
    """Return the contents of modules from (start, end) pairs, which are bounded together."""
    for number, (start, end) in enumerate(extents):
        if end < start:
            raise FormatError(
                f"from {start:#x} to {end:#x}, an end at or above its start needed",
                source=f"module {number}",
            )
    check(sum(end - start for start, end in extents), MAX_MODULE_BYTES, "module bytes", "modules")
    return [
        read(memory, start, end - start, f"module {number}") if end > start else b""
        for number, (start, end) in enumerate(extents)
    ]


def origin(name: bytes) -> Origin | None:
    """Return who started the guest, as far as the loader's name says it."""
    return Origin(loader=name.decode("utf-8", "backslashreplace")) if name else None


def framebuffer(info: MultibootInfo | Multiboot2TagFramebuffer) -> Framebuffer | None:
    """Return a frame buffer of direct colours, None for other kinds."""
    if info.framebuffer_type != FramebufferType.RGB:
        return None
    return Framebuffer(
        address=info.framebuffer_addr,
        width=info.framebuffer_width,
        height=info.framebuffer_height,
        pitch=info.framebuffer_pitch,
        depth=info.framebuffer_bpp,
        red=(info.framebuffer_red_field_position, info.framebuffer_red_mask_size),
        green=(info.framebuffer_green_field_position, info.framebuffer_green_mask_size),
        blue=(info.framebuffer_blue_field_position, info.framebuffer_blue_mask_size),
    )
