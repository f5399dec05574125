# Multiboot: the ELF section headers that a kernel is handed, with all that they describe in memory.
from __future__ import annotations

from typing import NamedTuple

from hvmlite.errors import FormatError
from hvmlite.guest.layout import PAGE, Window
from hvmlite.model import Fixup, Image, Kind, Piece, Ref
from hvmlite.spec import elf

__all__ = ["Sections", "sections_of"]

_Ehdr = elf.Elf32Ehdr | elf.Elf64Ehdr
_Shdr = elf.Elf32Shdr | elf.Elf64Shdr

_MOST = 1 << 12
"""Kernels have a few dozens; each of these becomes a piece."""


class Sections(NamedTuple):
    """`num` headers of `entsize` bytes, the index of the name table, and fixups into the headers.

    `pieces` are the sections that no segment has loaded: symbols, strings, debug information.
    """

    num: int
    entsize: int
    shndx: int
    headers: bytes
    fixups: tuple[Fixup, ...]
    pieces: tuple[Piece, ...]


def sections_of(image: Image, window: Window) -> Sections | str | None:
    """Return the section headers of an ELF, None if it has none, or why they cannot be used.

    As GRUB does: what has no address of its own is loaded somewhere and gets that address.
    """
    if bytes(image.data[:4]) != elf.ELFMAG:
        return None
    ehdr_layout, layout = _layouts(image)
    try:
        ehdr = ehdr_layout.unpack(image.data, source=image.source)
        if ehdr.e_shnum == 0:
            return None
        if ehdr.e_shentsize != layout.SIZE:
            return f"e_shentsize {ehdr.e_shentsize} found, {layout.SIZE} needed"
        if ehdr.e_shnum > _MOST:
            return f"{ehdr.e_shnum} section headers found, at most {_MOST} needed"
        headers = bytes(image.data[ehdr.e_shoff :][: ehdr.e_shnum * layout.SIZE])
        table: tuple[_Shdr, ...] = layout.unpack_all(headers, source=image.source)
    except FormatError as error:
        return str(error)
    if len(table) != ehdr.e_shnum:
        return f"{ehdr.e_shnum} section headers are stated, the file has {len(table)} of them"
    fixups, pieces = [], []
    for index, section in enumerate(table):
        end = section.sh_offset + section.sh_size
        if section.sh_addr or not section.sh_size or section.sh_type == elf.ShType.NOBITS:
            continue
        if end > len(image.data):
            return f"section {index} ends at file offset {end:#x}, beyond the file"
        piece = _piece(index, image.data[section.sh_offset : end], section.sh_addralign, window)
        pieces.append(piece)
        place = layout.FIELDS["sh_addr"]
        fixups.append(Fixup(index * layout.SIZE + place.offset, place.size, Ref(piece.name)))
    num, shndx = ehdr.e_shnum, ehdr.e_shstrndx
    return Sections(num, layout.SIZE, shndx, headers, tuple(fixups), tuple(pieces))


def _layouts(image: Image) -> tuple[type[_Ehdr], type[_Shdr]]:
    if image.data[elf.EI_CLASS] == elf.ELFCLASS64:
        return elf.Elf64Ehdr, elf.Elf64Shdr
    return elf.Elf32Ehdr, elf.Elf32Shdr


def _piece(index: int, data: memoryview, align: int, window: Window) -> Piece:
    # An alignment beyond a page would be odd for what is only read.
    return Piece(
        f"ELF section {index}",
        data,
        Kind.BOOT_INFO,
        align=align if align in (1 << n for n in range(PAGE.bit_length())) else 1,
        low=window.low,
        high=window.high,
    )
