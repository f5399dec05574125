# Multiboot 1: what lies in guest memory and in the registers when the kernel is entered.
from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hvmlite.guest import segments
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
from hvmlite.protocols._multiboot1_offer import header_of
from hvmlite.protocols._multiboot_sections import Sections, sections_of
from hvmlite.protocols._pieces import check_lines, elf_kernel, entry_ref, pointer
from hvmlite.spec.multiboot1 import (
    BOOTLOADER_MAGIC,
    FramebufferType,
    HeaderFlag,
    InfoFlag,
    MultibootInfo,
    MultibootMmapEntry,
    MultibootModList,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["encode"]

_INFO = "multiboot information"
_COMMAND_LINE = "command line"
_LOADER_NAME = "boot loader name"
_MODULE_LIST = "module list"
_MEMORY_MAP = "memory map"
_SECTIONS = "ELF section headers"


def encode(offer: Offer, info: BootInfo, machine: Machine, rsdp: Ref | None) -> Entry:
    """Lay out what the document asks for: kernel, information and what it points at, CPU state.

    Memory sizes and map, command line, modules, ELF sections, loader name and a frame buffer are
    told. Boot device, drives, configuration table, APM and VBE are a BIOS's to tell, and absent.

    :param rsdp: the document has no field for it; it is found by the EBDA, as on a PC
    :raises RequestError: a command line has a NUL in it
    """
    check_lines(info, None)
    kernel = elf_kernel(offer.image, whole=False)
    gdt = segments.gdt(segments.CODE32, segments.DATA32, segments.TSS)
    modules, moves = common.module_pieces(offer, info, machine)
    window = common.module_window(offer, machine, 0)
    sections = sections_of(offer.image, window) if offer.image.sections else None
    listed = sections if isinstance(sections, Sections) else None
    firmware = common.bios_pieces(offer, machine, rsdp)
    pieces = [*kernel, *firmware, gdt, *modules, *_module_list(info, modules), _memory_map(machine)]
    pieces.append(common.low(_COMMAND_LINE, info.cmdline + b"\0", Kind.COMMAND_LINE))
    pieces.append(common.low(_LOADER_NAME, common.LOADER_NAME + b"\0"))
    if listed:
        headers = common.low(_SECTIONS, listed.headers)
        pieces += [*listed.pieces, headers.replace(fixups=listed.fixups)]
    pieces.append(_information(info, listed))
    return Entry(
        protocol=offer.protocol,
        pieces=tuple(pieces),
        cpu=common.cpu(gdt, BOOTLOADER_MAGIC),
        registers={
            "rip": entry_ref(kernel, offer.entry),
            "rbx": Ref(_INFO),
            "gdtr": Ref(gdt.name),
        },
        relocations=moves,
        dropped=(*_rsdp_dropped(info, rsdp, firmware), *_dropped(offer, info, machine, sections)),
    )


def _module_list(info: BootInfo, modules: list[Piece]) -> Iterable[Piece]:
    # The list and a string for each module, empty or not: kernels follow the pointer unasked.
    records, fixups = [], []
    for number, (module, piece) in enumerate(zip(info.modules, modules, strict=True)):
        line = f"module {number} {_COMMAND_LINE}"
        yield common.low(line, module.cmdline + b"\0", Kind.COMMAND_LINE)
        start = number * MultibootModList.SIZE
        end = MultibootModList.FIELDS["mod_end"]
        fixups.append(pointer(MultibootModList, "mod_start", piece.name, start))
        fixups.append(Fixup(start + end.offset, end.size, Ref(piece.name, len(module.data))))
        fixups.append(pointer(MultibootModList, "cmdline", line, start))
        records.append(MultibootModList().pack())
    if records:
        yield common.low(_MODULE_LIST, b"".join(records)).replace(fixups=tuple(fixups))


def _memory_map(machine: Machine) -> Piece:
    size = common.map_limit(machine) * MultibootMmapEntry.SIZE
    late = partial(common.records, MultibootMmapEntry)
    return common.low(_MEMORY_MAP, kind=Kind.MEMORY_MAP, size=size, late=late)


def _information(info: BootInfo, sections: Sections | None) -> Piece:
    flags = InfoFlag.MEMORY | InfoFlag.CMDLINE | InfoFlag.MEM_MAP | InfoFlag.BOOT_LOADER_NAME
    pointers = {
        "cmdline": _COMMAND_LINE,
        "mmap_addr": _MEMORY_MAP,
        "boot_loader_name": _LOADER_NAME,
    }
    fields: dict[str, int] = {}
    if info.modules:
        flags |= InfoFlag.MODS
        pointers["mods_addr"] = _MODULE_LIST
        fields["mods_count"] = len(info.modules)
    if sections:
        flags |= InfoFlag.ELF_SHDR
        pointers["elf_sec_addr"] = _SECTIONS
        fields |= {
            "elf_sec_num": sections.num,
            "elf_sec_size": sections.entsize,
            "elf_sec_shndx": sections.shndx,
        }
    if info.framebuffer:
        flags |= InfoFlag.FRAMEBUFFER_INFO
        fields |= {"framebuffer_type": FramebufferType.RGB, **common.rgb(info)}
    start = MultibootInfo(flags=flags, **fields)

    def late(ranges: tuple[MemoryRange, ...]) -> bytes:
        return start.replace(
            mem_lower=common.mem_lower(ranges),
            mem_upper=common.mem_upper(ranges),
            mmap_length=len(ranges) * MultibootMmapEntry.SIZE,
        ).pack()

    fixups = tuple(pointer(MultibootInfo, field, name) for field, name in pointers.items())
    return common.low(_INFO, size=MultibootInfo.SIZE, late=late).replace(fixups=fixups)


def _rsdp_dropped(
    info: BootInfo, rsdp: Ref | None, firmware: tuple[Piece, ...]
) -> Iterable[Dropped]:
    # It is found by the EBDA, whose address is in the BIOS data area, or not at all.
    if not (rsdp and firmware) and (rsdp or info.rsdp):
        yield Dropped("rsdp", "there is no field for it, and no BIOS data area that leads to it")


def _dropped(
    offer: Offer, info: BootInfo, machine: Machine, sections: Sections | str | None
) -> list[Dropped]:
    dropped = common.dropped(info, machine)
    if header_of(offer.image).flags & HeaderFlag.VIDEO_MODE and info.framebuffer is None:
        dropped.append(Dropped("framebuffer", "the kernel asks for a video mode, there is none"))
    if isinstance(sections, str):
        dropped.append(Dropped("ELF sections", sections))
    return dropped
