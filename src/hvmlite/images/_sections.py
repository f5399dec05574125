"""ELF section headers: optional to a loader, so that nothing in here refuses a file."""

from __future__ import annotations

from hvmlite.errors import FormatError
from hvmlite.model import Section
from hvmlite.spec import elf

__all__ = ["Sections", "read_sections"]

_MAX_SECTIONS = 1 << 14
_MAX_NAME = 256
_MAX_WARNINGS = 16

_Ehdr = elf.Elf32Ehdr | elf.Elf64Ehdr
_Shdr = elf.Elf32Shdr | elf.Elf64Shdr


class Sections:
    """The sections that lie within the file, each with its sh_addralign, and what was odd."""

    def __init__(self) -> None:
        self.with_alignment: list[tuple[Section, int]] = []
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        """Keep a complaint; of a file full of them the first will do."""
        if len(self.warnings) < _MAX_WARNINGS:
            self.warnings.append(message)


def read_sections(data: memoryview, ehdr: _Ehdr, layout: type[_Shdr], source: str) -> Sections:
    """Read the section headers as far as they agree with the file; section 0 is left out."""
    found = Sections()
    if ehdr.e_shoff == 0:
        return found
    try:
        headers = _headers(data, ehdr, layout, source)
    except FormatError as error:
        found.warn(f"section headers ignored: {error}")
        return found
    names = _names(data, ehdr, headers, found)
    for index, header in enumerate(headers):
        if header.sh_type == elf.ShType.NULL:
            continue
        name = _name(names, header.sh_name) or f"#{index}"
        end = header.sh_offset + header.sh_size
        if header.sh_type != elf.ShType.NOBITS and end > len(data):
            found.warn(
                f"section {name} ignored: ends at file offset {end:#x},"
                f" only {len(data):#x} bytes are there"
            )
            continue
        section = Section(
            name=name,
            type=header.sh_type,
            addr=header.sh_addr,
            offset=header.sh_offset,
            size=header.sh_size,
            flags=header.sh_flags,
        )
        found.with_alignment.append((section, header.sh_addralign))
    return found


def _headers(data: memoryview, ehdr: _Ehdr, layout: type[_Shdr], source: str) -> tuple[_Shdr, ...]:
    if ehdr.e_shentsize != layout.SIZE:
        raise FormatError(f"e_shentsize {ehdr.e_shentsize}, {layout.SIZE} was needed")
    # gABI: a count that does not fit e_shnum is sh_size of section header 0
    count = ehdr.e_shnum or layout.unpack(data, ehdr.e_shoff, source=source).sh_size
    if count > _MAX_SECTIONS:
        raise FormatError(f"{count} section headers, the limit is {_MAX_SECTIONS}")
    end = ehdr.e_shoff + count * layout.SIZE
    if end > len(data):
        raise FormatError(f"they end at {end:#x}, only {len(data):#x} bytes are there")
    return layout.unpack_all(data[ehdr.e_shoff : end], source=source)


def _names(
    data: memoryview, ehdr: _Ehdr, headers: tuple[_Shdr, ...], found: Sections
) -> memoryview:
    index = ehdr.e_shstrndx
    if index == elf.SHN_XINDEX and headers:
        index = headers[0].sh_link
    if index == 0:
        return data[:0]
    if index >= len(headers):
        found.warn(f"section names ignored: e_shstrndx {index}, there are {len(headers)} sections")
        return data[:0]
    table = headers[index]
    if table.sh_offset + table.sh_size > len(data):
        found.warn("section names ignored: the string table goes beyond the file")
        return data[:0]
    return data[table.sh_offset : table.sh_offset + table.sh_size]


def _name(names: memoryview, start: int) -> str:
    # A slice of bounded size: many sections can share one endless name.
    raw = bytes(names[start : start + _MAX_NAME]).split(b"\0", 1)[0]
    return raw.decode("utf-8", "backslashreplace")
