"""ELF32 and ELF64: headers, program headers, section headers and notes, little-endian.

Source: System V Application Binary Interface (gABI), chapters 4 and 5; field names as in <elf.h>.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from hvmlite.wire import Struct, raw, u16, u32, u64

__all__ = [
    "EI_CLASS",
    "EI_DATA",
    "EI_NIDENT",
    "EI_VERSION",
    "ELFCLASS32",
    "ELFCLASS64",
    "ELFDATA2LSB",
    "ELFDATA2MSB",
    "ELFMAG",
    "EM_386",
    "EM_X86_64",
    "EV_CURRENT",
    "MACHINE_NAMES",
    "PN_XNUM",
    "SHN_XINDEX",
    "EType",
    "Elf32Ehdr",
    "Elf32Phdr",
    "Elf32Shdr",
    "Elf64Ehdr",
    "Elf64Phdr",
    "Elf64Shdr",
    "GnuNote",
    "Nhdr",
    "PFlags",
    "PType",
    "ShType",
]

ELFMAG = b"\x7fELF"
EI_CLASS, EI_DATA, EI_VERSION, EI_NIDENT = 4, 5, 6, 16
ELFCLASS32, ELFCLASS64 = 1, 2
ELFDATA2LSB, ELFDATA2MSB = 1, 2
EV_CURRENT = 1

EM_386, EM_X86_64 = 3, 62
MACHINE_NAMES = {
    2: "SPARC",
    3: "i386",
    8: "MIPS",
    20: "PowerPC",
    21: "PowerPC64",
    22: "S/390",
    40: "ARM",
    43: "SPARC V9",
    62: "x86-64",
    183: "AArch64",
    243: "RISC-V",
    258: "LoongArch",
}
"""Some e_machine values, for people."""

PN_XNUM = 0xFFFF
"""e_phnum: the real number is sh_info of section header 0."""
SHN_XINDEX = 0xFFFF
"""e_shstrndx: the real index is sh_link of section header 0."""


class EType(IntEnum):
    """e_type: what kind of object a file is."""

    NONE = 0
    REL = 1
    EXEC = 2
    DYN = 3
    CORE = 4


class PType(IntEnum):
    """p_type of a program header."""

    NULL = 0
    LOAD = 1
    DYNAMIC = 2
    INTERP = 3
    NOTE = 4


class PFlags(IntFlag):
    """p_flags of a program header."""

    X = 1
    W = 2
    R = 4


class ShType(IntEnum):
    """sh_type of a section header."""

    NULL = 0
    PROGBITS = 1
    SYMTAB = 2
    STRTAB = 3
    RELA = 4
    NOTE = 7
    NOBITS = 8
    REL = 9


class GnuNote(IntEnum):
    """Types of notes whose name is "GNU" (NT_GNU_*)."""

    ABI_TAG = 1
    HWCAP = 2
    BUILD_ID = 3
    GOLD_VERSION = 4
    PROPERTY_TYPE_0 = 5


class Elf32Ehdr(Struct, size=52, c_name="Elf32_Ehdr"):
    """The file header of an ELF32 file."""

    e_ident: bytes = raw(0x00, EI_NIDENT)
    e_type: int = u16(0x10)
    e_machine: int = u16(0x12)
    e_version: int = u32(0x14)
    e_entry: int = u32(0x18)
    e_phoff: int = u32(0x1C)
    e_shoff: int = u32(0x20)
    e_flags: int = u32(0x24)
    e_ehsize: int = u16(0x28)
    e_phentsize: int = u16(0x2A)
    e_phnum: int = u16(0x2C)
    e_shentsize: int = u16(0x2E)
    e_shnum: int = u16(0x30)
    e_shstrndx: int = u16(0x32)


class Elf64Ehdr(Struct, size=64, c_name="Elf64_Ehdr"):
    """The file header of an ELF64 file."""

    e_ident: bytes = raw(0x00, EI_NIDENT)
    e_type: int = u16(0x10)
    e_machine: int = u16(0x12)
    e_version: int = u32(0x14)
    e_entry: int = u64(0x18)
    e_phoff: int = u64(0x20)
    e_shoff: int = u64(0x28)
    e_flags: int = u32(0x30)
    e_ehsize: int = u16(0x34)
    e_phentsize: int = u16(0x36)
    e_phnum: int = u16(0x38)
    e_shentsize: int = u16(0x3A)
    e_shnum: int = u16(0x3C)
    e_shstrndx: int = u16(0x3E)


class Elf32Phdr(Struct, size=32, c_name="Elf32_Phdr"):
    """A program header (segment) of an ELF32 file."""

    p_type: int = u32(0x00)
    p_offset: int = u32(0x04)
    p_vaddr: int = u32(0x08)
    p_paddr: int = u32(0x0C)
    p_filesz: int = u32(0x10)
    p_memsz: int = u32(0x14)
    p_flags: int = u32(0x18)
    p_align: int = u32(0x1C)


class Elf64Phdr(Struct, size=56, c_name="Elf64_Phdr"):
    """A program header (segment) of an ELF64 file."""

    p_type: int = u32(0x00)
    p_flags: int = u32(0x04)
    p_offset: int = u64(0x08)
    p_vaddr: int = u64(0x10)
    p_paddr: int = u64(0x18)
    p_filesz: int = u64(0x20)
    p_memsz: int = u64(0x28)
    p_align: int = u64(0x30)


class Elf32Shdr(Struct, size=40, c_name="Elf32_Shdr"):
    """A section header of an ELF32 file."""

    sh_name: int = u32(0x00)
    sh_type: int = u32(0x04)
    sh_flags: int = u32(0x08)
    sh_addr: int = u32(0x0C)
    sh_offset: int = u32(0x10)
    sh_size: int = u32(0x14)
    sh_link: int = u32(0x18)
    sh_info: int = u32(0x1C)
    sh_addralign: int = u32(0x20)
    sh_entsize: int = u32(0x24)


class Elf64Shdr(Struct, size=64, c_name="Elf64_Shdr"):
    """A section header of an ELF64 file."""

    sh_name: int = u32(0x00)
    sh_type: int = u32(0x04)
    sh_flags: int = u64(0x08)
    sh_addr: int = u64(0x10)
    sh_offset: int = u64(0x18)
    sh_size: int = u64(0x20)
    sh_link: int = u32(0x28)
    sh_info: int = u32(0x2C)
    sh_addralign: int = u64(0x30)
    sh_entsize: int = u64(0x38)


class Nhdr(Struct, size=12, c_name="Elf64_Nhdr"):
    """The header of a note, the same in ELF32 and ELF64; name and descriptor follow, padded."""

    n_namesz: int = u32(0x00)
    n_descsz: int = u32(0x04)
    n_type: int = u32(0x08)
