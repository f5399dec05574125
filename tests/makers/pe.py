"""Makes PE files: UEFI programs, unified kernel images, their addons; right ones and wrong ones."""

from __future__ import annotations

from dataclasses import dataclass, field

from hvmlite.spec import pe

FILE_ALIGNMENT = 0x200
PAGE = 0x1000


def up(value: int, align: int) -> int:
    return -(-value // align) * align


@dataclass
class Sect:
    """One section; a field that is None is worked out."""

    name: str
    data: bytes = b""
    virtual_size: int | None = None
    address: int | None = None
    raw_size: int | None = None
    offset: int | None = None
    characteristics: int = 0x40000040  # initialised data, readable


@dataclass
class Pe:
    """A whole file: fill it in, `build()` it. `coff` and `optional` override fields."""

    sections: list[Sect] = field(default_factory=list)
    bits: int = 64
    machine: int = pe.Machine.AMD64
    lfanew: int = 0x80
    coff: dict[str, int] = field(default_factory=dict)
    optional: dict[str, int] = field(default_factory=dict)

    def build(self) -> bytes:
        """The bytes of the file."""
        layout = pe.OptionalHeader64 if self.bits == 64 else pe.OptionalHeader32
        optional_at = self.lfanew + 4 + pe.CoffHeader.SIZE
        directories = 16 * pe.DataDirectory.SIZE
        table_at = optional_at + layout.SIZE + directories
        headers_end = up(table_at + len(self.sections) * pe.SectionHeader.SIZE, FILE_ALIGNMENT)
        body, table, address = bytearray(headers_end), b"", up(headers_end, PAGE)
        for section in self.sections:
            header, address = self._section(section, body, address)
            table += header.pack()
        fields = {
            "Magic": pe.OptionalMagic.PE32_PLUS if self.bits == 64 else pe.OptionalMagic.PE32,
            "AddressOfEntryPoint": PAGE,
            "SectionAlignment": PAGE,
            "FileAlignment": FILE_ALIGNMENT,
            "SizeOfImage": min(address, 0xFFFFFFFF),
            "SizeOfHeaders": headers_end,
            "Subsystem": pe.Subsystem.EFI_APPLICATION,
            "NumberOfRvaAndSizes": 16,
        }
        coff = {
            "Machine": self.machine,
            "NumberOfSections": len(self.sections),
            "SizeOfOptionalHeader": layout.SIZE + directories,
            "Characteristics": 0x206,
        }
        head = bytearray(pe.DosHeader(e_magic=b"MZ", e_lfanew=self.lfanew).pack())
        head[self.lfanew :] = bytes(max(0, self.lfanew - len(head)))
        head[self.lfanew : optional_at] = (
            pe.NT_SIGNATURE + pe.CoffHeader(**{**coff, **self.coff}).pack()
        )
        head += layout(**{**fields, **self.optional}).pack() + bytes(directories) + table
        body[: len(head)] = head
        return bytes(body)

    def _section(self, section, body, address):
        offset = section.offset
        if offset is None:
            offset = len(body)
            body += section.data + bytes(-len(section.data) % FILE_ALIGNMENT)
        size = len(section.data) if section.virtual_size is None else section.virtual_size
        at = address if section.address is None else section.address
        raw = up(len(section.data), FILE_ALIGNMENT)
        header = pe.SectionHeader(
            Name=section.name.encode(),
            VirtualSize=size,
            VirtualAddress=min(at, 0xFFFFFFFF),
            SizeOfRawData=raw if section.raw_size is None else section.raw_size,
            PointerToRawData=offset,
            Characteristics=section.characteristics,
        )
        return header, max(address, up(at + size, PAGE))


STUB = (Sect(".text", b"\xc3" * 64, characteristics=0x60000020), Sect(".reloc", b"\0" * 12))
OSREL = b'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n'


def uki(kernel: bytes, *sections: Sect | tuple[str, bytes], **fields) -> bytes:
    """A unified kernel image: a stub that does nothing, the kernel, and further sections."""
    rest = [each if isinstance(each, Sect) else Sect(*each) for each in sections]
    return Pe([*STUB, Sect(".linux", kernel), *rest], **fields).build()


def addon(*sections: tuple[str, bytes], **fields) -> bytes:
    """An addon of a unified kernel image."""
    return Pe([*STUB, *(Sect(*each) for each in sections)], **fields).build()
