# What a peer is, and what an image is to a peer.
from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hvmlite.model import Image, Requirement, Verdict

__all__ = ["Peer"]


class Peer(Protocol):
    """A loader or a virtual machine monitor: one module of this room each.

    `REQUIREMENTS` has every rule that `verdict` goes by, under the short name that the code uses.
    """

    NAME: str
    VERSION: str
    REQUIREMENTS: dict[str, Requirement]

    def verdict(self, image: Image) -> Verdict:
        """Say whether it would start the image.

        :param image: what :mod:`hvmlite.images` made of the file; its payload may be unpacked
        """
