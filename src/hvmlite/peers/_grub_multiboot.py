# How GRUB reads multiboot headers (grub-core/loader/i386/multiboot_mbi.c, multiboot_mbi2.c).
from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.model import Reason, Requirement
from hvmlite.peers import _elf, _grub_elf, _multiboot
from hvmlite.spec import multiboot1 as mb1
from hvmlite.spec import multiboot2 as mb2
from hvmlite.spec.multiboot2 import HeaderTagType

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["REQUIREMENTS", "multiboot1", "multiboot2", "warnings"]

_MB1 = "grub-core/loader/i386/multiboot_mbi.c: grub_multiboot_load"
_MB2 = "grub-core/loader/multiboot_mbi2.c: grub_multiboot2_load"
_UNSUPPORTED = 0xFFF8
_OPTIONAL = 1
_GIVEN = 21
"""GRUB knows the information tags up to this one, but for 13."""
_SMBIOS = 13
_MAX_TAGS = 4096
_KNOWN = frozenset(HeaderTagType) - {HeaderTagType.ENTRY_ADDRESS_EFI32}

REQUIREMENTS = {
    "multiboot header": Requirement(
        "multiboot",
        "header",
        "magic 0x1badb002 at a multiple of 4 and a sum of 0 within the first 8192 bytes needed",
        _MB1,
        "no multiboot header found",
    ),
    "multiboot flags": Requirement(
        "multiboot", "flags", "bits 3 to 15 clear needed", _MB1, "unsupported flag"
    ),
    "multiboot mode": Requirement(
        "multiboot",
        "mode_type",
        "0 or 1 needed, if flag 2 asks for a video mode",
        _MB1,
        "unsupported graphical mode type",
    ),
    **{
        f"{way} start": Requirement(
            way,
            "load_addr",
            "a start of what is loaded within the file needed",
            source,
            "attempt to seek outside of the file",
        )
        for way, source in (("multiboot", _MB1), ("multiboot2", _MB2))
    },
    "multiboot2 header": Requirement(
        "multiboot2",
        "header",
        "magic 0xe85250d6 at a multiple of 8, architecture 0 and a sum of 0 within the first 32768"
        " bytes needed",
        _MB2,
        "no multiboot header found",
    ),
    "multiboot2 tags": Requirement(
        "multiboot2", "header tags", "a tag 0 after tags of at least 8 bytes needed", _MB2
    ),
    "multiboot2 tag": Requirement(
        "multiboot2",
        "header tags",
        "no required tag but 1 to 7, 9 and 10 needed",
        _MB2,
        "unsupported tag",
    ),
    "multiboot2 request": Requirement(
        "multiboot2",
        "information request",
        "no required information tag but 0 to 12 and 14 to 21 needed",
        _MB2,
        "unsupported information tag",
    ),
    "multiboot2 entry": Requirement(
        "multiboot2",
        "address tag",
        "an entry address tag (3) as well needed",
        _MB2,
        "load address tag without entry address tag",
    ),
    "multiboot2 range": Requirement(
        "multiboot2",
        "relocatable tag",
        "room for the image between min_addr and max_addr needed",
        _MB2,
        "invalid min/max address and/or load size",
    ),
}


def _find1(data: memoryview) -> int | None:
    end = min(len(data), mb1.SEARCH) - 11
    if len(data) < 32:
        return None
    return next(_multiboot.headers(data, mb1.HEADER_MAGIC, words=3, end=end, align=4), None)


def _find2(data: memoryview) -> int | None:
    end = min(len(data), mb2.SEARCH) - 11
    if len(data) < 32:
        return None
    for at in _multiboot.headers(data, mb2.HEADER_MAGIC, words=4, end=end, align=8):
        if _multiboot.word(data, at + 4) == mb2.ARCHITECTURE_I386:
            return at
    return None


def multiboot1(data: memoryview) -> list[Reason]:
    """Return why `multiboot` would not load the file."""
    at = _find1(data)
    if at is None:
        near = _multiboot.nearest(data, mb1.HEADER_MAGIC, words=3, align=4)
        return [REQUIREMENTS["multiboot header"].unmet(f"none{near}")]
    flags = _multiboot.word(data, at + 4)
    if flags & _UNSUPPORTED:
        return [REQUIREMENTS["multiboot flags"].unmet(f"{flags:#x}")]
    if flags & mb1.HeaderFlag.AOUT_KLUDGE:
        reason = _start("multiboot", data, at, at + 12)
    else:
        reason = _grub_elf.refusal("multiboot", data)
    if reason is not None:
        return [reason]
    mode = _multiboot.word(data, at + 32)
    if flags & mb1.HeaderFlag.VIDEO_MODE and mode > 1:
        return [REQUIREMENTS["multiboot mode"].unmet(f"{mode}")]
    return []


