# The headers of an UEFI program, for the bzImage-shaped file.
from __future__ import annotations

from hvmlite.guest.layout import PAGE
from hvmlite.spec import pe
from hvmlite.spec.universal import HEAD_SIZE, STUB_AT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.universal._place import Place

__all__ = ["COMPAT_AT", "FILE_ALIGNMENT", "FIRMWARE", "compat", "headers"]

FILE_ALIGNMENT = 512
_Optional = type[pe.OptionalHeader32] | type[pe.OptionalHeader64]
FIRMWARE: dict[str, tuple[pe.Machine, pe.OptionalMagic, _Optional]] = {
    "x64": (pe.Machine.AMD64, pe.OptionalMagic.PE32_PLUS, pe.OptionalHeader64),
    "ia32": (pe.Machine.I386, pe.OptionalMagic.PE32, pe.OptionalHeader32),
}
"""Which firmware takes the program as its own: EDK2 of either width refuses the other's."""
COMPAT_AT = 0x3000
"""A page of the head that only 16-bit mode uses, as its stack."""

_DIRECTORIES = 6
_EXECUTABLE, _NO_LINE_NUMBERS, _NO_DEBUG = 0x2, 0x4, 0x200
_CODE, _DATA, _DISCARDABLE = 0x20, 0x40, 0x2000000
_EXECUTE, _READ, _WRITE = 0x20000000, 0x40000000, 0x80000000


def headers(where: Place, file_size: int, firmware: str) -> bytes:
    """Return signature, headers and section table.

    RVAs are file offsets: nothing moves when firmware loads the file, and the kernel lies where it
    may run if the memory at ImageBase is free. The last section is all of the protected-mode part
    and the memory that the kernel needs; it is written to, so that NX_COMPAT is not claimed.

    :param file_size: of the whole file, a multiple of FILE_ALIGNMENT
    :param firmware: a name of FIRMWARE
    """
    code = file_size - HEAD_SIZE
    machine, magic, optional_header = FIRMWARE[firmware]
    coff = pe.CoffHeader(
        Machine=machine,
        NumberOfSections=len(_sections(where, code)),
        SizeOfOptionalHeader=optional_header.SIZE + _DIRECTORIES * pe.DataDirectory.SIZE,
        Characteristics=_EXECUTABLE | _NO_LINE_NUMBERS | _NO_DEBUG,
    )
    optional = optional_header(
        Magic=magic,
        SizeOfCode=code,
        AddressOfEntryPoint=STUB_AT,
        BaseOfCode=HEAD_SIZE,
        ImageBase=where.head,
        SectionAlignment=PAGE,
        FileAlignment=FILE_ALIGNMENT,
        MajorImageVersion=pe.LinuxFeature.INITRD_LOADFILE2,
        SizeOfImage=where.end - where.head,
        SizeOfHeaders=PAGE,
        Subsystem=pe.Subsystem.EFI_APPLICATION,
        NumberOfRvaAndSizes=_DIRECTORIES,
    )
    return b"".join(
        (
            pe.NT_SIGNATURE,
            coff.pack(),
            optional.pack(),
            bytes(_DIRECTORIES * pe.DataDirectory.SIZE),
            *(section.pack() for section in _sections(where, code)),
        )
    )


def _sections(where: Place, code: int) -> tuple[pe.SectionHeader, ...]:
    read_only = _DATA | _READ | _DISCARDABLE
    return (
        _section(b".setup", PAGE, COMPAT_AT - PAGE, read_only),
        _section(b".compat", COMPAT_AT, HEAD_SIZE - COMPAT_AT, read_only),
        _section(b".text", HEAD_SIZE, code, _CODE | _EXECUTE | _READ | _WRITE).replace(
            VirtualSize=where.end - where.head - HEAD_SIZE
        ),
    )


def _section(name: bytes, at: int, size: int, characteristics: int) -> pe.SectionHeader:
    return pe.SectionHeader(
        Name=name,
        VirtualSize=size,
        VirtualAddress=at,
        SizeOfRawData=size,
        PointerToRawData=at,
        Characteristics=characteristics,
    )


def compat() -> bytes:
    """Return the record that names the entry for 32-bit firmware, and the one that ends the list.

    Linux, include/linux/pe.h, LINUX_PE_COMPAT.
    """
    record = pe.CompatEntry(
        type=pe.COMPAT_ENTRY_1,
        size=pe.CompatEntry.SIZE,
        machine_type=pe.Machine.I386,
        entry_point=STUB_AT,
    )
    return record.pack() + bytes(pe.CompatEntry.SIZE)
