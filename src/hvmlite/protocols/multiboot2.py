"""Multiboot2: its i386 entry, 32-bit protected mode, in docs/protocols/multiboot2.md.

Document: "Multiboot2 Specification" 2.0, Free Software Foundation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.protocols._later import later
from hvmlite.protocols._multiboot2_offer import NAME, offers

if TYPE_CHECKING:
    from hvmlite.protocols._multiboot2_decode import decode
    from hvmlite.protocols._multiboot2_encode import encode

__all__ = ["NAME", "carries", "decode", "encode", "offers"]

carries = frozenset({"cmdline", "modules", "memory_map", "framebuffer"})
"""Modules without their names, a frame buffer without its reserved bits; memory of types above 5
becomes reserved."""

__getattr__ = later(
    __name__, decode="_multiboot2_decode.decode", encode="_multiboot2_encode.encode"
)
