# Multiboot2: does an image offer the i386 entry, where, and if not, why.
from __future__ import annotations

from hvmlite.guest import layout
from hvmlite.model import Image, LoadSegment, Offer, Preference, Reason, Refusal, Relocation
from hvmlite.protocols._multiboot2_header import Header, read
from hvmlite.protocols._multiboot_load import Loaded, by_addresses, by_elf, kernel_of
from hvmlite.spec.multiboot2 import (
    HeaderTagType,
    LoadPreference,
    Multiboot2HeaderTagFramebuffer,
    Multiboot2HeaderTagRelocatable,
    TagType,
)

__all__ = ["NAME", "given", "offers"]

NAME = "multiboot2"

_SHOWN = 8
"""So many unknown types are named in one message."""
_NO_FIRMWARE = "no UEFI boot services on a machine without firmware"
_PREFERENCES = {
    LoadPreference.NONE: Preference.LINKED,
    LoadPreference.LOW: Preference.LOWEST,
    LoadPreference.HIGH: Preference.HIGHEST,
}
_TAG_NAMES: dict[int, str] = {
    TagType.END: "end",
    TagType.CMDLINE: "command line",
    TagType.BOOT_LOADER_NAME: "boot loader name",
    TagType.MODULE: "modules",
    TagType.BASIC_MEMINFO: "basic memory information",
    TagType.BOOTDEV: "BIOS boot device",
    TagType.MMAP: "memory map",
    TagType.VBE: "VBE information",
    TagType.FRAMEBUFFER: "frame buffer",
    TagType.ELF_SECTIONS: "ELF sections",
    TagType.APM: "APM table",
    TagType.EFI32: "EFI 32-bit system table",
    TagType.EFI64: "EFI 64-bit system table",
    TagType.SMBIOS: "SMBIOS tables",
    TagType.ACPI_OLD: "ACPI old RSDP",
    TagType.ACPI_NEW: "ACPI new RSDP",
    TagType.NETWORK: "networking information",
    TagType.EFI_MMAP: "EFI memory map",
    TagType.EFI_BS: "EFI boot services not terminated",
    TagType.EFI32_IH: "EFI 32-bit image handle",
    TagType.EFI64_IH: "EFI 64-bit image handle",
    TagType.LOAD_BASE_ADDR: "image load base address",
}
given = frozenset(
    {
        TagType.END,
        TagType.CMDLINE,
        TagType.BOOT_LOADER_NAME,
        TagType.MODULE,
        TagType.BASIC_MEMINFO,
        TagType.MMAP,
        TagType.FRAMEBUFFER,
        TagType.ELF_SECTIONS,
        TagType.ACPI_OLD,
        TagType.ACPI_NEW,
        TagType.LOAD_BASE_ADDR,
    }
)
"""Information that a machine without firmware has; all other types are firmware's to give."""


def offers(image: Image) -> Offer | Refusal:
    """Look for the header in the first 32768 bytes of the file, or of what a compressed file holds.

    With an address tag the file is loaded as it says; else it must be an ELF, of 32 or 64 bits.
    The EFI entries are never offered: they need UEFI's boot services.

    :param image: what :mod:`hvmlite.images` made of the file; a compressed one is unpacked
    """
    kernel = kernel_of(NAME, image)
    if isinstance(kernel, Refusal):
        return kernel
    header = read(kernel.data)
    if isinstance(header, Reason):
        return Refusal(NAME, (header,))
    reasons = _tag_reasons(header)
    loaded = _load(kernel, header)
    if isinstance(loaded, list):
        reasons += loaded
    if reasons or isinstance(loaded, list):
        return Refusal(NAME, tuple(reasons))
    segments = [segment for segment in loaded.image.segments if segment.memsz]
    relocation, more = _relocation(header, segments)
    if isinstance(more, Reason):
        return Refusal(NAME, (more,))
    where = f"at file offset {header.offset:#x}, {header.length:#x} bytes"
    return Offer(
        protocol=NAME,
        entry=loaded.entry,
        image=loaded.image,
        nested=kernel is not image,
        needs=_needs(segments, relocation),
        relocation=relocation,
        facts=(("header", where), *loaded.facts, *more, *_tag_facts(header)),
    )


def _load(kernel: Image, header: Header) -> Loaded | list[Reason]:
    fields = header.addresses
    if fields is None:
        return by_elf(kernel, header.entry)
    if header.entry is None:
        needed = "an entry address tag beside it needed"
        return [Reason("multiboot2 header", "an address tag alone", needed)]
    return by_addresses(kernel, header.offset, fields, header.entry)


