# The crate linux-loader, with which Firecracker and Cloud Hypervisor load kernels on x86: what its
# ELF and bzImage loaders take. Read at its version 0.14.0 and in its main branch of August 2026
# (commit 0b82095): src/loader/elf/mod.rs, src/loader/bzimage/mod.rs.
from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hvmlite.model import Reason, Requirement
from hvmlite.peers import _elf, _multiboot
from hvmlite.spec import elf, linux, xen

if TYPE_CHECKING:
    from hvmlite.model import Image
    from hvmlite.peers._elf import Phdr

__all__ = ["BZIMAGE", "ELF", "HIGH_MEMORY", "Elf", "bzimage", "load_elf"]

HIGH_MEMORY = 0x100000
"""Both peers let nothing be loaded by its entry below 1 MiB."""
_NAME = xen.ELFNOTE_NAME.encode() + b"\0"
_SEGMENT_ALIGN = 0x200000
_LOAD = "linux-loader src/loader/elf/mod.rs: Elf::load"
_HEADER = "linux-loader src/loader/elf/mod.rs: Elf::validate_header"
_NOTE = "linux-loader src/loader/elf/mod.rs: parse_elf_note"
_BZIMAGE = "linux-loader src/loader/bzimage/mod.rs: BzImage::load"

ELF = {
    "elf header": Requirement(
        "elf", "ELF file", "64 bytes of header needed", _LOAD, "Unable to read elf header"
    ),
    "byte order": Requirement(
        "elf",
        "EI_DATA",
        "1 (little-endian) needed",
        _HEADER,
        "Trying to load big-endian binary on little-endian machine",
    ),
    "class": Requirement(
        "elf",
        "e_phentsize at 0x36",
        "56 needed: ELF64 alone is read, whatever class is stated",
        _HEADER,
        "Invalid program header size",
    ),
    "e_phoff": Requirement(
        "elf", "e_phoff", "64 or more needed", _HEADER, "Invalid program header offset"
    ),
    "e_entry": Requirement(
        "elf", "e_entry", "0x100000 (1 MiB) or more needed", _LOAD, "Invalid entry address"
    ),
    "headers": Requirement(
        "elf",
        "program headers",
        "all of them within the file needed",
        _LOAD,
        "Unable to read program header",
    ),
    "segments": Requirement(
        "elf",
        "PT_LOAD segments",
        "their bytes within the file needed",
        _LOAD,
        "Unable to read kernel image",
    ),
    "note": Requirement(
        "elf",
        "PT_NOTE segments",
        "notes packed by 4 that can be read up to the segment's end needed",
        _NOTE,
        "Unable to read note header",
    ),
    "descriptor": Requirement(
        "elf",
        "PHYS32_ENTRY note",
        "a descriptor of 4 bytes or more needed",
        _NOTE,
        "Invalid PVH note header",
    ),
}
BZIMAGE = {
    "HdrS": Requirement(
        "bzimage", "setup header", '"HdrS" at 0x202 needed', _BZIMAGE, "Invalid bzImage"
    ),
    "loaded high": Requirement(
        "bzimage",
        "loadflags",
        "boot protocol 2.00 or later and LOADED_HIGH (0x1) needed",
        _BZIMAGE,
        "Invalid bzImage",
    ),
    "setup": Requirement(
        "bzimage",
        "setup sectors",
        "a setup that ends within the file needed",
        _BZIMAGE,
        "Underflow occurred during an arithmetic operation",
    ),
    "code32_start": Requirement(
        "bzimage",
        "code32_start",
        "0x100000 (1 MiB) or more needed",
        _BZIMAGE,
        "Invalid kernel start address",
    ),
}


class Elf(NamedTuple):
    """What the loader makes of an ELF file: its entry and, if the last PT_NOTE has it, PVH's.

    Each PT_NOTE segment overwrites what the one before it said.
    """

    entry: int
    pvh_entry: int | None
    facts: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def load_elf(image: Image) -> Elf | Reason:
    """Return what `Elf::load` finds, or why it fails; the file begins with ELF's magic."""
    data = image.data
    if len(data) < elf.Elf64Ehdr.SIZE:
        return ELF["elf header"].unmet(f"{len(data)} bytes")
    ehdr = elf.Elf64Ehdr.unpack(data)
    if ehdr.e_ident[elf.EI_DATA] != elf.ELFDATA2LSB:
        return ELF["byte order"].unmet(f"{ehdr.e_ident[elf.EI_DATA]}")
    if ehdr.e_phentsize != elf.Elf64Phdr.SIZE:
        narrow = ehdr.e_ident[elf.EI_CLASS] == elf.ELFCLASS32
        found = f"{ehdr.e_phentsize}{', of an ELF32' if narrow else ''}"
        hint = "objcopy -O elf64-x86-64 makes an ELF64 of it." if narrow else None
        return ELF["class"].unmet(found, hint)
    if ehdr.e_phoff < elf.Elf64Ehdr.SIZE:
        return ELF["e_phoff"].unmet(f"{ehdr.e_phoff:#x}")
    if ehdr.e_entry < HIGH_MEMORY:
        return ELF["e_entry"].unmet(f"{ehdr.e_entry:#x}")
    phdrs = _elf.program_headers(data, ehdr)
    if len(phdrs) != ehdr.e_phnum:
        return ELF["headers"].unmet(f"{ehdr.e_phnum} at {ehdr.e_phoff:#x}")
    return _segments(image, ehdr.e_entry, phdrs)


