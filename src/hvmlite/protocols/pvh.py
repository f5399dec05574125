"""PVH, once HVMlite: the x86/HVM direct boot ABI, in docs/protocols/pvh.md.

Document: Xen, `docs/misc/pvh.pandoc` and `xen/include/public/arch-x86/hvm/start_info.h`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.protocols._later import later
from hvmlite.protocols._pvh_offer import NAME, offers

if TYPE_CHECKING:
    from hvmlite.protocols._pvh_decode import decode
    from hvmlite.protocols._pvh_encode import encode

__all__ = ["NAME", "carries", "decode", "encode", "offers"]

carries = frozenset({"cmdline", "modules", "memory_map", "rsdp"})
"""Modules without their names; version 0 of the start info has no `memory_map` either."""

__getattr__ = later(__name__, decode="_pvh_decode.decode", encode="_pvh_encode.encode")
