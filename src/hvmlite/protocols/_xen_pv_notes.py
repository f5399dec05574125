# What a kernel tells Xen: by ELF notes, or by the text in a section __xen_guest before there were
# notes. Read as Xen's libelf reads them (xen/common/libelf/libelf-dominfo.c, 4.17).
from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hvmlite.spec.xen import ELFNOTE_NAME, ElfNote

if TYPE_CHECKING:
    from hvmlite.model import Image, Note

__all__ = ["FEATURE_BITS", "GuestNotes", "read"]

FEATURE_BITS = {
    "writable_page_tables": 0,
    "writable_descriptor_tables": 1,
    "auto_translated_physmap": 2,
    "supervisor_mode_kernel": 3,
    "pae_pgdir_above_4gb": 4,
    "hvm_callback_vector": 8,
    "dom0": 11,
}
"""The features that libelf knows by name, with their numbers in `public/features.h`."""

_SECTION = "__xen_guest"
_MAX_TEXT = 4096
_STRINGS = {
    ElfNote.LOADER: "loader",
    ElfNote.GUEST_OS: "guest_os",
    ElfNote.XEN_VERSION: "xen_version",
    ElfNote.FEATURES: "features",
    ElfNote.PAE_MODE: "pae_mode",
}
_NUMBERS = {
    ElfNote.VIRT_BASE: "virt_base",
    ElfNote.ENTRY: "entry",
    ElfNote.PADDR_OFFSET: "paddr_offset",
    ElfNote.INIT_P2M: "init_p2m",
    ElfNote.HYPERCALL_PAGE: "hypercall_page",
    ElfNote.PHYS32_ENTRY: "phys32_entry",
}
_OLD_STRINGS = {
    "LOADER": "loader",
    "GUEST_OS": "guest_os",
    "XEN_VER": "xen_version",
    "FEATURES": "features",
    "PAE": "pae_mode",
}
_OLD_NUMBERS = {
    "VIRT_BASE": "virt_base",
    "VIRT_ENTRY": "entry",
    "ELF_PADDR_OFFSET": "paddr_offset",
    "HYPERCALL_PAGE": "hypercall_page",
}


@dataclass
class GuestNotes:
    """What was found; texts are empty and numbers None where nothing is said."""

    source: str = ""
    loader: str = ""
    guest_os: str = ""
    xen_version: str = ""
    features: str = ""
    pae_mode: str = ""
    virt_base: int | None = None
    entry: int | None = None
    paddr_offset: int | None = None
    init_p2m: int | None = None
    hypercall_page: int | None = None
    phys32_entry: int | None = None
    facts: list[tuple[str, str]] = field(default_factory=list)


def read(kernel: Image) -> GuestNotes:
    """Return what Xen would go by: notes of segments, else of sections, else `__xen_guest`."""
    xen = [note for note in kernel.notes if note.name == ELFNOTE_NAME]
    for where in ("PT_NOTE", "section"):
        chosen = [note for note in xen if note.where.startswith(where)]
        if chosen:
            return _from_notes(chosen, "segments" if where == "PT_NOTE" else "sections")
    for section in kernel.sections:
        if section.name == _SECTION:
            size = min(section.size, _MAX_TEXT)
            data = bytes(kernel.data[section.offset : section.offset + size])
            return _from_text(data.split(b"\0", 1)[0].decode("ascii", "backslashreplace"))
    return GuestNotes()


def _from_notes(notes: list[Note], where: str) -> GuestNotes:
    # Of several notes of one type the last one counts.
    found = GuestNotes(f"{len(notes)} notes in {where}")
    for note in notes:
        value = note.value
        shown = "".join(f" {number:#x}" for number in value) if isinstance(value, tuple) else value
        if isinstance(value, int):
            shown = f"{value:#x}"
        elif value is None:
            shown = note.desc[:20].hex(" ")
        found.facts.append((note.label or f"type {note.type:#x}", str(shown).strip()))
        try:
            kind = ElfNote(note.type)
        except ValueError:
            continue
        if kind in _STRINGS and isinstance(value, str):
            setattr(found, _STRINGS[kind], value)
        elif kind in _NUMBERS and isinstance(value, int):
            setattr(found, _NUMBERS[kind], value)
    return found


def _from_text(text: str) -> GuestNotes:
    found = GuestNotes(f"text in section {_SECTION}")
    for word in filter(None, text.split(",")):
        name, _, value = word.partition("=")
        found.facts.append((name, value))
        if name in _OLD_STRINGS:
            setattr(found, _OLD_STRINGS[name], value)
        elif name in _OLD_NUMBERS and (number := _number(value)) is not None:
            setattr(found, _OLD_NUMBERS[name], number)
    if found.hypercall_page is not None:  # a page number from virt_base on
        found.hypercall_page = (found.virt_base or 0) + (found.hypercall_page << 12)
    if found.paddr_offset is None:  # what p_paddr meant in those days
        found.paddr_offset = found.virt_base
    return found


def _number(text: str) -> int | None:
    # strtoull with base 0, as far as kernels used it
    try:
        return int(text, 16 if text[:2].lower() == "0x" else 10) & (1 << 64) - 1
    except ValueError:
        return None
