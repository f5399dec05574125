"""Entry ABIs: which ways into an image there are, and what the guest finds when it is entered.

To add one, write a module of the type :class:`BootProtocol` and a line in :func:`in_order`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hvmlite.protocols._protocol import BootProtocol

    PROTOCOLS: tuple[BootProtocol, ...]

__all__ = ["PROTOCOLS", "BootProtocol", "in_order"]


def in_order() -> Iterator[BootProtocol]:
    """Yield the protocols in order of preference, each imported when its turn comes.

    The first that an image offers is taken unless the user names one.
    """
    from hvmlite.protocols import pvh

    yield pvh  # starts the kernel itself: nothing of the guest's runs before it

    from hvmlite.protocols import linux32, linux64

    yield linux64  # starts Linux as it wants to be started: it unpacks itself, may pick its address
    yield linux32  # the same, in two steps more; also for kernels that are 32-bit all through

    from hvmlite.protocols import multiboot1, multiboot2

    yield multiboot2  # tells more than its first version, the RSDP above all; a file may have both
    yield multiboot1

    from hvmlite.protocols import linux16

    yield linux16  # the oldest way, with the most between it and the kernel: setup code, and a BIOS

    from hvmlite.protocols import bios, efi

    yield bios  # for disks: their own boot loader decides; before efi, as SeaBIOS is there sooner
    yield efi

    from hvmlite.protocols import xen_pv

    yield xen_pv  # never an offer, only what Xen would say


def __getattr__(name: str) -> object:
    # All of them only for those who want all.
    if name == "PROTOCOLS":
        global PROTOCOLS
        PROTOCOLS = tuple(in_order())
        return PROTOCOLS
    if name == "BootProtocol":
        from hvmlite.protocols import _protocol

        return _protocol.BootProtocol
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
