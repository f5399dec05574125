# What a kernel tells Xen, as libelf reads it (xen/common/libelf/libelf-dominfo.c): notes named
# "Xen" in PT_NOTE segments, else in SHT_NOTE sections, always packed by 4. Of several notes of one
# type the last one counts. The text in a section __xen_guest, which PV kernels had before there
# were notes, is not read.
from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hvmlite.peers import _elf
from hvmlite.spec import elf, xen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hvmlite.peers._elf import Ehdr

__all__ = ["FEATURES", "MASK", "UNSET_32", "GuestNotes", "read", "unknown_features"]

FEATURES = frozenset(
    {
        "writable_page_tables",
        "writable_descriptor_tables",
        "auto_translated_physmap",
        "supervisor_mode_kernel",
        "pae_pgdir_above_4gb",
        "hvm_callback_vector",
        "dom0",
    }
)
"""The features that libelf knows by name."""
MASK = (1 << 64) - 1
"""A number with all bits set counts as no note (UNSET_ADDR)."""
UNSET_32 = 0xFFFFFFFF
"""PHYS32_ENTRY: what counts as no note."""

_MAX_NOTES = 65536  # ELF_MAX_TOTAL_NOTE_COUNT
_MAX_TEXT = 4096
_WIDTHS = (1, 2, 4, 8)
_NAME = xen.ELFNOTE_NAME.encode() + b"\0"


@dataclass
class GuestNotes:
    """The notes by type, where they were found, and whether the walk met any note at all."""

    where: str = ""
    numbers: dict[int, int] = field(default_factory=dict)
    strings: dict[int, str] = field(default_factory=dict)

    def text(self, kind: xen.ElfNote) -> str:
        """Return a text, empty if there is none."""
        return self.strings.get(kind, "")

    def number(self, kind: xen.ElfNote) -> int | None:
        """Return a number, or None."""
        value = self.numbers.get(kind, MASK)
        return None if value == MASK else value

    @property
    def phys_entry(self) -> int | None:
        """The entry of PVH, or None."""
        value = self.numbers.get(xen.ElfNote.PHYS32_ENTRY, UNSET_32) & UNSET_32
        return None if value == UNSET_32 else value


def read(data: memoryview, ehdr: Ehdr) -> GuestNotes:
    """Return what libelf finds."""
    found = GuestNotes()
    budget = iter(range(_MAX_NOTES))
    for phdr in _elf.program_headers(data, ehdr):
        # An offset of 0 is a known mistake of old binutils.
        if phdr.p_type == elf.PType.NOTE and phdr.p_offset:
            _walk(found, data, phdr.p_offset, phdr.p_offset + phdr.p_filesz, budget)
    if found.numbers or found.strings:
        found.where = "PT_NOTE segments"
        return found
    for shdr in _elf.section_headers(data, ehdr)[1:]:
        if shdr.sh_type == elf.ShType.NOTE:
            _walk(found, data, shdr.sh_offset, shdr.sh_offset + shdr.sh_size, budget)
    found.where = "SHT_NOTE sections" if found.numbers or found.strings else ""
    return found


def unknown_features(text: str) -> list[str]:
    """Return the features that are required (`!`) and that libelf has no name for."""
    required = [word[1:] for word in text.split("|") if word.startswith("!")]
    return [name for name in required if name not in FEATURES]


def _walk(found: GuestNotes, data: memoryview, start: int, end: int, budget: Iterator[int]) -> None:
    position = start
    while position < end and next(budget, None) is not None:
        note = _elf.note_header(data, position)
        if note is None:
            return
        name_at = position + elf.Nhdr.SIZE
        desc_at = name_at + _elf.align_up(note.namesz, 4)
        if bytes(data[name_at : name_at + len(_NAME)]) == _NAME:
            _keep(found, note.type, note.descsz, data[desc_at:])
        position = desc_at + _elf.align_up(note.descsz, 4)


def _keep(found: GuestNotes, kind: int, size: int, desc: memoryview) -> None:
    if kind in xen.STRING_NOTES:
        # As a C string: up to a NUL, wherever that is, and not up to the note's size.
        text = bytes(desc[:_MAX_TEXT]).split(b"\0", 1)[0]
        value = text.decode("utf-8", "backslashreplace")
        if kind == xen.ElfNote.FEATURES and kind in found.strings:
            value = f"{found.strings[kind]}|{value}"  # of these all count
        found.strings[kind] = value
    else:
        wide = size if size in _WIDTHS else 0
        found.numbers[kind] = int.from_bytes(bytes(desc[:wide]), "little")
