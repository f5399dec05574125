"""What other loaders would do with an image: their requirements, as their source has them.

Nothing of them is run. Each module is one peer and one version; every rule of it is a row of its
`REQUIREMENTS` with the file and function that it was read in. docs/peers.md shows them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.errors import RequestError
from hvmlite.peers import cloud_hypervisor, firecracker, grub, qemu, xen
from hvmlite.peers._peer import Peer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hvmlite.model import Image, Requirement, Verdict

__all__ = ["PEERS", "Peer", "requirements", "verdicts"]

PEERS: tuple[Peer, ...] = (qemu, xen, firecracker, cloud_hypervisor, grub)
"""The order is that of what people ask for."""


def verdicts(image: Image, peers: Sequence[str] | None = None) -> tuple[Verdict, ...]:
    """Say for each peer whether it would start the image.

    :param image: what :func:`hvmlite.open_image` returned
    :param peers: their names; None for all, in the order of :data:`PEERS`
    :raises RequestError: there is no peer of that name
    """
    chosen = PEERS if peers is None else tuple(_named(name) for name in dict.fromkeys(peers))
    return tuple(peer.verdict(image) for peer in chosen)


def requirements(name: str) -> tuple[Requirement, ...]:
    """Return all that a peer asks of images, in the order in which it looks.

    :raises RequestError: there is no peer of that name
    """
    return tuple(_named(name).REQUIREMENTS.values())


def _named(name: str) -> Peer:
    for peer in PEERS:
        if name == peer.NAME:
            return peer
    known = ", ".join(peer.NAME for peer in PEERS)
    raise RequestError(f"peer {name!a}: not known, one of {known} needed", field="peers")
