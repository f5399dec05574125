"""Entry ABIs: which ways into an image there are, and what the guest finds when it is entered.

To add one, write a module of the type :class:`BootProtocol` and a line in :data:`PROTOCOLS`.
"""

from __future__ import annotations

from hvmlite.protocols import (
    bios,
    efi,
    linux16,
    linux32,
    linux64,
    multiboot1,
    multiboot2,
    pvh,
    xen_pv,
)
from hvmlite.protocols._protocol import BootProtocol

__all__ = ["PROTOCOLS", "BootProtocol"]

PROTOCOLS: tuple[BootProtocol, ...] = (
    pvh,  # starts the kernel itself: nothing of the guest's runs before it, nothing is unpacked
    linux64,  # starts Linux as it wants to be started: it unpacks itself and may pick its address
    linux32,  # the same, in two steps more; also for kernels that are 32-bit all through
    multiboot2,  # tells more than its first version, the RSDP above all; a file may have both
    multiboot1,
    linux16,  # the oldest way, with the most between it and the kernel: setup code, and a BIOS
    bios,  # for disks: their own boot loader decides; before efi, as SeaBIOS is there sooner
    efi,
    xen_pv,  # never an offer, only what Xen would say
)
"""In order of preference: the first that an image offers is taken unless the user names one."""
