"""The finished plan: what lies where, and the processor's state at the first instruction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hvmlite.values import Value, field

if TYPE_CHECKING:
    from hvmlite.model.boot import BootInfo
    from hvmlite.model.cpu import CpuState
    from hvmlite.model.entry import Dropped, Kind
    from hvmlite.model.machine import Machine
    from hvmlite.wire import Buffer

__all__ = ["GuestMemory", "GuestPlan", "PlacedPiece"]


class GuestMemory(Protocol):
    """Guest-physical memory that can be read."""

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes at `address`; FormatError if they are not all RAM."""


class PlacedPiece(Value):
    """A piece with its address: `data` at `start`, zeros up to `end`."""

    name: str
    kind: Kind
    start: int
    end: int
    data: Buffer = field(repr=False)
    memory_type: int = 1


class GuestPlan(Value):
    """All that an engine needs: the machine, the pieces in address order, the CPU state.

    `boot_info` is what the guest is told, with the memory map and the RSDP address filled in.
    """

    protocol: str
    machine: Machine
    cpu: CpuState
    pieces: tuple[PlacedPiece, ...]
    boot_info: BootInfo
    dropped: tuple[Dropped, ...] = ()

    def address_of(self, name: str) -> int:
        """Return where the piece called `name` starts; KeyError if there is none."""
        for piece in self.pieces:
            if piece.name == name:
                return piece.start
        raise KeyError(name)
