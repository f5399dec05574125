"""Xen PV: kernels that Xen enters de-privileged, with page tables made by it; see xen_pv.md.

Document: Xen, `xen/include/public/xen.h` (start-of-day), `public/elfnote.h`, and libelf. Nobody but
a Xen hypervisor can start one, for all of its privileged work is hypercalls: there is no offer, but
all that Xen would read is, and every rule by which it would refuse the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from hvmlite.errors import UnsupportedError

if TYPE_CHECKING:
    from hvmlite.model import (
        BootInfo,
        CpuState,
        Entry,
        GuestMemory,
        Image,
        Machine,
        Offer,
        Ref,
        Refusal,
    )

__all__ = ["NAME", "carries", "decode", "encode", "offers"]

NAME = "xen_pv"
carries: frozenset[str] = frozenset()


def offers(image: Image) -> Refusal:
    """Say what the image tells Xen, which of Xen's rules it breaks, and that Xen is needed.

    :param image: what :mod:`hvmlite.images` made of the file; a payload is unpacked
    """
    from hvmlite.protocols import _xen_pv_offer  # only now: no guest waits for it

    return _xen_pv_offer.refusal(NAME, image)


def encode(offer: Offer, info: BootInfo, machine: Machine, rsdp: Ref | None) -> Entry:
    """Not possible.

    :raises UnsupportedError: always
    """
    _unsupported()


def decode(memory: GuestMemory, cpu: CpuState) -> BootInfo:
    """Not possible: RSI holds an address in page tables that Xen made.

    :raises UnsupportedError: always
    """
    _unsupported()


def _unsupported() -> NoReturn:
    raise UnsupportedError(
        f"{NAME}: no hypervisor to call found, Xen needed", feature="Xen PV guests"
    )
