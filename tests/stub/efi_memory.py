"""A firmware's memory: which pages are whose, as GetMemoryMap tells it (UEFI 2.10, 7.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

PAGE = 0x1000
FOUR_GIB = 1 << 32


class Type(IntEnum):
    """EFI_MEMORY_TYPE."""

    RESERVED = 0
    LOADER_CODE = 1
    LOADER_DATA = 2
    BOOT_CODE = 3
    BOOT_DATA = 4
    RUNTIME_CODE = 5
    RUNTIME_DATA = 6
    CONVENTIONAL = 7
    UNUSABLE = 8
    ACPI_RECLAIM = 9
    ACPI_NVS = 10
    MMIO = 11
    MMIO_PORT = 12
    PAL_CODE = 13
    PERSISTENT = 14
    UNACCEPTED = 15


SPECIAL_PURPOSE = 0x40000
"""EFI_MEMORY_SP."""
WRITE_BACK, RUNTIME = 0x8, 1 << 63


@dataclass(frozen=True)
class Descriptor:
    """One of a memory map. From a `told` one nothing is allocated: it only says so."""

    type: int
    start: int
    end: int
    attribute: int = WRITE_BACK
    told: bool = False


class Pages:
    """The memory map of a firmware that is alive.

    :param high: whether what is above 4 GiB may be given away without having been asked for
    :param where: "top", "low" or "any": which of the free pages are given away first
    :param step: the distance of descriptors
    """

    def __init__(self, descriptors, chance, *, high, where, step):
        self.descriptors = list(descriptors)
        self.step = step
        self.key = chance.getrandbits(32)
        self.given: dict[int, int] = {}
        self._chance, self._where = chance, where
        self._limit = (1 << 64) if high else FOUR_GIB
        self._filling = chance.randbytes(64)

    def allocate(self, size, type_, *, at=None, most=None):
        """The address of so many bytes' pages of free memory, or None."""
        size = -(-size // PAGE) * PAGE
        limit = self._limit if most is None else min(self._limit, most + 1)
        if at is not None:
            places = [(at, at)]
        else:
            places = []
            for each in self.free():
                last = (min(each.end, limit) - size) & -PAGE
                if each.start <= last:
                    places.append((each.start, last))
        if not places or not size:
            return None
        if self._where == "top":
            start = max(last for _, last in places)
        elif self._where == "low":
            start = min(first for first, _ in places if first or len(places) == 1)
        else:
            first, last = self._chance.choice(places)
            start = self._chance.choice((first, last, self._chance.randrange(first, last + 1)))
        start &= -PAGE
        if not self._change(start, start + size, Type.CONVENTIONAL, type_):
            return None
        self.given[start] = start + size
        return start

    def give_back(self, start, size):
        """Whether they were given away as one, or as a part."""
        end = start + -(-size // PAGE) * PAGE
        whole = self.given.pop(start, None)
        if whole is None or whole < end:
            return False
        if end < whole:
            self.given[end] = whole
        (type_,) = {d.type for d in self.descriptors if not d.told and d.start <= start < d.end}
        return self._change(start, end, type_, Type.CONVENTIONAL)

    def free(self):
        """What may be given away; memory for a special purpose is no firmware's to give."""
        return [
            d
            for d in self.descriptors
            if d.type == Type.CONVENTIONAL and not d.told and not d.attribute & SPECIAL_PURPOSE
        ]

    def _change(self, start, end, old, new):
        for index, each in enumerate(self.descriptors):
            if each.type == old and not each.told and each.start <= start and end <= each.end:
                cuts = sorted({each.start, start, end, each.end})
                self.descriptors[index : index + 1] = [
                    Descriptor(new if low == start else old, low, high, each.attribute)
                    for low, high in pairwise(cuts)
                ]
                self.key = self.key + self._chance.randrange(1, 100) & 0xFFFFFFFF
                return True
        return False

    def packed(self):
        """All descriptors; what is defined as nothing holds anything."""
        pad = self._filling[: self.step - 40]
        junk = self._filling[:4]
        return b"".join(
            struct.pack(
                "<I4sQQQQ", d.type, junk, d.start, 0, (d.end - d.start) // PAGE, d.attribute
            )
            + pad
            for d in self.descriptors
        )
