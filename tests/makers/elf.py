"""Makes small ELF files, right and wrong ones, for x86 or whoever's machine is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

from hvmlite.spec import elf

PAGE = 0x1000


@dataclass
class Segment:
    """One program header and its bytes; a field that is None is worked out."""

    data: bytes = b""
    type: int = elf.PType.LOAD
    paddr: int = 0
    vaddr: int | None = None
    offset: int | None = None
    filesz: int | None = None
    memsz: int | None = None
    flags: int = 5
    align: int = PAGE


@dataclass
class Sect:
    """One section header; its bytes are its own, or lie at `offset` already."""

    name: str
    data: bytes = b""
    type: int = elf.ShType.PROGBITS
    addr: int = 0
    offset: int | None = None
    size: int | None = None
    align: int = 1


@dataclass
class Elf:
    """A whole file: fill it in, `build()` it. `ehdr` overrides fields of the file header."""

    bits: int = 64
    machine: int = elf.EM_X86_64
    type: int = elf.EType.EXEC
    entry: int = 0x100000
    segments: list[Segment] = field(default_factory=list)
    sections: list[Sect] = field(default_factory=list)
    ehdr: dict[str, int | bytes] = field(default_factory=dict)

    @property
    def layouts(self):
        """The file, program and section header of this class."""
        if self.bits == 64:
            return elf.Elf64Ehdr, elf.Elf64Phdr, elf.Elf64Shdr
        return elf.Elf32Ehdr, elf.Elf32Phdr, elf.Elf32Shdr

    def build(self) -> bytes:
        """The bytes of the file: headers, program headers, contents, section headers."""
        ehdr_layout, phdr_layout, shdr_layout = self.layouts
        phoff = ehdr_layout.SIZE
        body = bytearray(phoff + len(self.segments) * phdr_layout.SIZE)
        phdrs = [self._segment(segment, body, phdr_layout) for segment in self.segments]
        body[phoff : phoff + len(phdrs) * phdr_layout.SIZE] = b"".join(phdrs)
        shdrs = self._sections(body, shdr_layout)
        body += bytes(-len(body) % 8)
        fields = {
            "e_ident": elf.ELFMAG + bytes([self.bits // 32, elf.ELFDATA2LSB, elf.EV_CURRENT]),
            "e_type": self.type,
            "e_machine": self.machine,
            "e_version": elf.EV_CURRENT,
            "e_entry": self.entry,
            "e_phoff": phoff if phdrs else 0,
            "e_shoff": len(body) if shdrs else 0,
            "e_ehsize": ehdr_layout.SIZE,
            "e_phentsize": phdr_layout.SIZE,
            "e_phnum": len(phdrs),
            "e_shentsize": shdr_layout.SIZE,
            "e_shnum": len(shdrs),
            "e_shstrndx": max(0, len(shdrs) - 1),
        }
        body[:phoff] = ehdr_layout(**{**fields, **self.ehdr}).pack()
        return bytes(body) + b"".join(shdrs)

    def _segment(self, segment, body, layout) -> bytes:
        offset = segment.offset
        if offset is None:
            body += bytes(-len(body) % max(1, min(segment.align, 16)))
            offset = len(body)
            body += segment.data
        filesz = len(segment.data) if segment.filesz is None else segment.filesz
        return layout(
            p_type=segment.type,
            p_offset=offset,
            p_vaddr=segment.paddr if segment.vaddr is None else segment.vaddr,
            p_paddr=segment.paddr,
            p_filesz=filesz,
            p_memsz=filesz if segment.memsz is None else segment.memsz,
            p_flags=segment.flags,
            p_align=segment.align,
        ).pack()

    def _sections(self, body, layout) -> list[bytes]:
        if not self.sections:
            return []
        names = bytearray(b"\0")
        shdrs = [layout().pack()]
        for section in [*self.sections, Sect(".shstrtab", type=elf.ShType.STRTAB)]:
            name_at = len(names)
            names += section.name.encode() + b"\0"
            data = bytes(names) if section.name == ".shstrtab" else section.data
            offset = section.offset
            if offset is None:
                body += bytes(-len(body) % max(1, section.align))
                offset = len(body)
                body += data
            shdrs.append(
                layout(
                    sh_name=name_at,
                    sh_type=section.type,
                    sh_addr=section.addr,
                    sh_offset=offset,
                    sh_size=len(data) if section.size is None else section.size,
                    sh_addralign=section.align,
                ).pack()
            )
        return shdrs


def note(name: str, kind: int, desc: bytes = b"", align: int = 4) -> bytes:
    """One note, padded to `align` as gABI (4) or its 64-bit variant (8) says."""
    raw = name.encode() + b"\0" if name else b""
    start = elf.Nhdr(n_namesz=len(raw), n_descsz=len(desc), n_type=kind).pack() + raw
    start += bytes(-len(start) % align)
    whole = start + desc
    return whole + bytes(-len(whole) % align)


def notes_segment(*notes: bytes, align: int = 4) -> Segment:
    """A PT_NOTE segment."""
    return Segment(b"".join(notes), type=elf.PType.NOTE, align=align, flags=4)


def phys32_entry(entry: int = 0x100000, size: int = 4, align: int = 4) -> bytes:
    """The Xen note that makes a kernel a PVH one."""
    return note("Xen", 18, entry.to_bytes(size, "little"), align)


def pvh_kernel(bits: int = 64, code: bytes = b"\xf4" * 64) -> bytes:
    """A small ELF file as a PVH kernel has it: code, writable data with bss, notes."""
    machine = elf.EM_X86_64 if bits == 64 else elf.EM_386
    note_bytes = phys32_entry(0x100000, bits // 8) + note("Xen", 6, b"test\0")
    kernel = Elf(bits=bits, machine=machine)
    kernel.segments = [
        Segment(code, paddr=0x100000),
        Segment(b"data" * 8, paddr=0x200000, memsz=PAGE, flags=6),
        notes_segment(note_bytes),
    ]
    return kernel.build()
