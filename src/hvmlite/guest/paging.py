"""Page tables that map addresses to themselves (Intel SDM volume 3, 4.5)."""

from __future__ import annotations

from hvmlite.errors import RequestError
from hvmlite.guest import layout
from hvmlite.model import Fixup, Kind, Piece, Ref
from hvmlite.spec.x86 import PTE
from hvmlite.wire import pack_all

__all__ = ["PAGE_1G", "PAGE_2M", "identity_map"]

PAGE_2M = 1 << 21
PAGE_1G = 1 << 30

_PHYSICAL_BITS = 52  # what an entry has room for (4.1.4)
_TABLE = 0x1000  # every paging structure: 512 entries of 8 bytes
_NEXT = int(PTE.P | PTE.RW | PTE.A)
_LEAF = int(PTE.P | PTE.RW | PTE.PS | PTE.A | PTE.D)


def identity_map(
    end: int,
    *,
    start: int = 0,
    levels: int = 4,
    page: int = PAGE_2M,
    name: str = "page tables",
) -> Piece:
    """Return tables that map `start` to `end` to itself, writable and executable.

    The range is rounded outwards to whole pages. The root table, for CR3, is at the piece's start.
    Accessed and dirty are set, so that the processor need not write to the tables.

    :param end: the first address after the range
    :param levels: 4, or 5 for CR4.LA57
    :param page: :data:`PAGE_2M`, or :data:`PAGE_1G` where the processor has it (CPUID
        80000001H.EDX bit 26)
    :raises RequestError: the range is empty, or beyond what is linear and physical address at once
    """
    if levels not in (4, 5) or page not in (PAGE_2M, PAGE_1G):
        raise RequestError(f"{levels} levels, pages of {page:#x} bytes: unknown", field="paging")
    limit = 1 << min(9 * levels + 11, _PHYSICAL_BITS)  # the lower half of the linear addresses
    if not 0 <= start < end <= limit:
        raise RequestError(
            f"page tables: {start:#x}-{end:#x} found, a range below {limit:#x} needed",
            field="paging",
        )
    shifts = [12 + 9 * level for level in range(levels - 1, 0, -1) if page <= 1 << (12 + 9 * level)]
    data, fixups = bytearray(), []
    for shift in shifts:
        first, last = start >> shift, (end - 1) >> shift  # entries of this level, counted from 0
        at = len(data) + (first & 0x1FF) * 8
        data.extend(bytes(((last >> 9) - (first >> 9) + 1) * _TABLE))
        below = len(data)
        if shift == shifts[-1]:
            leaves = range(first << shift | _LEAF, (last << shift | _LEAF) + 1, 1 << shift)
            data[at : at + 8 * len(leaves)] = pack_all(8, leaves)
            break
        for entry in range(last - first + 1):
            # The flags travel in the reference's offset: tables start at whole pages.
            ref = Ref(name, below + entry * _TABLE + _NEXT)
            fixups.append(Fixup(at + entry * 8, 8, ref))
    return Piece(
        name=name,
        data=bytes(data),
        kind=Kind.PAGE_TABLES,
        align=_TABLE,
        low=layout.LOW_MEMORY.low,
        high=layout.FOUR_GIB,
        fixups=tuple(fixups),
    )
