"""Portable Executable files, as UEFI programs and Linux kernels have them.

Source: Microsoft's PE/COFF specification, UEFI 2.10 section 2.1.1, Linux 6.12
``include/linux/pe.h``; the sections of unified kernel images: UAPI.5, "Unified Kernel Image".
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from hvmlite.wire import Struct, raw, u8, u16, u32, u64

__all__ = [
    "COMPAT_ENTRY_1",
    "DOS_MAGIC",
    "LINUX_PE_MAGIC",
    "MACHINE_NAMES",
    "NT_SIGNATURE",
    "SUBSYSTEM_NAMES",
    "UKI_SECTIONS",
    "CoffHeader",
    "CompatEntry",
    "DataDirectory",
    "DllCharacteristics",
    "DosHeader",
    "LinuxFeature",
    "Machine",
    "OptionalHeader32",
    "OptionalHeader64",
    "OptionalMagic",
    "SectionHeader",
    "Subsystem",
]

DOS_MAGIC = b"MZ"
NT_SIGNATURE = b"PE\0\0"
LINUX_PE_MAGIC = 0x818223CD
"""`linux_magic` of the DOS header: the program is a Linux kernel (6.7 and later)."""
COMPAT_ENTRY_1 = 1
"""`type` of the entries in a `.compat` section (LINUX_PE_COMPAT)."""

UKI_SECTIONS = (
    ".linux",
    ".osrel",
    ".cmdline",
    ".initrd",
    ".ucode",
    ".splash",
    ".dtb",
    ".dtbauto",
    ".efifw",
    ".hwids",
    ".uname",
    ".sbat",
    ".pcrsig",
    ".pcrpkey",
    ".profile",
)
"""What a unified kernel image may hold, in the order in which systemd-stub measures it."""


class Machine(IntEnum):
    """`Machine` of the COFF header."""

    I386 = 0x14C
    ARM = 0x1C2
    RISCV64 = 0x5064
    LOONGARCH64 = 0x6264
    AMD64 = 0x8664
    ARM64 = 0xAA64


MACHINE_NAMES: dict[int, str] = {
    Machine.I386: "i386",
    Machine.ARM: "ARM",
    Machine.RISCV64: "RISC-V",
    Machine.LOONGARCH64: "LoongArch",
    Machine.AMD64: "x86-64",
    Machine.ARM64: "AArch64",
}


class OptionalMagic(IntEnum):
    """`Magic` of the optional header."""

    PE32 = 0x10B
    PE32_PLUS = 0x20B


class Subsystem(IntEnum):
    """`Subsystem` of the optional header; the four of UEFI."""

    EFI_APPLICATION = 10
    EFI_BOOT_SERVICE_DRIVER = 11
    EFI_RUNTIME_DRIVER = 12
    EFI_ROM = 13


SUBSYSTEM_NAMES: dict[int, str] = {
    Subsystem.EFI_APPLICATION: "EFI application",
    Subsystem.EFI_BOOT_SERVICE_DRIVER: "EFI boot service driver",
    Subsystem.EFI_RUNTIME_DRIVER: "EFI runtime driver",
    Subsystem.EFI_ROM: "EFI ROM",
    1: "native",
    2: "Windows, graphical",
    3: "Windows, console",
}


class DllCharacteristics(IntFlag):
    """`DllCharacteristics` of the optional header, as far as UEFI looks at it."""

    DYNAMIC_BASE = 0x40
    NX_COMPAT = 0x100


class LinuxFeature(IntFlag):
    """What `MajorImageVersion` means from 3 on: a set of features of the kernel's EFI stub."""

    INITRD_LOADFILE2 = 1
    INITRD_PATH_ANY_VOLUME = 2


class DosHeader(Struct, size=64):
    """The DOS header, as far as it still means something."""

    e_magic: bytes = raw(0x00, 2)
    linux_magic: int = u32(0x38)
    e_lfanew: int = u32(0x3C)


class CoffHeader(Struct, size=20):
    """The COFF file header, after the signature that `e_lfanew` points at."""

    Machine: int = u16(0x00)
    NumberOfSections: int = u16(0x02)
    TimeDateStamp: int = u32(0x04)
    PointerToSymbolTable: int = u32(0x08)
    NumberOfSymbols: int = u32(0x0C)
    SizeOfOptionalHeader: int = u16(0x10)
    Characteristics: int = u16(0x12)


