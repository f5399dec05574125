# Multiboot2: what lies in guest memory and in the registers when the kernel is entered.
from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from hvmlite.errors import RequestError
from hvmlite.guest import acpi, segments
from hvmlite.model import (
    BootInfo,
    Dropped,
    Entry,
    Fixup,
    Kind,
    Machine,
    MemoryRange,
    Offer,
    Piece,
    Ref,
)
from hvmlite.protocols import _multiboot_pieces as common
from hvmlite.protocols._multiboot2_header import Header, header_of
from hvmlite.protocols._multiboot_sections import Sections, sections_of
from hvmlite.protocols._pieces import KERNEL, check_lines, elf_kernel, entry_ref, pointer
from hvmlite.spec.multiboot1 import FramebufferType
from hvmlite.spec.multiboot2 import (
    BOOTLOADER_MAGIC,
    TAG_ALIGN,
    ConsoleFlag,
    HeaderTagType,
    Multiboot2HeaderTagConsoleFlags,
    Multiboot2Info,
    Multiboot2MmapEntry,
    Multiboot2Tag,
    Multiboot2TagBasicMeminfo,
    Multiboot2TagElfSections,
    Multiboot2TagFramebuffer,
    Multiboot2TagLoadBaseAddr,
    Multiboot2TagMmap,
    Multiboot2TagModule,
    TagType,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["encode"]

_INFO = "multiboot2 information"


def encode(offer: Offer, info: BootInfo, machine: Machine, rsdp: Ref | None) -> Entry:
    """Lay out what the document asks for: kernel, modules, information in one piece, CPU state.

    Command line, loader name, modules, memory sizes and map, ELF sections, a frame buffer, both
    RSDP tags and the load base address are told. What only firmware has is absent.

    :param rsdp: the piece with the ACPI RSDP, copies of which are handed over
    :raises RequestError: a command line has a NUL in it, or a required tag of the kernel asks for a
        frame buffer or a console that is not there
    """
    check_lines(info, None)
    header = header_of(offer.image)
    _check_consoles(header, info, machine)
    kernel = elf_kernel(offer.image, whole=False)
    gdt = segments.gdt(segments.CODE32, segments.DATA32, segments.TSS)
    modules, moves = common.module_pieces(offer, info, machine)
    window = common.module_window(offer, machine, 0)
    sections = sections_of(offer.image, window) if offer.image.sections else None
    listed = sections if isinstance(sections, Sections) else None
    firmware = common.bios_pieces(offer, machine, rsdp)
    pieces = [*kernel, *firmware, gdt, *modules, *(listed.pieces if listed else ())]
    tags = [*_told(info, modules, rsdp)]
    if HeaderTagType.RELOCATABLE in header.present:
        tags.append(_load_base(kernel))
    if listed:
        tags.append(_sections(listed))
    pieces.append(_information([*tags, *_framebuffer(info)], machine))
    return Entry(
        protocol=offer.protocol,
        pieces=tuple(pieces),
        cpu=common.cpu(gdt, BOOTLOADER_MAGIC),
        registers={
            "rip": entry_ref(kernel, offer.entry),
            "rbx": Ref(_INFO),
            "gdtr": Ref(gdt.name),
        },
        relocations=moves | ({KERNEL: offer.relocation} if offer.relocation else {}),
        dropped=tuple(_dropped(info, machine, rsdp, sections)),
    )


def _check_consoles(header: Header, info: BootInfo, machine: Machine) -> None:
    if info.framebuffer:
        return
    if HeaderTagType.FRAMEBUFFER in header.required:
        raise RequestError(
            "framebuffer tag: a required one found, a frame buffer needed: this machine has none",
            field="framebuffer",
        )
    console = header.tag(Multiboot2HeaderTagConsoleFlags)
    flags = console.console_flags if console else 0
    text = machine.platform.vga and flags & ConsoleFlag.EGA_TEXT_SUPPORTED
    if flags & ConsoleFlag.CONSOLE_REQUIRED and not text:
        raise RequestError(
            f"console flags tag: {flags:#x} found, which asks for a console on the screen, "
            "a VGA or a frame buffer needed: this machine has none",
            field="framebuffer",
        )


# Tags are written as pieces, so that they can have fixups and seals, and joined in _information.


def _told(info: BootInfo, modules: list[Piece], rsdp: Ref | None) -> Iterator[Piece]:
    yield _string(TagType.CMDLINE, info.cmdline)
    yield _string(TagType.BOOT_LOADER_NAME, common.LOADER_NAME)
    yield from _modules(info, modules)
    yield from _root_pointers(rsdp)


def _string(kind: TagType, text: bytes) -> Piece:
    tag = Multiboot2Tag(type=kind, size=Multiboot2Tag.SIZE + len(text) + 1)
    return Piece(kind.name, tag.pack() + text + b"\0")


def _modules(info: BootInfo, modules: list[Piece]) -> Iterator[Piece]:
    end = Multiboot2TagModule.FIELDS["mod_end"]
    for module, piece in zip(info.modules, modules, strict=True):
        text = module.cmdline + b"\0"
        tag = Multiboot2TagModule(size=Multiboot2TagModule.SIZE + len(text))
        fixups = (
            pointer(Multiboot2TagModule, "mod_start", piece.name),
            Fixup(end.offset, end.size, Ref(piece.name, len(module.data))),
        )
        yield Piece(piece.name, tag.pack() + text, fixups=fixups)


def _root_pointers(rsdp: Ref | None) -> Iterator[Piece]:
    if rsdp is None or rsdp.piece != acpi.RSDP:
        return
    for kind, revision in ((TagType.ACPI_OLD, 0), (TagType.ACPI_NEW, 2)):
        copy = acpi.root_pointer(revision)
        head = Multiboot2Tag(type=kind, size=Multiboot2Tag.SIZE + copy.length)
        yield _joined(kind.name, [Piece("head", head.pack()), copy])


def _load_base(kernel: list[Piece]) -> Piece:
    lowest = min(kernel, key=lambda piece: piece.at or 0)
    fixup = pointer(Multiboot2TagLoadBaseAddr, "load_base_addr", lowest.name)
    return Piece("load base", Multiboot2TagLoadBaseAddr().pack(), fixups=(fixup,))


def _sections(found: Sections) -> Piece:
    head = Multiboot2TagElfSections(
        size=Multiboot2TagElfSections.SIZE + len(found.headers),
        num=found.num,
        entsize=found.entsize,
        shndx=found.shndx,
    )
    headers = Piece("headers", found.headers, fixups=found.fixups)
    return _joined("ELF sections", [Piece("head", head.pack()), headers])


def _framebuffer(info: BootInfo) -> Iterator[Piece]:
    if info.framebuffer:
        colours = common.rgb(info)
        frame = Multiboot2TagFramebuffer(framebuffer_type=FramebufferType.RGB, **colours)
        yield Piece("frame buffer", frame.pack())


def _joined(name: str, parts: list[Piece]) -> Piece:
    # One piece of several: fixups move along, seals see their own bytes only.
    starts = [0, *accumulate(part.length for part in parts)]
    fixups = [
        fixup.replace(offset=start + fixup.offset)
        for start, part in zip(starts, parts, strict=False)
        for fixup in part.fixups
    ]
    sealed = [(start, part) for start, part in zip(starts, parts, strict=False) if part.seal]

    def seal(data: bytearray) -> None:
        for start, part in sealed:
            own = data[start : start + part.length]
            assert part.seal is not None
            part.seal(own)
            data[start : start + part.length] = own

    joined = b"".join(bytes(part.data) for part in parts)
    return Piece(name, joined, fixups=tuple(fixups), seal=seal if sealed else None)


def _information(tags: list[Piece], machine: Machine) -> Piece:
    # The memory map is the last tag: its length is not known until it is finished.
    parts = [Piece("head", Multiboot2Info().pack())]
    for tag in tags:
        parts += [tag, Piece("padding", bytes(-tag.length % TAG_ALIGN))]
    fixed = _joined(_INFO, parts)
    limit = common.map_limit(machine) * Multiboot2MmapEntry.SIZE
    more = Multiboot2TagBasicMeminfo.SIZE + Multiboot2TagMmap.SIZE + limit + Multiboot2Tag.SIZE

    def late(ranges: tuple[MemoryRange, ...]) -> bytes:
        memory = Multiboot2TagBasicMeminfo(
            mem_lower=common.mem_lower(ranges), mem_upper=common.mem_upper(ranges)
        )
        records = common.records(Multiboot2MmapEntry, ranges)
        head = Multiboot2TagMmap(size=Multiboot2TagMmap.SIZE + len(records))
        rest = memory.pack() + head.pack() + records + Multiboot2Tag(type=TagType.END).pack()
        total = len(fixed.data) + len(rest)
        return Multiboot2Info(total_size=total).pack() + fixed.data[Multiboot2Info.SIZE :] + rest

    piece = common.low(_INFO, kind=Kind.BOOT_INFO, size=fixed.length + more, late=late)
    return piece.replace(fixups=fixed.fixups, seal=fixed.seal)


def _dropped(
    info: BootInfo, machine: Machine, rsdp: Ref | None, sections: Sections | str | None
) -> list[Dropped]:
    dropped = common.dropped(info, machine)
    if (rsdp and rsdp.piece != acpi.RSDP) or (rsdp is None and info.rsdp):
        reason = "copies of it are handed over, and only its address is known"
        dropped.append(Dropped("rsdp", reason))
    if isinstance(sections, str):
        dropped.append(Dropped("ELF sections", sections))
    return dropped
