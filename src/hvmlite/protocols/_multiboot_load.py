# Multiboot: what is loaded where and entered, by address fields or as an ELF.
from __future__ import annotations

from typing import NamedTuple

from hvmlite.errors import FormatError
from hvmlite.guest import layout
from hvmlite.model import Image, LoadSegment, Reason, Refusal
from hvmlite.protocols._inside import machine_reasons, unwrap
from hvmlite.spec import elf

__all__ = ["Addresses", "Loaded", "by_addresses", "by_elf", "kernel_of"]

Facts = tuple[tuple[str, str], ...]

_SHOWN = 8
"""So many segments or sections are named in a message: a file can have a thousand."""


class Addresses(NamedTuple):
    """The address fields of a header; `load_end` and `bss_end` may be 0, which means none."""

    header: int
    load: int
    load_end: int
    bss_end: int


class Loaded(NamedTuple):
    """The image with the segments that are to be loaded, and the physical entry address."""

    image: Image
    entry: int
    facts: Facts


def kernel_of(protocol: str, image: Image) -> Image | Refusal:
    """Return the file that the header is looked for in: `image`, or what it wraps.

    A disk is refused: with load addresses in a header it would not have been taken for one, and
    what is found behind the header's place is a boot loader's own.
    """
    if image.disk is not None:
        needed = "an ELF, or a header with load addresses, needed"
        return Refusal(protocol, (Reason("image format", image.format, needed),))
    try:
        return unwrap(image)
    except FormatError as error:
        needed = "a kernel that can be unpacked needed"
        return Refusal(protocol, (Reason("payload", str(error), needed, error.hint),))


def by_addresses(image: Image, offset: int, fields: Addresses, entry: int) -> Loaded | list[Reason]:
    """Load a part of the file in one piece, as the address fields of the header at `offset` say.

    The file is then not read as an ELF, even if it is one.
    """
    start = offset - (fields.header - fields.load)
    size = fields.load_end - fields.load if fields.load_end else len(image.data) - start
    memsz = max(fields.bss_end - fields.load, 0) if fields.bss_end else size
    wrong = _wrong(image, offset, fields, entry, start, size, fields.load + memsz)
    for bad, text in wrong:
        if bad:  # what follows from a wrong field is no news
            return [_address_reason(text)]
    part = image.data[start : start + size]
    segment = LoadSegment(fields.load, fields.load, memsz, part)
    facts = (("loaded by", f"address fields: file offsets {start:#x}-{start + size:#x}"),)
    return Loaded(image.replace(segments=(segment,), sections=()), entry, facts)


def _wrong(
    image: Image, offset: int, fields: Addresses, entry: int, start: int, size: int, end: int
) -> list[tuple[bool, str]]:
    # What can be wrong, and whether it is. `start` and `size` are in the file, `end` in memory.
    return [
        (
            fields.header < fields.load,
            f"header_addr {fields.header:#x}, at or above load_addr {fields.load:#x} needed",
        ),
        (
            fields.load < 0,  # it was to be as far before header_addr as the file is
            f"header_addr {fields.header:#x}, at or above the header's file offset {offset:#x}"
            " needed: all of the file before it is to be loaded",
        ),
        (
            start < 0,
            f"the header at file offset {offset:#x}, {fields.header - fields.load:#x} or more"
            " needed: that much is to be loaded before it",
        ),
        (
            fields.load_end != 0 and fields.load_end <= fields.load,
            f"load_end_addr {fields.load_end:#x}, above load_addr {fields.load:#x} needed",
        ),
        (
            start + size > len(image.data),
            f"file offsets {start:#x}-{start + size:#x}, an end within the file's"
            f" {len(image.data):#x} bytes needed",
        ),
        (
            fields.bss_end != 0 and fields.bss_end < fields.load + size,
            f"bss_end_addr {fields.bss_end:#x}, at or above the end of what is loaded,"
            f" {fields.load + size:#x}, needed",
        ),
        (end > layout.FOUR_GIB, f"an end at {end:#x}, at or below 4 GiB needed"),
        (
            not fields.load <= entry < end,
            f"entry_addr {entry:#x}, an address in {fields.load:#x}-{end:#x} needed",
        ),
    ]


