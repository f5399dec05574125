"""Multiboot, version 1: 32-bit protected mode, in docs/protocols/multiboot1.md.

Document: "Multiboot Specification" 0.6.96, Free Software Foundation.
"""

from __future__ import annotations

from hvmlite.protocols._multiboot1_decode import decode
from hvmlite.protocols._multiboot1_encode import encode
from hvmlite.protocols._multiboot1_offer import NAME, offers

__all__ = ["NAME", "carries", "decode", "encode", "offers"]

carries = frozenset({"cmdline", "modules", "memory_map", "framebuffer"})
"""Modules without their names, a frame buffer without its reserved bits; memory of types above 5
becomes reserved."""
