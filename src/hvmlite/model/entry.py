"""What a protocol asks the placer for: named pieces, references between them, registers."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from hvmlite.model.boot import MemoryRange, MemoryType
from hvmlite.values import Value, field

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hvmlite.model.cpu import CpuState
    from hvmlite.model.offer import Relocation
    from hvmlite.wire import Buffer

__all__ = ["Dropped", "Entry", "Fixup", "Kind", "Piece", "Ref"]


class Kind(StrEnum):
    """What a piece is for, as the memory map shows it."""

    KERNEL = "kernel"
    MODULE = "module"
    BOOT_INFO = "boot-info"
    COMMAND_LINE = "command-line"
    MEMORY_MAP = "memory-map"
    ACPI = "acpi"
    PAGE_TABLES = "page-tables"
    DESCRIPTORS = "descriptors"
    CODE = "code"


class Ref(Value):
    """The guest-physical address of another piece, plus `offset`."""

    piece: str
    offset: int = 0


class Fixup(Value):
    """Write the address `ref` as `size` (4 or 8) little-endian bytes at `offset` of the piece.

    The address must fit. With a `shift` only the part of it from that bit on is written: 0 for the
    low half and 32 for the high half, where a structure has two fields for them.
    """

    offset: int
    size: int
    ref: Ref
    shift: int | None = None


class Piece(Value):
    """A named run of guest memory: contents and demands, no address of its own choice.

    :param name: unique within an entry, for people and for :class:`Ref`
    :param data: the contents; zeros follow up to `size`
    :param size: bytes occupied; 0 means the length of `data`
    :param align: a power of two
    :param at: the address that it must have (or prefers, for a group that may be moved)
    :param low: lowest address that it may have
    :param high: the piece must end at or below this address
    :param top: take the highest fitting address instead of the lowest
    :param group: pieces of one group move by one common distance, see :attr:`Entry.relocations`
    :param memory_type: what the guest's memory map shall call it
    :param late: makes the contents from the finished memory map, `data` then only gives the size;
        of pieces that the map shall not call RAM only those with an `at` can have it
    :param seal: last change to the contents after all fixups (checksums)
    """

    name: str
    data: Buffer = field(default=b"", repr=False)
    kind: Kind = Kind.BOOT_INFO
    size: int = 0
    align: int = 1
    at: int | None = None
    low: int = 0
    high: int = 1 << 32
    top: bool = False
    group: str = ""
    memory_type: MemoryType = MemoryType.RAM
    fixups: tuple[Fixup, ...] = ()
    late: Callable[[tuple[MemoryRange, ...]], bytes] | None = field(default=None, repr=False)
    seal: Callable[[bytearray], None] | None = field(default=None, repr=False)

    @property
    def length(self) -> int:
        """Bytes that the piece occupies."""
        return max(self.size, len(self.data))


class Dropped(Value):
    """Something that was asked for and that the protocol cannot carry, with the reason."""

    field: str
    reason: str


class Entry(Value):
    """Everything that a protocol needs for one start.

    `registers` name the registers of `cpu` that hold an address (`"rbx": Ref("start info")`,
    `"rip"` among them when a group may move). `relocations` say, by group, whether and where its
    pieces may be moved; a group without one stays.
    """

    protocol: str
    pieces: tuple[Piece, ...]
    cpu: CpuState
    registers: Mapping[str, Ref] = field(default_factory=dict)
    relocations: Mapping[str, Relocation] = field(default_factory=dict)
    dropped: tuple[Dropped, ...] = ()