def multiboot2(data: memoryview) -> list[Reason]:
    """Return why `multiboot2` would not load the file."""
    at = _find2(data)
    if at is None:
        near = _multiboot.nearest(data, mb2.HEADER_MAGIC, words=4, align=8)
        return [REQUIREMENTS["multiboot2 header"].unmet(f"none{near}")]
    tags: dict[int, int] = {}
    for tag in _tags(data, at):
        if isinstance(tag, Reason):
            return [tag]
        kind, flags, place, size = tag
        tags[kind] = place
        if not flags & _OPTIONAL:
            if kind == HeaderTagType.INFORMATION_REQUEST:
                if (reason := _request(data, place, size)) is not None:
                    return [reason]
            elif kind not in _KNOWN:
                return [REQUIREMENTS["multiboot2 tag"].unmet(f"{kind} at {place:#x}")]
    return _load(data, at, tags)


def _start(way: str, data: memoryview, at: int, fields: int) -> Reason | None:
    # header_addr and load_addr are at `fields`; a load_addr of -1 is the start of the file.
    header_addr, load_addr = (_multiboot.word(data, fields + offset) for offset in (0, 4))
    start = at - (header_addr - load_addr)
    if way == "multiboot2" and load_addr == 0xFFFFFFFF:
        start = 0
    if 0 <= start <= len(data):
        return None
    return REQUIREMENTS[f"{way} start"].unmet(f"{start:#x}")


def _tags(data: memoryview, at: int) -> Iterator[tuple[int, int, int, int] | Reason]:
    # (type, flags, place, size) up to the end tag; GRUB does not look at header_length.
    place = at + mb2.Multiboot2Header.SIZE
    for _ in range(_MAX_TAGS):
        head = _multiboot.word(data, place)
        kind, flags = head & 0xFFFF, head >> 16
        if place + mb2.Multiboot2HeaderTag.SIZE > min(len(data), mb2.SEARCH):
            break
        if kind == HeaderTagType.END:
            return
        size = _multiboot.word(data, place + 4)
        if size == 0:
            break
        yield kind, flags, place, size
        place += _elf.align_up(size, 8)
    yield REQUIREMENTS["multiboot2 tags"].unmet(f"none that ends them, to {place:#x}")


def _request(data: memoryview, place: int, size: int) -> Reason | None:
    for at in range(place + 8, min(place + size, len(data)) - 3, 4):
        wanted = _multiboot.word(data, at)
        if wanted > _GIVEN or wanted == _SMBIOS:
            return REQUIREMENTS["multiboot2 request"].unmet(f"{wanted}")
    return None


def _load(data: memoryview, at: int, tags: dict[int, int]) -> list[Reason]:
    if (place := tags.get(HeaderTagType.ADDRESS)) is not None:
        if HeaderTagType.ENTRY_ADDRESS not in tags:
            return [REQUIREMENTS["multiboot2 entry"].unmet("none")]
        reason = _start("multiboot2", data, at, place + 8)
        return [] if reason is None else [reason]
    if (reason := _grub_elf.refusal("multiboot2", data)) is not None:
        return [reason]
    if (place := tags.get(HeaderTagType.RELOCATABLE)) is not None:
        ehdr = _elf.header(data)
        assert ehdr is not None
        low, high = _grub_elf.extent(_elf.program_headers(data, ehdr))
        least, most = _multiboot.word(data, place + 8), _multiboot.word(data, place + 12)
        size = (high - low) & 0xFFFFFFFF
        if size > most or least > most - size:
            found = f"{size:#x} bytes in {least:#x}-{most:#x}"
            return [REQUIREMENTS["multiboot2 range"].unmet(found)]
    return []


def warnings(data: memoryview, ways: tuple[str, ...]) -> Iterator[str]:
    """Yield what a user should know of a file that is loaded."""
    ehdr = _elf.header(data)
    at = _find1(data)
    kludge = at is not None and _multiboot.word(data, at + 4) & mb1.HeaderFlag.AOUT_KLUDGE
    if ehdr is None or ("multiboot" in ways and kludge):
        return
    for phdr in _elf.loads(_elf.program_headers(data, ehdr)):
        if phdr.p_vaddr <= ehdr.e_entry < phdr.p_vaddr + phdr.p_memsz:
            if phdr.p_vaddr != phdr.p_paddr:
                entry = ehdr.e_entry - phdr.p_vaddr + phdr.p_paddr
                yield f"e_entry {ehdr.e_entry:#x} is virtual: the entry will be {entry:#x}"
            return
