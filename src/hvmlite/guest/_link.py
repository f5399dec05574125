"""What the placer does once addresses are known: contents, references, registers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.errors import PlacementError, RequestError
from hvmlite.model import CpuState, Entry, MemoryRange, MemoryType, Mode, Piece, Ref
from hvmlite.wire import Buffer, patch

if TYPE_CHECKING:
    from collections.abc import Mapping

_HINTS = CpuState.__annotations__
_REGISTERS = {"gdtr", "idtr", *(name for name, hint in _HINTS.items() if hint == "int")}


def check(entry: Entry) -> None:
    """Refuse an entry that contradicts itself, before anything is placed."""
    names = {piece.name for piece in entry.pieces}
    if len(names) != len(entry.pieces):
        seen: set[str] = set()
        for piece in entry.pieces:
            if piece.name in seen:
                raise _error(piece, "two pieces have this name, names must be unique")
            seen.add(piece.name)
    for piece in entry.pieces:
        _check_piece(piece)
        for fixup in piece.fixups:
            if fixup.ref.piece not in names:
                raise _error(piece, f"it refers to {fixup.ref.piece!r}, there is no such piece")
    for register, ref in entry.registers.items():
        if register not in _REGISTERS or ref.piece not in names:
            raise PlacementError(
                f"{register}: it refers to {ref.piece!r}, "
                "a register that holds an address and a piece are needed",
                piece=ref.piece,
                need=0,
            )
    for group, relocation in entry.relocations.items():
        if relocation.align < 1:
            raise PlacementError(
                f"{group}: alignment {relocation.align} found, 1 or more needed",
                piece=group,
                need=0,
            )


def _check_piece(piece: Piece) -> None:
    if piece.align < 1 or piece.align & (piece.align - 1):
        raise _error(piece, f"alignment {piece.align:#x} found, a power of two needed")
    if piece.group and piece.at is None:
        raise _error(piece, f"it is in group {piece.group!r}, an address is needed")
    if piece.at is not None and piece.at < 0:
        raise _error(piece, f"address {piece.at:#x} found, 0 or more needed")
    if piece.late is not None and piece.memory_type != MemoryType.RAM and piece.at is None:
        raise _error(piece, "it is made from the memory map and changes it, RAM is needed")
    for fixup in piece.fixups:
        if fixup.size not in (4, 8) or not 0 <= fixup.offset <= piece.length - fixup.size:
            raise _error(
                piece,
                f"fixup of {fixup.size} bytes at {fixup.offset:#x} found, "
                f"4 or 8 bytes inside {piece.length:#x} needed",
            )


def contents(
    piece: Piece, starts: Mapping[str, int], memory_map: tuple[MemoryRange, ...]
) -> Buffer:
    """Return the finished contents; the data itself, uncopied, where nothing changes it."""
    if piece.late is None and piece.seal is None and not piece.fixups:
        return piece.data
    data = bytearray(piece.data if piece.late is None else piece.late(memory_map))
    if len(data) > piece.length:
        raise _error(piece, f"{len(data):#x} bytes made, {piece.length:#x} were set aside")
    data.extend(bytes(piece.length - len(data)))
    for fixup in piece.fixups:
        address = resolve(fixup.ref, starts)
        if fixup.shift is not None:
            address = address >> fixup.shift & (1 << 8 * fixup.size) - 1
        try:
            patch(data, fixup.offset, fixup.size, address)
        except RequestError as cause:
            raise _error(
                piece,
                f"{address:#x}, the address of {fixup.ref.piece}, does not fit the "
                f"{fixup.size} bytes at {fixup.offset:#x}",
            ) from cause
    if piece.seal is not None:
        piece.seal(data)
    return bytes(data)


def resolve(ref: Ref, starts: Mapping[str, int]) -> int:
    """Return the address that `ref` means."""
    return starts[ref.piece] + ref.offset


def set_registers(entry: Entry, starts: Mapping[str, int]) -> CpuState:
    """Return the processor state with the addresses that registers hold."""
    cpu = entry.cpu
    bits = 64 if cpu.mode is Mode.LONG else 32
    for register, ref in entry.registers.items():
        address = resolve(ref, starts)
        if not 0 <= address < 1 << bits:
            raise PlacementError(
                f"{register}: {address:#x}, the address of {ref.piece}, does not fit {bits} bits",
                piece=ref.piece,
                need=0,
                limit=1 << bits,
            )
        cpu = cpu.with_register(register, address)
    return cpu


def _error(piece: Piece, message: str) -> PlacementError:
    return PlacementError(f"{piece.name}: {message}", piece=piece.name, need=piece.length)
