"""What every boot protocol talks about, in no protocol's words."""

from __future__ import annotations

from enum import IntEnum
from functools import total_ordering
from typing import TYPE_CHECKING

from hvmlite.values import Value, field

if TYPE_CHECKING:
    from hvmlite.wire import Buffer

__all__ = [
    "BootInfo",
    "Framebuffer",
    "MemoryRange",
    "MemoryType",
    "Module",
    "Origin",
    "SetupNode",
]


class MemoryType(IntEnum):
    """ACPI address range types, which E820, the zero page and PVH share (ACPI 6.5, 15.1)."""

    RAM = 1
    RESERVED = 2
    ACPI = 3
    NVS = 4
    UNUSABLE = 5
    DISABLED = 6
    PERSISTENT = 7


@total_ordering
class MemoryRange(Value):
    """Guest-physical addresses from `start` up to, not including, `end`.

    `type` is a :class:`MemoryType`, or the plain number where a loader sent an unknown one.
    """

    start: int
    end: int
    type: int = MemoryType.RAM

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, MemoryRange):
            return NotImplemented
        return (self.start, self.end, self.type) < (other.start, other.end, other.type)

    @property
    def size(self) -> int:
        """Bytes in the range."""
        return self.end - self.start


class Module(Value):
    """A file handed to the guest beside its kernel; the first one is Linux's initrd."""

    data: Buffer = field(repr=False)
    cmdline: bytes = b""
    name: str = "module"


class Origin(Value):
    """Who started the guest, as what, by which entry ABI and loader."""

    hypervisor: str = ""
    guest_type: str = ""
    entry_abi: str = ""
    loader: str = ""


class Framebuffer(Value):
    """A linear frame buffer of direct colours, already switched to its mode.

    `pitch` is bytes from one line to the next, `depth` bits of a pixel. A colour is (position of
    its lowest bit, number of bits).
    """

    address: int
    width: int
    height: int
    pitch: int
    depth: int = 32
    red: tuple[int, int] = (16, 8)
    green: tuple[int, int] = (8, 8)
    blue: tuple[int, int] = (0, 8)
    reserved: tuple[int, int] = (24, 8)


class SetupNode(Value):
    """An element of Linux's `setup_data` list: `type` is a SETUP_* number, `data` its payload."""

    type: int
    data: bytes = field(repr=False)


class BootInfo(Value):
    """Command line (no NUL in it), modules, memory map, RSDP address (0: none) and origin.

    `memory_map` is empty until a plan has been placed: it depends on where things lie. The last
    three are Linux's own: `setup_data` nodes, and `hardware_subarch` with its data, 0 for a PC.
    """

    cmdline: bytes = b""
    modules: tuple[Module, ...] = ()
    memory_map: tuple[MemoryRange, ...] = ()
    rsdp: int = 0
    origin: Origin | None = None
    framebuffer: Framebuffer | None = None
    setup_data: tuple[SetupNode, ...] = ()
    hardware_subarch: int = 0
    hardware_subarch_data: int = 0
