# How GRUB loads an ELF file for `multiboot` and `multiboot2` (grub-core/loader/multiboot_elfxx.c).
from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.model import Reason, Requirement
from hvmlite.peers import _elf
from hvmlite.spec import elf

if TYPE_CHECKING:
    from hvmlite.peers._elf import Ehdr, Phdr

__all__ = ["REQUIREMENTS", "extent", "refusal"]

_SOURCE = "grub-core/loader/multiboot_elfxx.c: grub_multiboot_load_elf"
_WINDOWS = {"multiboot": 8192, "multiboot2": 32768}
_FOUR_GIB = 1 << 32
_RELOCATIONS = (elf.ShType.REL, elf.ShType.RELA)

_ROWS = (
    ("elf", "ELF file", "one of 32 or 64 bits, little-endian, needed", "ELF magic"),
    (
        "machine",
        "ELF machine",
        "3 (i386) in an ELF32, 62 (x86-64) in an ELF64 needed",
        "invalid arch-dependent ELF magic",
    ),
    (
        "type",
        "e_type",
        "2 (ET_EXEC) or 3 (ET_DYN) needed",
        "this ELF file is not of the right type",
    ),
    ("phoff", "program headers", "", "program header at a too high offset"),
    ("4 GiB", "PT_LOAD segments", "an end below 4 GiB needed", "segment crosses 4 GiB border"),
    (
        "e_entry at",
        "e_entry",
        "an address within p_vaddr and p_memsz of a program header needed",
        "entry point isn't in a segment",
    ),
    ("e_entry 4 GiB", "e_entry", "below 4 GiB needed", "invalid entry point for ELF64"),
)
REQUIREMENTS = {
    f"{way} {name}": Requirement(
        way, what, needed or f"an end within the first {window} bytes needed", _SOURCE, says
    )
    for way, window in _WINDOWS.items()
    for name, what, needed, says in _ROWS
} | {
    "multiboot2 relocations": Requirement(
        "multiboot2",
        "sections",
        "none of type SHT_REL or SHT_RELA needed",
        _SOURCE,
        "ELF files with relocs are not supported yet",
    )
}


def extent(phdrs: tuple[Phdr, ...]) -> tuple[int, int]:
    """Return the lowest and the highest address that is loaded."""
    used = [phdr for phdr in phdrs if phdr.p_type == elf.PType.LOAD]
    low = min((phdr.p_paddr for phdr in used), default=0xFFFFFFFF)
    return low, max((phdr.p_paddr + phdr.p_memsz for phdr in used), default=0)


def refusal(way: str, data: memoryview) -> Reason | None:
    """Return why the command `way` does not load the file, or None."""
    ehdr = _elf.header(data)
    if ehdr is None or ehdr.e_ident[elf.EI_DATA] != elf.ELFDATA2LSB:
        return REQUIREMENTS[f"{way} elf"].unmet("no ELF file" if ehdr is None else "big-endian")
    wide = isinstance(ehdr, elf.Elf64Ehdr)
    if ehdr.e_machine != (elf.EM_X86_64 if wide else elf.EM_386):
        found = f"{_elf.machine_name(ehdr.e_machine)} in an ELF{64 if wide else 32}"
        return REQUIREMENTS[f"{way} machine"].unmet(found)
    if ehdr.e_type not in (elf.EType.EXEC, elf.EType.DYN):
        return REQUIREMENTS[f"{way} type"].unmet(f"{ehdr.e_type}")
    end = ehdr.e_phoff + ehdr.e_phnum * ehdr.e_phentsize
    phdrs = _elf.program_headers(data, ehdr)
    if end > _WINDOWS[way] or len(phdrs) != ehdr.e_phnum:
        return REQUIREMENTS[f"{way} phoff"].unmet(f"{end:#x}")
    return _addresses(way, ehdr, phdrs, wide) or _sections(way, data, ehdr)


def _addresses(way: str, ehdr: Ehdr, phdrs: tuple[Phdr, ...], wide: bool) -> Reason | None:
    _, highest = extent(phdrs)
    if wide and highest >= _FOUR_GIB:
        return REQUIREMENTS[f"{way} 4 GiB"].unmet(f"{highest:#x}")
    for phdr in phdrs:  # of any type
        if phdr.p_vaddr <= ehdr.e_entry < phdr.p_vaddr + phdr.p_memsz:
            entry = ehdr.e_entry - phdr.p_vaddr + phdr.p_paddr
            if wide and entry >= _FOUR_GIB:
                return REQUIREMENTS[f"{way} e_entry 4 GiB"].unmet(f"{entry:#x}")
            return None
    return REQUIREMENTS[f"{way} e_entry at"].unmet(f"{ehdr.e_entry:#x}")


def _sections(way: str, data: memoryview, ehdr: Ehdr) -> Reason | None:
    if way != "multiboot2":
        return None
    for number, shdr in enumerate(_elf.section_headers(data, ehdr)):
        if shdr.sh_type in _RELOCATIONS:
            hint = "strip --strip-all, or link without --emit-relocs."
            return REQUIREMENTS["multiboot2 relocations"].unmet(f"section {number}", hint)
    return None
