# How QEMU walks notes (include/hw/elf_ops.h: get_elf_note_type): by type alone, with strides that
# are rounded up to p_align, and without counting down: it stops when one single note is larger than
# the segment, so that a walk goes on through whatever follows the segment in the file.
from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.peers import _elf
from hvmlite.spec import elf, xen

if TYPE_CHECKING:
    from hvmlite.peers._elf import Ehdr, Phdr

__all__ = ["find_entry"]

_MAX_STEPS = 1 << 16
_STEP = elf.Nhdr.SIZE


def find_entry(data: memoryview, ehdr: Ehdr) -> tuple[int | None, list[tuple[int, str]]]:
    """Return the entry that QEMU reads, and what it met in each PT_NOTE segment.

    Of several segments the last one that has such a note counts. The number may be 0, and is as
    wide as the ELF class, whatever the note says of its size.
    """
    entry, walks = None, []
    for number, phdr in enumerate(_elf.program_headers(data, ehdr)):
        if phdr.p_type != elf.PType.NOTE:
            continue
        found = _walk(data, phdr, 64 if isinstance(ehdr, elf.Elf64Ehdr) else 32)
        if isinstance(found, int):
            entry = found
            walks.append((number, f"type 18, value {found:#x}"))
        else:
            walks.append((number, found))
    return entry, walks


def _walk(data: memoryview, phdr: Phdr, bits: int) -> int | str:
    if phdr.p_filesz == 0:
        return "empty"
    if phdr.p_align == 0:
        return "p_align 0: QEMU divides by it, and dies"
    mask = (1 << bits) - 1
    position = phdr.p_offset
    for _ in range(_MAX_STEPS):
        note = _elf.note_header(data, position)
        if note is None:
            return "no type 18 to the end of the file, where QEMU may die"
        if note.type == xen.ElfNote.PHYS32_ENTRY:
            at = position + _STEP + (_elf.align_up(note.namesz, phdr.p_align) & mask)
            return int.from_bytes(bytes(data[at : at + bits // 8]), "little")
        stride = _STEP + _elf.align_up(note.namesz, phdr.p_align)
        stride = (stride + _elf.align_up(note.descsz, phdr.p_align)) & mask
        if stride > phdr.p_filesz:
            return f"no type 18; a note of {stride:#x} bytes at {position:#x} ends the search"
        position += _over_zeros(data, position) if note == (0, 0, 0) else stride
    return "no type 18, and no end of the search"


def _over_zeros(data: memoryview, position: int) -> int:
    # Padding of many MiB reads as notes of 12 bytes: go on where there is something again.
    length = 1 << 12
    end = position
    while end < len(data):
        piece = bytes(data[end : end + length])
        zeros = len(piece) - len(piece.lstrip(b"\0"))
        end += zeros
        if zeros < len(piece):
            break
        length = min(length * 2, 1 << 20)
    return max(_STEP, (end - position) // _STEP * _STEP)
