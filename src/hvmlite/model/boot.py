"""What every boot protocol talks about, in no protocol's words."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hvmlite.wire import Buffer

__all__ = ["BootInfo", "MemoryRange", "MemoryType", "Module", "Origin"]


class MemoryType(IntEnum):
    """ACPI address range types, which E820, the zero page and PVH share (ACPI 6.5, 15.1)."""

    RAM = 1
    RESERVED = 2
    ACPI = 3
    NVS = 4
    UNUSABLE = 5
    DISABLED = 6
    PERSISTENT = 7


@dataclass(frozen=True, slots=True, order=True)
class MemoryRange:
    """Guest-physical addresses from `start` up to, not including, `end`.

    `type` is a :class:`MemoryType`, or the plain number where a loader sent an unknown one.
    """

    start: int
    end: int
    type: int = MemoryType.RAM

    @property
    def size(self) -> int:
        """Bytes in the range."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Module:
    """A file handed to the guest beside its kernel; the first one is Linux's initrd."""

    data: Buffer = field(repr=False)
    cmdline: bytes = b""
    name: str = "module"


@dataclass(frozen=True, slots=True)
class Origin:
    """Who started the guest, as what, by which entry ABI and loader."""

    hypervisor: str = ""
    guest_type: str = ""
    entry_abi: str = ""
    loader: str = ""


@dataclass(frozen=True, slots=True)
class BootInfo:
    """Command line (no NUL in it), modules, memory map, RSDP address (0: none) and origin.

    `memory_map` is empty until a plan has been placed: it depends on where things lie.
    """

    cmdline: bytes = b""
    modules: tuple[Module, ...] = ()
    memory_map: tuple[MemoryRange, ...] = ()
    rsdp: int = 0
    origin: Origin | None = None
