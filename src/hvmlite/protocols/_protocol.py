"""What every module of this room offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

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

__all__ = ["BootProtocol"]


class BootProtocol(Protocol):
    """An entry ABI; the modules listed in :data:`hvmlite.protocols.PROTOCOLS` are of this type."""

    NAME: str
    """Its name in commands, results and JSON."""
    carries: frozenset[str]
    """The fields of BootInfo that reach the guest; `decode(encode(x)) == x` on these."""

    def offers(self, image: Image) -> Offer | Refusal:
        """Say whether and where `image` can be entered by this ABI; allocates no guest memory."""

    def encode(self, offer: Offer, info: BootInfo, machine: Machine, rsdp: Ref | None) -> Entry:
        """Write down what the ABI asks for: pieces, references between them, the CPU state.

        :param rsdp: the piece with the ACPI RSDP; None: `info.rsdp` is its address
        :raises RequestError: `info` asks for something that the ABI or its guest cannot take
        """

    def decode(self, memory: GuestMemory, cpu: CpuState) -> BootInfo:
        """Read back what a guest would be told in this state.

        :raises FormatError: it breaks the ABI; the bytes may be hostile
        """