class OptionalHeader32(Struct, size=96):
    """The optional header of a PE32 file up to its data directories."""

    Magic: int = u16(0x00)
    MajorLinkerVersion: int = u8(0x02)
    MinorLinkerVersion: int = u8(0x03)
    SizeOfCode: int = u32(0x04)
    SizeOfInitializedData: int = u32(0x08)
    SizeOfUninitializedData: int = u32(0x0C)
    AddressOfEntryPoint: int = u32(0x10)
    BaseOfCode: int = u32(0x14)
    BaseOfData: int = u32(0x18)
    ImageBase: int = u32(0x1C)
    SectionAlignment: int = u32(0x20)
    FileAlignment: int = u32(0x24)
    MajorOperatingSystemVersion: int = u16(0x28)
    MinorOperatingSystemVersion: int = u16(0x2A)
    MajorImageVersion: int = u16(0x2C)
    MinorImageVersion: int = u16(0x2E)
    MajorSubsystemVersion: int = u16(0x30)
    MinorSubsystemVersion: int = u16(0x32)
    Win32VersionValue: int = u32(0x34)
    SizeOfImage: int = u32(0x38)
    SizeOfHeaders: int = u32(0x3C)
    CheckSum: int = u32(0x40)
    Subsystem: int = u16(0x44)
    DllCharacteristics: int = u16(0x46)
    SizeOfStackReserve: int = u32(0x48)
    SizeOfStackCommit: int = u32(0x4C)
    SizeOfHeapReserve: int = u32(0x50)
    SizeOfHeapCommit: int = u32(0x54)
    LoaderFlags: int = u32(0x58)
    NumberOfRvaAndSizes: int = u32(0x5C)


class OptionalHeader64(Struct, size=112):
    """The optional header of a PE32+ file up to its data directories."""

    Magic: int = u16(0x00)
    MajorLinkerVersion: int = u8(0x02)
    MinorLinkerVersion: int = u8(0x03)
    SizeOfCode: int = u32(0x04)
    SizeOfInitializedData: int = u32(0x08)
    SizeOfUninitializedData: int = u32(0x0C)
    AddressOfEntryPoint: int = u32(0x10)
    BaseOfCode: int = u32(0x14)
    ImageBase: int = u64(0x18)
    SectionAlignment: int = u32(0x20)
    FileAlignment: int = u32(0x24)
    MajorOperatingSystemVersion: int = u16(0x28)
    MinorOperatingSystemVersion: int = u16(0x2A)
    MajorImageVersion: int = u16(0x2C)
    MinorImageVersion: int = u16(0x2E)
    MajorSubsystemVersion: int = u16(0x30)
    MinorSubsystemVersion: int = u16(0x32)
    Win32VersionValue: int = u32(0x34)
    SizeOfImage: int = u32(0x38)
    SizeOfHeaders: int = u32(0x3C)
    CheckSum: int = u32(0x40)
    Subsystem: int = u16(0x44)
    DllCharacteristics: int = u16(0x46)
    SizeOfStackReserve: int = u64(0x48)
    SizeOfStackCommit: int = u64(0x50)
    SizeOfHeapReserve: int = u64(0x58)
    SizeOfHeapCommit: int = u64(0x60)
    LoaderFlags: int = u32(0x68)
    NumberOfRvaAndSizes: int = u32(0x6C)


class DataDirectory(Struct, size=8):
    """One of the data directories after the optional header."""

    VirtualAddress: int = u32(0x00)
    Size: int = u32(0x04)


class SectionHeader(Struct, size=40):
    """One section; a name of 8 bytes has no NUL."""

    Name: bytes = raw(0x00, 8)
    VirtualSize: int = u32(0x08)
    VirtualAddress: int = u32(0x0C)
    SizeOfRawData: int = u32(0x10)
    PointerToRawData: int = u32(0x14)
    PointerToRelocations: int = u32(0x18)
    PointerToLinenumbers: int = u32(0x1C)
    NumberOfRelocations: int = u16(0x20)
    NumberOfLinenumbers: int = u16(0x22)
    Characteristics: int = u32(0x24)


class CompatEntry(Struct, size=8):
    """An entry of a Linux kernel's `.compat` section: where firmware of another machine enters."""

    type: int = u8(0x00)
    size: int = u8(0x01)
    machine_type: int = u16(0x02)
    entry_point: int = u32(0x04)
