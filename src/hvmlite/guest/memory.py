"""Guest-physical memory: filling it from a plan, and reading it back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hvmlite.errors import FormatError, PlacementError
from hvmlite.guest._space import find, usable_ram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hvmlite.model import GuestPlan, Machine
    from hvmlite.wire import Buffer

__all__ = ["FlatMemory", "PlanMemory", "fill", "fill_file"]


def fill(plan: GuestPlan, memory: bytearray | memoryview) -> None:
    """Copy the contents of all pieces into guest RAM.

    Nothing else is written: what a piece has no data for keeps the zeros that `memory` starts with.

    :param memory: a writable buffer (an mmap as ``memoryview(mmap)``) of ``plan.machine.memory``
        bytes, laid out by the `offset` of the machine's RAM blocks
    :raises PlacementError: a piece is not in RAM, or `memory` is too small for it
    """
    view = memoryview(memory).cast("B")
    for offset, data in _contents(plan, len(view)):
        view[offset : offset + len(data)] = data


def fill_file(plan: GuestPlan, file: int) -> None:
    """Copy the contents of all pieces into guest RAM that is an open file.

    The same as :func:`fill` on a mapping of the file, in half the time: pages that are written as a
    whole need not be made and cleared first, and a full disk is an error instead of a signal.

    :param file: the descriptor of a file of ``plan.machine.memory`` zeros
    :raises PlacementError: a piece is not in RAM
    :raises OSError: it cannot be written
    """
    for offset, data in _contents(plan, plan.machine.memory):
        done = 0
        while done < len(data):
            done += os.pwrite(file, data[done:], offset + done)


class PlanMemory:
    """The memory that a plan would give the guest, without making it: pieces, zeros between them.

    It is a :class:`hvmlite.model.GuestMemory`.
    """

    def __init__(self, plan: GuestPlan) -> None:
        self._pieces = plan.pieces
        self._ram = usable_ram(plan.machine)

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes at the guest-physical `address`.

        :raises FormatError: they are not all RAM
        """
        _check(self._ram, address, size)
        out = bytearray(size)
        for piece in self._pieces:
            low = max(address, piece.start)
            high = min(address + size, piece.start + len(piece.data))
            if low < high:
                part = memoryview(piece.data).cast("B")[low - piece.start : high - piece.start]
                out[low - address : high - address] = part
        return bytes(out)


class FlatMemory:
    """Guest RAM in one buffer, laid out by the `offset` of the machine's RAM blocks.

    It is a :class:`hvmlite.model.GuestMemory`.
    """

    def __init__(self, buffer: Buffer, machine: Machine) -> None:
        self._view = memoryview(buffer).cast("B")
        self._machine = machine
        self._ram = usable_ram(machine)

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes at the guest-physical `address`.

        :raises FormatError: they are not all RAM, or the buffer ends before them
        """
        _check(self._ram, address, size)
        parts = [self._view[o : o + n] for o, n in _runs(self._machine, address, size)]
        data = b"".join(parts)
        if len(data) != size:
            raise FormatError(
                f"{size} bytes at {address:#x} are wanted, {len(data)} are in the buffer",
                source="guest memory",
            )
        return data


def _contents(plan: GuestPlan, limit: int) -> Iterator[tuple[int, memoryview]]:
    # What goes where in the memory's `limit` bytes, piece by piece.
    for piece in plan.pieces:
        data, size = memoryview(piece.data).cast("B"), len(piece.data)
        done = 0
        for offset, length in _runs(plan.machine, piece.start, size):
            if offset + length > limit:
                break
            yield offset, data[done : done + length]
            done += length
        if done != size:
            where = f"{piece.name}: {piece.start + done:#x}"
            raise PlacementError(
                f"{where} is not in guest memory, {size} bytes at {piece.start:#x} must be",
                piece=piece.name,
                need=size,
            )


def _check(ram: list[tuple[int, int]], address: int, size: int) -> None:
    if size < 0 or find(ram, address, address + size) is None:
        raise FormatError(
            f"{size} bytes at {address:#x} are wanted, they are not all RAM", source="guest memory"
        )


def _runs(machine: Machine, address: int, size: int) -> Iterator[tuple[int, int]]:
    # (offset in the buffer, length) of each part of a guest-physical run, in address order; it
    # stops early where there is no RAM. Blocks that touch in the guest may lie apart in the buffer.
    end = address + size
    for block in sorted(machine.ram, key=lambda b: b.start):
        if block.start <= address < min(block.end, end):
            length = min(block.end, end) - address
            yield block.offset + address - block.start, length
            address += length
