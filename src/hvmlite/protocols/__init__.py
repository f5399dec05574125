"""Entry ABIs: which ways into an image there are, and what the guest finds when it is entered.

To add one, write a module of the type :class:`BootProtocol` and a line in :data:`PROTOCOLS`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.protocols._protocol import BootProtocol

    PROTOCOLS: tuple[BootProtocol, ...]

__all__ = ["PROTOCOLS", "BootProtocol"]


def _ordered() -> tuple[BootProtocol, ...]:
    # In order of preference: the first that an image offers is taken unless the user names one.
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

    return (
        pvh,  # starts the kernel itself: nothing of the guest's runs before it
        linux64,  # starts Linux as it wants to be started: it unpacks itself, may pick its address
        linux32,  # the same, in two steps more; also for kernels that are 32-bit all through
        multiboot2,  # tells more than its first version, the RSDP above all; a file may have both
        multiboot1,
        linux16,  # the oldest way, with the most between it and the kernel: setup code, and a BIOS
        bios,  # for disks: their own boot loader decides; before efi, as SeaBIOS is there sooner
        efi,
        xen_pv,  # never an offer, only what Xen would say
    )


def __getattr__(name: str) -> object:
    # When it is first used: who needs one member, as `wrap` does, imports no other.
    if name == "PROTOCOLS":
        global PROTOCOLS
        PROTOCOLS = _ordered()
        return PROTOCOLS
    if name == "BootProtocol":
        from hvmlite.protocols import _protocol

        return _protocol.BootProtocol
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
