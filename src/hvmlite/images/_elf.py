"""Reads ELF32 and ELF64, little-endian; shared by the formats that hold an ELF inside.

Program headers are what a loader goes by: anything wrong with them is refused. Section headers
only tell more: what is wrong with them becomes a warning.
"""

from __future__ import annotations

from itertools import pairwise

from hvmlite.errors import FormatError, LimitError
from hvmlite.images._notes import NoteReader
from hvmlite.images._sections import read_sections
from hvmlite.images._universal import universal_facts
from hvmlite.model import Image, LoadSegment, Note, Section
from hvmlite.spec import elf
from hvmlite.spec.universal import ELF_STUB_OFFSET
from hvmlite.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.wire import Buffer

__all__ = ["NAME", "parse"]

NAME = "elf"
_MAX_SEGMENTS = 1024

Ehdr = elf.Elf32Ehdr | elf.Elf64Ehdr
Phdr = elf.Elf32Phdr | elf.Elf64Phdr


class ElfClass(Value):
    """The layouts of one class, and the width of its addresses in bits."""

    bits: int
    ehdr: type[Ehdr]
    phdr: type[Phdr]
    shdr: type[elf.Elf32Shdr | elf.Elf64Shdr]


_CLASSES = {
    elf.ELFCLASS32: ElfClass(32, elf.Elf32Ehdr, elf.Elf32Phdr, elf.Elf32Shdr),
    elf.ELFCLASS64: ElfClass(64, elf.Elf64Ehdr, elf.Elf64Phdr, elf.Elf64Shdr),
}


def parse(data: Buffer, source: str, warnings: tuple[str, ...] = ()) -> Image:
    """Read an ELF file of any machine.

    :param warnings: what was odd about the container, put before this file's own
    :raises FormatError: a header, a segment or a note does not agree with the file
    :raises LimitError: there are too many segments or notes
    """
    view = memoryview(data).toreadonly()
    kind = _elf_class(view, source)
    ehdr = kind.ehdr.unpack(view, source=source)
    if ehdr.e_version != elf.EV_CURRENT:
        raise FormatError(
            f"e_version {ehdr.e_version}, {elf.EV_CURRENT} was needed", source=source, offset=0x14
        )
    file = _File(view, source, kind, ehdr)
    phdrs = file.program_headers()
    segments = tuple(file.load(i, p) for i, p in enumerate(phdrs) if _is_load(p))
    file.refuse_overlap(phdrs)
    reader = NoteReader(view, source)
    for index, phdr in enumerate(phdrs):
        if phdr.p_type == elf.PType.NOTE:
            where = f"PT_NOTE segment {index}"
            file.check_extent(phdr, where)
            reader.read(phdr.p_offset, phdr.p_filesz, phdr.p_align, where)
    sections, notes, complaints = _section_view(file, reader)
    own = universal_facts(view, ELF_STUB_OFFSET, complaints)
    return Image(
        format=NAME,
        source=source,
        data=view,
        entry=ehdr.e_entry,
        machine=ehdr.e_machine,
        segments=segments,
        notes=notes,
        sections=sections,
        facts=(*_facts(kind, ehdr, notes), *own),
        warnings=(*warnings, *reader.warnings, *complaints),
    )


def _elf_class(view: memoryview, source: str) -> ElfClass:
    ident = bytes(view[: elf.EI_NIDENT])
    if len(ident) < elf.EI_NIDENT or not ident.startswith(elf.ELFMAG):
        raise FormatError(
            f"begins with {ident.hex(' ') or 'nothing'}, an ELF identification was needed",
            source=source,
            offset=0,
        )
    if ident[elf.EI_CLASS] not in _CLASSES:
        raise FormatError(
            f"EI_CLASS {ident[elf.EI_CLASS]}, 1 or 2 was needed", source=source, offset=elf.EI_CLASS
        )
    if ident[elf.EI_DATA] != elf.ELFDATA2LSB:
        found = "big-endian" if ident[elf.EI_DATA] == elf.ELFDATA2MSB else "neither endianness"
        raise FormatError(
            f"EI_DATA {ident[elf.EI_DATA]} ({found}), little-endian was needed",
            source=source,
            offset=elf.EI_DATA,
            hint="x86 is little-endian; this file is for another machine.",
        )
    if ident[elf.EI_VERSION] != elf.EV_CURRENT:
        raise FormatError(
            f"EI_VERSION {ident[elf.EI_VERSION]}, {elf.EV_CURRENT} was needed",
            source=source,
            offset=elf.EI_VERSION,
        )
    return _CLASSES[ident[elf.EI_CLASS]]


def _is_load(phdr: Phdr) -> bool:
    # An empty PT_LOAD occupies nothing; linkers leave them behind.
    return phdr.p_type == elf.PType.LOAD and phdr.p_memsz | phdr.p_filesz != 0