def _segments(image: Image, entry: int, phdrs: tuple[Phdr, ...]) -> Elf | Reason:
    data = image.data
    pvh, facts, unaligned = None, [], False
    for number, phdr in enumerate(phdrs):
        if phdr.p_type == elf.PType.LOAD and phdr.p_filesz:
            if phdr.p_offset + phdr.p_filesz > len(data):
                end = phdr.p_offset + phdr.p_filesz
                return ELF["segments"].unmet(f"segment {number} ends at {end:#x}")
            unaligned |= bool(phdr.p_align % _SEGMENT_ALIGN)
        elif phdr.p_type == elf.PType.NOTE:
            found = _note(data, phdr, number)
            if isinstance(found, Reason):
                return found
            pvh = found
            shown = "no PHYS32_ENTRY" if found is None else f"PHYS32_ENTRY {found:#x}"
            facts.append((f"PT_NOTE segment {number}", shown))
    warnings = []
    if unaligned:
        text = "segments with a p_align that is no multiple of 2 MiB: linux-loader refuses them"
        warnings.append(f"{text} in its main branch, not yet in 0.14.0")
    return Elf(entry, pvh, tuple(facts), tuple(warnings))


def _note(data: memoryview, phdr: Phdr, number: int) -> int | Reason | None:
    where = f"segment {number}"
    read = 0
    while read < phdr.p_filesz:
        position = phdr.p_offset + read
        note = _elf.note_header(data, position)
        if note is None:
            return ELF["note"].unmet(f"{where} leads beyond the file at {position:#x}")
        at = position + elf.Nhdr.SIZE
        if note.type == xen.ElfNote.PHYS32_ENTRY and note.namesz == len(_NAME):
            name = bytes(data[at : at + len(_NAME)])
            if len(name) < len(_NAME):
                return ELF["note"].unmet(f"{where} leads beyond the file at {at:#x}")
            if name == _NAME:
                return _entry(data, at + len(_NAME), note.descsz, where)
        read += elf.Nhdr.SIZE + _elf.align_up(note.namesz, 4) + _elf.align_up(note.descsz, 4)
    return None


def _entry(data: memoryview, at: int, size: int, where: str) -> int | Reason:
    if size < 4:
        return ELF["descriptor"].unmet(f"{size} bytes in {where}")
    if at + 4 > len(data):
        return ELF["note"].unmet(f"{where} leads beyond the file at {at:#x}")
    return _multiboot.word(data, at)


def bzimage(image: Image) -> linux.SetupHeader | Reason:
    """Return the setup header if `BzImage::load` takes the file, or why it does not.

    It reads all fields, also those behind the header's stated end.
    """
    data = image.data
    raw = bytes(data[linux.HEADER_START :][: linux.SetupHeader.SIZE])
    header = linux.SetupHeader.unpack(raw.ljust(linux.SetupHeader.SIZE, b"\0"))
    if header.header != linux.HDRS:
        return BZIMAGE["HdrS"].unmet(f"{image.format}, {header.header:#010x} there", _hint(image))
    if header.version < linux.Version.V2_00 or not header.loadflags & linux.LoadFlags.LOADED_HIGH:
        return BZIMAGE["loaded high"].unmet(f"{header.version:#x} and {header.loadflags:#x}")
    sectors = (header.setup_sects or linux.SETUP_SECTS_DEFAULT) + 1
    if sectors * linux.SECTOR > len(data):
        found = f"{sectors * linux.SECTOR:#x} bytes of {len(data):#x}"
        return BZIMAGE["setup"].unmet(found)
    if header.code32_start < HIGH_MEMORY:
        return BZIMAGE["code32_start"].unmet(f"{header.code32_start:#x}")
    return header


def _hint(image: Image) -> str | None:
    if image.format == "compressed":
        return "Unpack the file first."
    return "Take the kernel out of its section .linux." if image.format == "uki" else None
