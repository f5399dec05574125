"""Reads the headers of PE files; shared by the formats that are PE files.

Nothing is loaded and no relocation is read, so that only what would lead out of the file is
refused: a section whose bytes are not there, a header that is cut off. What firmware would
stumble over at run time (sections that overlap in memory) becomes a warning.
"""

from __future__ import annotations

from itertools import pairwise

from hvmlite.errors import FormatError, LimitError
from hvmlite.model import PeHeaders
from hvmlite.spec import pe
from hvmlite.values import Value

__all__ = ["Pe", "PeSection", "facts", "read"]

_MAX_SECTIONS = 4096
_MAX_COMPAT = 16
_MAX_WARNINGS = 8

_Optional = pe.OptionalHeader32 | pe.OptionalHeader64
_OPTIONAL: dict[int, tuple[int, type[_Optional]]] = {
    pe.OptionalMagic.PE32: (32, pe.OptionalHeader32),
    pe.OptionalMagic.PE32_PLUS: (64, pe.OptionalHeader64),
}


class PeSection(Value):
    """A section: `size` bytes of it are in the file at `offset`, the rest of it is zero."""

    name: str
    address: int
    virtual_size: int
    offset: int
    size: int


class Pe(Value):
    """What was read of one file."""

    headers: PeHeaders
    sections: tuple[PeSection, ...]
    warnings: tuple[str, ...]


def read(data: memoryview, source: str) -> Pe:
    """Read the headers and the section table of a PE32 or PE32+ file of any machine.

    :raises FormatError: a header or a section does not agree with the file
    :raises LimitError: there are too many sections
    """
    at = pe.DosHeader.unpack(data, source=source).e_lfanew
    if bytes(data[at : at + len(pe.NT_SIGNATURE)]) != pe.NT_SIGNATURE:
        raise FormatError("no PE signature, one was needed", source=source, offset=at)
    coff_at = at + len(pe.NT_SIGNATURE)
    coff = pe.CoffHeader.unpack(data, coff_at, source=source)
    optional_at = coff_at + pe.CoffHeader.SIZE
    bits, optional = _optional_header(data, optional_at, coff, source)
    headers = _section_headers(data, optional_at + coff.SizeOfOptionalHeader, coff, source)
    sections = tuple(_section(data, header, source) for header in headers)
    return Pe(
        PeHeaders(
            machine=coff.Machine,
            bits=bits,
            subsystem=optional.Subsystem,
            entry=optional.AddressOfEntryPoint,
            size_of_image=optional.SizeOfImage,
            dll_characteristics=optional.DllCharacteristics,
            image_version=(optional.MajorImageVersion, optional.MinorImageVersion),
            compat=_compat(data, sections),
        ),
        sections,
        tuple(_oddities(sections, optional)),
    )


def _optional_header(
    data: memoryview, at: int, coff: pe.CoffHeader, source: str
) -> tuple[int, _Optional]:
    magic = int.from_bytes(data[at : at + 2], "little")
    if magic not in _OPTIONAL:
        raise FormatError(
            f"optional header magic {magic:#x}, {pe.OptionalMagic.PE32:#x} or"
            f" {pe.OptionalMagic.PE32_PLUS:#x} was needed",
            source=source,
            offset=at,
        )
    bits, layout = _OPTIONAL[magic]
    if coff.SizeOfOptionalHeader < layout.SIZE:
        raise FormatError(
            f"SizeOfOptionalHeader {coff.SizeOfOptionalHeader}, at least {layout.SIZE} was needed",
            source=source,
            offset=at,
        )
    return bits, layout.unpack(data, at, source=source)


def _section_headers(
    data: memoryview, at: int, coff: pe.CoffHeader, source: str
) -> tuple[pe.SectionHeader, ...]:
    count = coff.NumberOfSections
    if count == 0:
        raise FormatError("no section, at least one was needed", source=source)
    if count > _MAX_SECTIONS:
        raise LimitError(
            f"{count} sections, the limit is {_MAX_SECTIONS}",
            limit="sections",
            allowed=_MAX_SECTIONS,
            source=source,
        )
    end = at + count * pe.SectionHeader.SIZE
    if end > len(data):
        raise FormatError(
            f"section table ends at {end:#x}, only {len(data):#x} bytes are there",
            source=source,
            offset=at,
        )
    return pe.SectionHeader.unpack_all(data[at:end], source=source)


def _section(data: memoryview, header: pe.SectionHeader, source: str) -> PeSection:
    name = header.Name.split(b"\0", 1)[0].decode("ascii", "backslashreplace")
    # The raw size is rounded up to the file's alignment, the virtual one is not. Whoever copies the
    # raw size into a place of the virtual size writes beyond it (CVE-2022-28737).
    size = min(header.SizeOfRawData, header.VirtualSize)
    end = header.PointerToRawData + size
    if size and end > len(data):
        raise FormatError(
            f"section {name}: ends at file offset {end:#x}, only {len(data):#x} bytes are there",
            source=source,
            offset=header.PointerToRawData,
            hint="The file is truncated, or its headers are wrong.",
        )
    return PeSection(name, header.VirtualAddress, header.VirtualSize, header.PointerToRawData, size)


def _compat(data: memoryview, sections: tuple[PeSection, ...]) -> tuple[tuple[int, int], ...]:
    # Linux, include/linux/pe.h: records of a type and a size, the first of another type ends them.
    found: list[tuple[int, int]] = []
    for section in sections:
        if section.name != ".compat":
            continue
        at, end = section.offset, section.offset + section.size
        while at + pe.CompatEntry.SIZE <= end and len(found) < _MAX_COMPAT:
            entry = pe.CompatEntry.unpack(data, at)
            if entry.type != pe.COMPAT_ENTRY_1 or entry.size < pe.CompatEntry.SIZE:
                break
            found.append((entry.machine_type, entry.entry_point))
            at += entry.size
    return tuple(found)


def _oddities(sections: tuple[PeSection, ...], optional: _Optional) -> list[str]:
    warnings = []
    placed = sorted((s for s in sections if s.virtual_size), key=lambda s: s.address)
    for one, other in pairwise(placed):
        if one.address + one.virtual_size > other.address:
            warnings.append(
                f"sections {one.name} and {other.name} overlap in memory at {other.address:#x}:"
                " firmware would load one over the other"
            )
    end = max((s.address + s.virtual_size for s in placed), default=0)
    if end > optional.SizeOfImage:
        warnings.append(f"sections end at {end:#x}, SizeOfImage says {optional.SizeOfImage:#x}")
    return warnings[:_MAX_WARNINGS]


def facts(headers: PeHeaders) -> list[tuple[str, str]]:
    """Return the headers for people."""
    machine = pe.MACHINE_NAMES.get(headers.machine, f"machine {headers.machine:#x}")
    subsystem = pe.SUBSYSTEM_NAMES.get(headers.subsystem, "unknown")
    return [
        ("PE", f"PE32{'+' if headers.bits == 64 else ''}, {machine}"),
        ("subsystem", f"{headers.subsystem} ({subsystem})"),
        ("entry point", f"RVA {headers.entry:#x} of {headers.size_of_image:#x}"),
    ]