class _File:
    def __init__(self, data: memoryview, source: str, kind: ElfClass, ehdr: Ehdr) -> None:
        self.data = data
        self.source = source
        self.kind = kind
        self.ehdr = ehdr

    def program_headers(self) -> tuple[Phdr, ...]:
        ehdr, layout = self.ehdr, self.kind.phdr
        count = self._phnum()
        if count == 0:
            return ()
        if ehdr.e_phentsize != layout.SIZE:
            raise self._error(f"e_phentsize {ehdr.e_phentsize}, {layout.SIZE} was needed")
        if count > _MAX_SEGMENTS:
            raise LimitError(
                f"{count} program headers, the limit is {_MAX_SEGMENTS}",
                limit="segments",
                allowed=_MAX_SEGMENTS,
                source=self.source,
            )
        end = ehdr.e_phoff + count * layout.SIZE
        if end > len(self.data):
            raise self._error(
                f"program headers end at {end:#x}, only {len(self.data):#x} bytes are there"
            )
        return layout.unpack_all(self.data[ehdr.e_phoff : end], source=self.source)

    def _phnum(self) -> int:
        if self.ehdr.e_phnum != elf.PN_XNUM:
            return self.ehdr.e_phnum
        if self.ehdr.e_shoff == 0:
            raise self._error("e_phnum is PN_XNUM and e_shoff 0, section header 0 was needed")
        first = self.kind.shdr.unpack(self.data, self.ehdr.e_shoff, source=self.source)
        return first.sh_info

    def check_extent(self, phdr: Phdr, where: str) -> None:
        end = phdr.p_offset + phdr.p_filesz
        if phdr.p_filesz and end > len(self.data):
            raise FormatError(
                f"{where}: ends at file offset {end:#x}, only {len(self.data):#x} bytes are there",
                source=self.source,
                offset=phdr.p_offset,
                hint="The file is truncated, or its headers are wrong.",
            )

    def load(self, index: int, phdr: Phdr) -> LoadSegment:
        where = _load_name(index)
        self.check_extent(phdr, where)
        if phdr.p_filesz > phdr.p_memsz:
            raise self._error(
                f"{where}: p_filesz {phdr.p_filesz:#x},"
                f" at most p_memsz {phdr.p_memsz:#x} was needed"
            )
        if phdr.p_paddr + phdr.p_memsz > 1 << self.kind.bits:
            raise self._error(
                f"{where}: p_paddr {phdr.p_paddr:#x} + p_memsz {phdr.p_memsz:#x} goes beyond"
                f" {self.kind.bits} bits, an end within them was needed"
            )
        if phdr.p_align & (phdr.p_align - 1) and phdr.p_align:
            raise self._error(f"{where}: p_align {phdr.p_align:#x}, a power of two was needed")
        return LoadSegment(
            paddr=phdr.p_paddr,
            vaddr=phdr.p_vaddr,
            memsz=phdr.p_memsz,
            data=self.data[phdr.p_offset : phdr.p_offset + phdr.p_filesz],
            flags=phdr.p_flags,
            align=max(1, phdr.p_align),
        )

    def refuse_overlap(self, phdrs: tuple[Phdr, ...]) -> None:
        loads = [(p.p_paddr, p.p_paddr + p.p_memsz, i) for i, p in enumerate(phdrs) if _is_load(p)]
        loads.sort()
        for (start, end, one), (next_start, next_end, other) in pairwise(loads):
            if next_start < end:
                raise self._error(
                    f"{_load_name(one)} at {start:#x}..{end - 1:#x} and {_load_name(other)} at"
                    f" {next_start:#x}..{next_end - 1:#x} overlap, separate addresses were needed"
                )

    def _error(self, message: str) -> FormatError:
        return FormatError(message, source=self.source)


def _load_name(index: int) -> str:
    return f"PT_LOAD segment {index}"


def _section_view(
    file: _File, reader: NoteReader
) -> tuple[tuple[Section, ...], tuple[Note, ...], list[str]]:
    found = read_sections(file.data, file.ehdr, file.kind.shdr, file.source)
    for section, align in found.with_alignment:
        if section.type == elf.ShType.NOTE:
            try:
                reader.read(section.offset, section.size, align, f"section {section.name}")
            except FormatError as error:
                found.warn(str(error).removeprefix(file.source).lstrip(":+ "))
    return tuple(s for s, _ in found.with_alignment), reader.notes, found.warnings


def _facts(kind: ElfClass, ehdr: Ehdr, notes: tuple[Note, ...]) -> tuple[tuple[str, str], ...]:
    machine = elf.MACHINE_NAMES.get(ehdr.e_machine, f"machine {ehdr.e_machine}")
    types = {t.value: f"ET_{t.name}" for t in elf.EType}
    facts = [
        ("class", f"ELF{kind.bits}"),
        ("machine", machine),
        ("type", types.get(ehdr.e_type, f"{ehdr.e_type:#x}")),
        ("entry", f"{ehdr.e_entry:#x}"),
    ]
    facts += [
        ("build id", str(note.value))
        for note in notes
        if note.name == "GNU" and note.type == elf.GnuNote.BUILD_ID
    ]
    return tuple(facts)
