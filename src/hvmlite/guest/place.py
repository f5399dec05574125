"""The placer: a small linker that gives every piece its address.

The order is fixed, so that the same entry on the same machine always gives the same plan:

1. pieces with an address of their own (`at`, no group), in the order of the entry;
2. groups, in the order of the entry: where they are linked if all their pieces fit there, else at
   the lowest start that their :class:`hvmlite.model.Relocation` allows, or at once at the lowest or
   the highest if that is its preference;
3. all others: the tightest window (`low` to `high`) first, then the larger alignment, then the
   larger size, then the order of the entry; each at the lowest address that is free, or the highest
   for `top`.

`low` and `high` bind every piece; `align` only those of step 3. A piece without bytes is put where
one byte would fit, so that its address is valid and nobody else's. Pieces of step 3 that the memory
map shall not call RAM are packed, by type and window, into one run of whole pages that holds
nothing else: the map gets one record for all of them, and no page is half RAM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.errors import PlacementError
from hvmlite.guest import layout
from hvmlite.guest._link import check, contents, resolve, set_registers
from hvmlite.guest._map import memory_map
from hvmlite.guest._space import Interval, Space, align_up, grown, merge, usable_ram
from hvmlite.guest.acpi import RSDP
from hvmlite.model import (
    BootInfo,
    Entry,
    GuestPlan,
    Machine,
    MemoryRange,
    MemoryType,
    Piece,
    PlacedPiece,
    Preference,
    Ref,
    Relocation,
)
from hvmlite.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["place"]

_MIB = 1 << 20


def place(entry: Entry, machine: Machine, info: BootInfo) -> GuestPlan:
    """Lay out the pieces of `entry` in the RAM of `machine` and resolve all references.

    RAM is what `machine.ram` holds without `machine.reserved`; blocks that touch count as one. The
    memory map is RAM, the reserved ranges and the pieces whose memory type is not RAM. Contents are
    made in this order: `late`, then the fixups, then `seal`.

    :param info: what the guest is told; the plan's copy has the memory map and, if there is a piece
        of that name, the address of the RSDP
    :raises PlacementError: pieces overlap, do not fit (the hint says how much RAM would do, if that
        helps), or contradict each other: a name used twice, a reference to a piece that is not
        there, an address that does not fit its field or register
    """
    check(entry)
    try:
        starts, carved = _lay_out(entry, machine, Space(usable_ram(machine)))
    except PlacementError as error:
        enough = _enough_memory(entry, machine)
        if enough is not None and error.hint is None:
            error.hint = f"{enough // _MIB} MiB of RAM would do"
        raise
    map_ = memory_map(machine, carved)
    pieces = [
        PlacedPiece(
            piece.name,
            piece.kind,
            starts[piece.name],
            starts[piece.name] + piece.length,
            contents(piece, starts, map_),
            piece.memory_type,
        )
        for piece in entry.pieces
    ]
    rsdp = resolve(Ref(RSDP), starts) if RSDP in starts else info.rsdp
    return GuestPlan(
        protocol=entry.protocol,
        machine=machine,
        cpu=set_registers(entry, starts),
        pieces=tuple(sorted(pieces, key=lambda p: (p.start, p.end))),
        boot_info=info.replace(memory_map=map_, rsdp=rsdp),
        dropped=entry.dropped,
    )


class _Block(Value):
    # What step 3 places in one go: a piece, or several packed ones with their offsets.
    pieces: tuple[tuple[int, Piece], ...]
    length: int
    align: int

    @property
    def first(self) -> Piece:
        return self.pieces[0][1]

    @property
    def name(self) -> str:
        return self.first.name if len(self.pieces) == 1 else f"{self.first.name} and others"


def _lay_out(
    entry: Entry, machine: Machine, space: Space, *, bottom: bool = False
) -> tuple[dict[str, int], list[MemoryRange]]:
    # The address of every piece, and the ranges that the map shall not call RAM. `bottom` ignores
    # the wish for high addresses.
    starts: dict[str, int] = {}
    for piece in entry.pieces:
        if piece.at is not None and not piece.group:
            starts[piece.name] = _fix(piece, piece.at, machine, space)
    for name in dict.fromkeys(p.group for p in entry.pieces if p.group):
        group = [p for p in entry.pieces if p.group == name]
        distance = _distance(group, space, entry.relocations.get(name), bottom=bottom)
        for piece in group:
            assert piece.at is not None
            starts[piece.name] = _fix(piece, piece.at + distance, machine, space)
    fixed = [p for p in entry.pieces if p.name in starts and p.memory_type != MemoryType.RAM]
    carved = [MemoryRange(starts[p.name], starts[p.name] + p.length, p.memory_type) for p in fixed]
    for block in _blocks(p for p in entry.pieces if p.at is None):
        start = _find(block, space, bottom=bottom)
        space.take(start, start + block.length, block.name)
        starts.update((piece.name, start + offset) for offset, piece in block.pieces)
        if block.first.memory_type != MemoryType.RAM:
            carved.append(MemoryRange(start, start + block.length, block.first.memory_type))
    return starts, carved


def _fix(piece: Piece, start: int, machine: Machine, space: Space) -> int:
    # Steps 1 and 2: this address or none.
    end = start + piece.length
    if not (piece.low <= start and end <= piece.high and space.is_free(start, end)):
        raise PlacementError(
            _conflict(piece, start, machine, space),
            piece=piece.name,
            need=piece.length,
            limit=piece.high,
        )
    space.take(start, end, piece.name)
    return start


def _conflict(piece: Piece, start: int, machine: Machine, space: Space) -> str:
    # Who or what is where the piece wants to be.
    end = start + piece.length
    where = f"{piece.name}: {start:#x}-{end:#x}"
    if start < piece.low or end > piece.high:
        return f"{where} is not inside {piece.low:#x}-{piece.high:#x}, which it must be"
    for other_start, other_end, other in space.taken:
        if start < other_end and other_start < end:
            return f"{where} overlaps {other} at {other_start:#x}-{other_end:#x}"
    for range_ in machine.reserved:
        if start < range_.end and range_.start < end:
            return f"{where} overlaps {range_.start:#x}-{range_.end:#x}, which is reserved"
    blocks = merge((block.start, block.end) for block in machine.ram)
    return f"{where} is not all RAM, RAM is {_listed(blocks)}"


def _listed(intervals: Iterable[Interval]) -> str:
    return ", ".join(f"{start:#x}-{end:#x}" for start, end in intervals) or "nowhere"


def _distance(
    group: list[Piece], space: Space, relocation: Relocation | None, *, bottom: bool
) -> int:
    # How far step 2 moves a group. 0 also where it cannot be moved at all: _fix then says why not.
    linked = [(p, p.at) for p in group if p.at is not None and p.length]
    if relocation is None or not linked:
        return 0
    stays = relocation.preference is Preference.LINKED
    if stays and all(_fits(p, at, space) for p, at in linked):
        return 0
    base = min(at for _, at in linked)
    offsets = [(p, at - base) for p, at in linked]
    high = relocation.preference is Preference.HIGHEST and not bottom
    search = _highest if high else _lowest
    wanted = relocation
    while (start := search(offsets, space, wanted)) is None:
        wanted = wanted.replace(align=wanted.align // 2)
        if wanted.align < (relocation.least or relocation.align):
            raise _immovable(group, linked, relocation)
    return start - base


def _lowest(group: list[tuple[Piece, int]], space: Space, relocation: Relocation) -> int | None:
    # The lowest start at which all pieces, by their offsets, lie in free RAM.
    start = align_up(max(relocation.lowest, layout.HIGH_MEMORY), relocation.align)
    while True:
        wanted = start
        for piece, offset in group:
            here = start + offset
            high = min(piece.high, relocation.highest + 1)
            found = space.lowest(piece.length, 1, max(here, piece.low), high)
            if found is None:
                return None
            wanted = max(wanted, align_up(found - offset, relocation.align))
        if wanted == start:
            return start
        start = wanted


def _highest(group: list[tuple[Piece, int]], space: Space, relocation: Relocation) -> int | None:
    # The highest such start.
    lowest = max(relocation.lowest, layout.HIGH_MEMORY)
    length = max(offset + piece.length for piece, offset in group)
    start = (relocation.highest + 1 - length) // relocation.align * relocation.align
    while start >= lowest:
        wanted = start
        for piece, offset in group:
            high = min(piece.high, start + offset + piece.length)
            found = space.highest(piece.length, 1, piece.low, high)
            if found is None:
                return None
            wanted = min(wanted, (found - offset) // relocation.align * relocation.align)
        if wanted == start:
            return start
        start = wanted
    return None


def _fits(piece: Piece, at: int, space: Space) -> bool:
    end = at + piece.length
    return piece.low <= at and end <= piece.high and space.is_free(at, end)


def _immovable(
    group: list[Piece], linked: list[tuple[Piece, int]], relocation: Relocation
) -> PlacementError:
    low = min(at for _, at in linked)
    high = max(at + p.length for p, at in linked)
    where = (
        f"at a multiple of {relocation.least or relocation.align:#x} in {relocation.lowest:#x}-"
        f"{relocation.highest + 1:#x}"
    )
    linked_at = f"{group[0].group}: {low:#x}-{high:#x}, where it is linked, is not free"
    message = f"{linked_at}, and no other place {where} is"
    if relocation.preference is not Preference.LINKED:
        message = f"{group[0].group}: no room for {high - low:#x} bytes {where}"
    return PlacementError(
        message,
        piece=group[0].group,
        need=high - low,
        limit=relocation.highest + 1,
    )


def _blocks(pieces: Iterable[Piece]) -> list[_Block]:
    # What step 3 places, in its order.
    blocks: list[_Block] = []
    packs: dict[tuple[MemoryType, int, int, bool], list[Piece]] = {}
    for piece in pieces:
        if piece.memory_type == MemoryType.RAM:
            blocks.append(_Block(((0, piece),), max(piece.length, 1), piece.align))
        else:
            key = (piece.memory_type, piece.low, piece.high, piece.top)
            packs.setdefault(key, []).append(piece)
    blocks += [_pack(pack) for pack in packs.values()]
    blocks.sort(key=lambda b: (b.first.high - b.first.low, -b.align, -b.length))
    return blocks


def _pack(pieces: list[Piece]) -> _Block:
    offset, packed = 0, []
    for piece in sorted(pieces, key=lambda p: -p.align):
        offset = align_up(offset, piece.align)
        packed.append((offset, piece))
        offset += max(piece.length, 1)
    align = max(layout.PAGE, packed[0][1].align)
    return _Block(tuple(packed), align_up(offset, layout.PAGE), align)


def _find(block: _Block, space: Space, *, bottom: bool) -> int:
    first = block.first
    search = space.highest if first.top and not bottom else space.lowest
    start = search(block.length, block.align, max(first.low, layout.FIRST_FREE), first.high)
    if start is None:
        raise PlacementError(
            f"{block.name}: no room between {first.low:#x} and {first.high:#x}, "
            f"{block.length:#x} free bytes at a multiple of {block.align:#x} are needed",
            piece=block.name,
            need=block.length,
            limit=first.high,
        )
    return start


def _enough_memory(entry: Entry, machine: Machine) -> int | None:
    # How many bytes of RAM would do, in whole MiB; None where no more RAM would help. Less could do
    # as well where a group may move: it is counted where it is linked. `top` pieces are counted as
    # if they were content to lie low.
    last = max((block.end for block in machine.ram), default=0)
    space = Space(grown(machine))
    try:
        _lay_out(entry, machine, space, bottom=True)
    except PlacementError:
        return None
    end = max((end for _, end, _ in space.taken), default=0)
    return align_up(machine.memory + end - last, _MIB) if end > last else None
