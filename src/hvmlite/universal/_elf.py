# The page before the stub in the ELF file: ELF's headers, Xen's notes, multiboot2's header.
from __future__ import annotations

from hvmlite.guest.layout import FOUR_GIB, HIGH_MEMORY, PAGE
from hvmlite.spec import elf, xen
from hvmlite.spec.universal import ELF_STUB_OFFSET, VERSION_AT, VERSION_MAX
from hvmlite.universal import _multiboot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.universal._place import Place

__all__ = ["first_page"]

_NOTES_AT = 0x100
_MULTIBOOT2_AT = 0x200
_IDENT = elf.ELFMAG + bytes((elf.ELFCLASS64, elf.ELFDATA2LSB, elf.EV_CURRENT))


def first_page(where: Place, version: str) -> bytes:
    """Return the first ELF_STUB_OFFSET bytes.

    One segment has everything, from file offset 0 on. There is no multiboot1 header: QEMU would
    prefer it to PVH (hw/i386/x86.c), and be told less. The segment has no alignment: its place is
    no multiple of 2 MiB, and newer linux-loaders (Firecracker, Cloud Hypervisor) refuse a smaller
    one. PHYS32_RELOC says which multiples will do.

    :param version: the wrapped kernel's, for whoever looks at the file
    """
    notes = b"".join(_note(*each) for each in _notes(where))
    page = bytearray(ELF_STUB_OFFSET)
    flags = elf.PFlags.R | elf.PFlags.W | elf.PFlags.X
    load = elf.Elf64Phdr(
        p_type=elf.PType.LOAD,
        p_flags=flags,
        p_vaddr=where.base,
        p_paddr=where.base,
        p_filesz=where.size,
        p_memsz=where.end - where.base,
        p_align=0,
    )
    note = elf.Elf64Phdr(
        p_type=elf.PType.NOTE,
        p_flags=elf.PFlags.R,
        p_offset=_NOTES_AT,
        p_vaddr=where.base + _NOTES_AT,
        p_paddr=where.base + _NOTES_AT,
        p_filesz=len(notes),
        p_memsz=len(notes),
        p_align=4,
    )
    header = elf.Elf64Ehdr(
        e_ident=_IDENT,
        e_type=elf.EType.EXEC,
        e_machine=elf.EM_X86_64,
        e_version=elf.EV_CURRENT,
        e_entry=where.start,
        e_phoff=elf.Elf64Ehdr.SIZE,
        e_ehsize=elf.Elf64Ehdr.SIZE,
        e_phentsize=elf.Elf64Phdr.SIZE,
        e_phnum=2,
    )
    for at, data in (
        (0, header.pack() + load.pack() + note.pack()),
        (_NOTES_AT, notes),
        (_MULTIBOOT2_AT, _multiboot.header2(where)),
        (VERSION_AT, version.encode("ascii", "replace")[: VERSION_MAX - 1] + b"\0"),
    ):
        page[at : at + len(data)] = data
    return bytes(page)


def _notes(where: Place) -> tuple[tuple[xen.ElfNote, bytes], ...]:
    # PHYS32_ENTRY first: QEMU's reader may run off the end in search of it. GUEST_OS makes it Linux
    # for whoever asks, as it is for its command line and its initrd.
    return (
        (xen.ElfNote.PHYS32_ENTRY, _words(where.start, 0)),
        (xen.ElfNote.PHYS32_RELOC, _words(PAGE, HIGH_MEMORY, FOUR_GIB - 1)),
        (xen.ElfNote.GUEST_OS, b"linux\0"),
    )


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


def _note(kind: xen.ElfNote, desc: bytes) -> bytes:
    name = xen.ELFNOTE_NAME.encode() + b"\0"
    header = elf.Nhdr(n_namesz=len(name), n_descsz=len(desc), n_type=kind)
    return header.pack() + _padded(name) + _padded(desc)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