def _address_reason(text: str) -> Reason:
    found, _, needed = text.partition(", ")
    return Reason("address fields", found, needed)


def by_elf(image: Image, entry: int | None = None) -> Loaded | list[Reason]:
    """Load the PT_LOAD segments of an ELF32 or ELF64 to their physical addresses.

    :param entry: a physical entry address that the header states, instead of e_entry
    """
    if image.format != "elf":
        needed = "an ELF needed: the header has no address fields"
        return [Reason("image format", image.format, needed)]
    segments = tuple(segment for segment in image.segments if segment.memsz)
    reasons = [*_header_reasons(image), *_segment_reasons(segments)]
    if reasons:
        return reasons
    found = _entry(image, segments) if entry is None else _stated(entry, segments)
    if isinstance(found, Reason):
        return [found]
    address, facts = found
    return Loaded(image, address, (*facts, *_elf_facts(image)))


def _header_reasons(image: Image) -> list[Reason]:
    reasons = machine_reasons(image)
    type_ = elf.Elf32Ehdr.unpack(image.data, source=image.source).e_type  # alike in both classes
    if type_ not in (elf.EType.EXEC, elf.EType.DYN):
        reasons.append(Reason("ELF type", f"{type_:#x}", "ET_EXEC or ET_DYN needed"))
    return reasons


def _listed(items: list[str]) -> str:
    return ", ".join([*items[:_SHOWN], *(["..."] if len(items) > _SHOWN else [])])


def _segment_reasons(segments: tuple[LoadSegment, ...]) -> list[Reason]:
    if not segments:
        return [Reason("PT_LOAD segments", "none that occupies memory", "at least one needed")]
    beyond = [f"{s.paddr:#x}-{s.end:#x}" for s in segments if s.end > layout.FOUR_GIB]
    if not beyond:
        return []
    return [Reason("PT_LOAD segments", _listed(beyond), "an end at or below 4 GiB needed")]


def _entry(image: Image, segments: tuple[LoadSegment, ...]) -> tuple[int, Facts] | Reason:
    # e_entry is an address as the kernel is linked, p_vaddr; what is entered is its place in
    # p_paddr, as GRUB and QEMU do it. Some kernels are linked high and state a physical e_entry.
    entry = image.entry or 0
    for segment in segments:
        if segment.vaddr <= entry < segment.vaddr + segment.memsz:
            address = segment.paddr + entry - segment.vaddr
            moved = f"e_entry {entry:#x} is virtual, its segment lies at {segment.paddr:#x}"
            return address, () if address == entry else (("entry", moved),)
    if any(segment.paddr <= entry < segment.end for segment in segments):
        return entry, (("entry", f"e_entry {entry:#x} is physical: GRUB would refuse it"),)
    found = f"e_entry {entry:#x} outside {_ranges(segments)}"
    return Reason("entry", found, "an address in a PT_LOAD segment needed")


def _stated(entry: int, segments: tuple[LoadSegment, ...]) -> tuple[int, Facts] | Reason:
    if any(segment.paddr <= entry < segment.end for segment in segments):
        return entry, (("entry", f"{entry:#x} by the header's entry address tag"),)
    ranges = _listed([f"{s.paddr:#x}-{s.end:#x}" for s in segments])
    return Reason(
        "entry address tag",
        f"{entry:#x} outside {ranges}",
        "a physical address in a segment needed",
    )


def _ranges(segments: tuple[LoadSegment, ...]) -> str:
    return _listed([f"{s.vaddr:#x}-{s.vaddr + s.memsz:#x}" for s in segments])


def _elf_facts(image: Image) -> Facts:
    facts = []
    if image.machine == elf.EM_X86_64 or image.data[elf.EI_CLASS] == elf.ELFCLASS64:
        facts.append(("mode", "entered in 32-bit mode, though the file is made for 64-bit mode"))
    relocated = sorted(
        {s.name for s in image.sections if s.type in (elf.ShType.REL, elf.ShType.RELA)}
    )
    if relocated:
        named = f"{_listed(relocated)}: not applied; GRUB refuses such files by multiboot2"
        facts.append(("relocation sections", named))
    return tuple(facts)
