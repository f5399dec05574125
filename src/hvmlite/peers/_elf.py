# ELF headers and notes as peers read them: from the file's bytes, with their own strides and their
# own mistakes. hvmlite's own view of the same file is hvmlite.images.
from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from hvmlite.spec import elf, xen

if TYPE_CHECKING:
    from hvmlite.model import Image, Note

__all__ = [
    "Ehdr",
    "NoteHeader",
    "Phdr",
    "Shdr",
    "align_up",
    "entry_notes",
    "header",
    "is_elf",
    "loads",
    "machine_name",
    "note_header",
    "program_headers",
    "section_headers",
]

Ehdr = elf.Elf32Ehdr | elf.Elf64Ehdr
Phdr = elf.Elf32Phdr | elf.Elf64Phdr
Shdr = elf.Elf32Shdr | elf.Elf64Shdr
_Layout = TypeVar("_Layout", elf.Elf32Phdr, elf.Elf64Phdr, elf.Elf32Shdr, elf.Elf64Shdr)


class NoteHeader(NamedTuple):
    """The three words that a note begins with."""

    namesz: int
    descsz: int
    type: int


def is_elf(data: memoryview) -> bool:
    """Return whether the file begins with ELF's magic."""
    return bytes(data[:4]) == elf.ELFMAG


def header(data: memoryview) -> Ehdr | None:
    """Return the file header, of the class that it states, or None where there is none."""
    wide = bytes(data[elf.EI_CLASS : elf.EI_CLASS + 1]) == bytes([elf.ELFCLASS64])
    layout = elf.Elf64Ehdr if wide else elf.Elf32Ehdr
    return layout.unpack(data) if is_elf(data) and len(data) >= layout.SIZE else None


def program_headers(data: memoryview, ehdr: Ehdr) -> tuple[Phdr, ...]:
    """Return the program headers; none where the table goes beyond the file."""
    if isinstance(ehdr, elf.Elf64Ehdr):
        return _table(data, elf.Elf64Phdr, ehdr.e_phoff, ehdr.e_phentsize, ehdr.e_phnum)
    return _table(data, elf.Elf32Phdr, ehdr.e_phoff, ehdr.e_phentsize, ehdr.e_phnum)


def section_headers(data: memoryview, ehdr: Ehdr) -> tuple[Shdr, ...]:
    """Return the section headers; none where the table goes beyond the file."""
    if isinstance(ehdr, elf.Elf64Ehdr):
        return _table(data, elf.Elf64Shdr, ehdr.e_shoff, ehdr.e_shentsize, ehdr.e_shnum)
    return _table(data, elf.Elf32Shdr, ehdr.e_shoff, ehdr.e_shentsize, ehdr.e_shnum)


def _table(
    data: memoryview, layout: type[_Layout], offset: int, step: int, count: int
) -> tuple[_Layout, ...]:
    if count == 0 or step < layout.SIZE or offset + step * count > len(data):
        return ()
    return tuple(layout.unpack(data, offset + step * number) for number in range(count))


def loads(phdrs: tuple[Phdr, ...]) -> list[Phdr]:
    """Return the PT_LOAD headers that occupy memory."""
    return [phdr for phdr in phdrs if phdr.p_type == elf.PType.LOAD and phdr.p_memsz]


def note_header(data: memoryview, offset: int) -> NoteHeader | None:
    """Return the header of the note at `offset`, or None at the end of the file."""
    raw = bytes(data[offset : offset + elf.Nhdr.SIZE])
    if len(raw) < elf.Nhdr.SIZE:
        return None
    words = (int.from_bytes(raw[at : at + 4], "little") for at in (0, 4, 8))
    return NoteHeader(*words)


def align_up(value: int, align: int) -> int:
    """Return the next multiple of `align`, which is not 0."""
    return -(-value // align) * align


def entry_notes(image: Image) -> tuple[str, ...]:
    """Return where hvmlite itself sees a PHYS32_ENTRY note: what a peer may have missed."""
    return tuple(
        f"{note.where} at {note.offset:#x}, read with alignment {note.align}"
        for note in image.notes
        if _is_entry(note)
    )


def _is_entry(note: Note) -> bool:
    return note.name == xen.ELFNOTE_NAME and note.type == xen.ElfNote.PHYS32_ENTRY


def machine_name(machine: int) -> str:
    """Return an e_machine for people."""
    return f"{machine} ({elf.MACHINE_NAMES.get(machine, 'unknown')})"