def _tag_reasons(header: Header) -> list[Reason]:
    reasons = []
    if HeaderTagType.EFI_BS in header.required:
        found = f"required tag {HeaderTagType.EFI_BS:d} (EFI boot services)"
        needed = f"an optional one needed: {_NO_FIRMWARE}"
        reasons.append(Reason("multiboot2 header", found, needed))
    tags = header.required - set(HeaderTagType)
    asked = {k for k, required in header.requests.items() if required} - set(_TAG_NAMES)
    for what, unknown, word, last in (
        ("multiboot2 header", tags, "required tag", max(HeaderTagType)),
        ("information request", asked, "required type", max(_TAG_NAMES)),
    ):
        if unknown:
            needed = f"a type from 0 to {last:d} needed: this loader knows no other"
            reasons.append(Reason(what, f"{word} {_numbers(unknown)}", needed))
    return reasons


def _numbers(kinds: set[int]) -> str:
    # A header has room for 8000 of them.
    shown = [str(kind) for kind in sorted(kinds)]
    return ", ".join([*shown[:_SHOWN], *(["..."] if len(shown) > _SHOWN else [])])


def _tag_facts(header: Header) -> tuple[tuple[str, str], ...]:
    closed = {
        HeaderTagType.EFI_BS: "EFI boot services",
        HeaderTagType.ENTRY_ADDRESS_EFI32: "EFI i386 entry",
        HeaderTagType.ENTRY_ADDRESS_EFI64: "EFI amd64 entry",
    }
    facts = [
        (name, f"closed: {_NO_FIRMWARE}") for kind, name in closed.items() if kind in header.present
    ]
    for kind, required in sorted(header.requests.items()):
        if kind in given or kind not in _TAG_NAMES:
            continue
        name = _TAG_NAMES[kind]
        how = "required" if required else "optional"
        text = f"type {kind} ({name}), {how}: this machine has none, so none is given"
        facts.append(("information request", text))
    if unknown := set(header.requests) - set(_TAG_NAMES):
        facts.append(("information request", f"type {_numbers(unknown)}, optional and not known"))
    mode = header.tag(Multiboot2HeaderTagFramebuffer)
    if mode is not None:
        how = "required" if HeaderTagType.FRAMEBUFFER in header.required else "optional"
        size = f"{mode.width}x{mode.height}x{mode.depth}"
        size = size if mode.width or mode.height or mode.depth else "no preference"
        facts.append(("framebuffer tag", f"{size}, {how}"))
    if ignored := header.present - set(HeaderTagType):
        facts.append(("ignored tag", f"type {_numbers(ignored)}, optional and not known"))
    return tuple(facts)


def _relocation(
    header: Header, segments: list[LoadSegment]
) -> tuple[Relocation | None, tuple[tuple[str, str], ...] | Reason]:
    tag = header.tag(Multiboot2HeaderTagRelocatable)
    if tag is None:
        return None, ()
    base, end = min(s.paddr for s in segments), max(s.end for s in segments)
    align, lowest, highest = max(tag.align, 1), tag.min_addr, tag.max_addr - 1
    start = -(-lowest // align) * align
    if start + end - base > tag.max_addr:
        found = f"{end - base:#x} bytes do not fit {tag.min_addr:#x}-{tag.max_addr:#x}"
        if HeaderTagType.RELOCATABLE in header.required:
            needed = "room for the image between min_addr and max_addr needed"
            return None, Reason("relocatable tag", found, needed)
        return None, (("relocatable tag", f"ignored: {found}"),)
    try:
        preference = _PREFERENCES[LoadPreference(tag.preference)]
    except ValueError:
        preference = Preference.LINKED
    allowed = lowest <= base and end <= tag.max_addr and base % align == 0
    if preference is Preference.LINKED and not allowed:
        preference = Preference.LOWEST
    return Relocation(align, lowest, highest, preference), ()


def _needs(segments: list[LoadSegment], relocation: Relocation | None) -> int:
    # The end of RAM that would do: an image that may be moved needs no more than its lowest place.
    base, end = min(s.paddr for s in segments), max(s.end for s in segments)
    if relocation is None:
        return end
    start = max(relocation.lowest, layout.HIGH_MEMORY)
    return min(end, -(-start // relocation.align) * relocation.align + end - base)
