"""Entry ABIs: which ways into an image there are, and what the guest finds when it is entered.

To add one, write a module of the type :class:`BootProtocol` and a line in :data:`PROTOCOLS`.
"""

from __future__ import annotations

from hvmlite.protocols import pvh
from hvmlite.protocols._protocol import BootProtocol

__all__ = ["PROTOCOLS", "BootProtocol"]

PROTOCOLS: tuple[BootProtocol, ...] = (
    pvh,  # starts the kernel itself: nothing of the guest's runs before it, nothing is unpacked
)
"""In order of preference: the first that an image offers is taken unless the user names one."""
