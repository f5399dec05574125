# Multiboot 1: does an image offer the entry, where, and if not, why.
from __future__ import annotations

from hvmlite.model import Image, Offer, Reason, Refusal
from hvmlite.protocols._multiboot_find import Search, find
from hvmlite.protocols._multiboot_load import Addresses, by_addresses, by_elf, kernel_of
from hvmlite.spec.multiboot1 import (
    HEADER_ALIGN,
    HEADER_MAGIC,
    SEARCH,
    HeaderFlag,
    MultibootHeader,
)

__all__ = ["NAME", "header_of", "offers"]

NAME = "multiboot1"

_REQUIRED = 0xFFFF
_KNOWN = HeaderFlag.PAGE_ALIGN | HeaderFlag.MEMORY_INFO | HeaderFlag.VIDEO_MODE
_LEAST = 12  # magic, flags and checksum are always there, the rest as flags say


def offers(image: Image) -> Offer | Refusal:
    """Look for the header in the first 8192 bytes of the file, or of what a compressed file holds.

    With address fields the file is loaded as they say; else it must be an ELF, of 32 or 64 bits.

    :param image: what :mod:`hvmlite.images` made of the file; a compressed one is unpacked
    """
    kernel = kernel_of(NAME, image)
    if isinstance(kernel, Refusal):
        return kernel
    found = _find(kernel)
    if isinstance(found, Reason):
        return Refusal(NAME, (found,))
    header = _unpack(kernel, found)
    unknown = header.flags & _REQUIRED & ~_KNOWN
    if unknown:
        bits = ", ".join(str(bit) for bit in range(16) if unknown >> bit & 1)
        needed = "none but 0, 1 and 2 of the bits below 16, which a loader must know, needed"
        return Refusal(NAME, (Reason("header flags", f"bits {bits} of {header.flags:#x}", needed),))
    if header.flags & HeaderFlag.AOUT_KLUDGE:
        fields = Addresses(
            header.header_addr, header.load_addr, header.load_end_addr, header.bss_end_addr
        )
        loaded = by_addresses(kernel, found, fields, header.entry_addr)
    else:
        loaded = by_elf(kernel)
    if isinstance(loaded, list):
        return Refusal(NAME, tuple(loaded))
    facts = [("header", f"at file offset {found:#x}, flags {header.flags:#x}"), *loaded.facts]
    if header.flags & HeaderFlag.VIDEO_MODE:
        facts.append(("video mode", f"{_mode(header)} is asked for; a kernel must do without"))
    return Offer(
        protocol=NAME,
        entry=loaded.entry,
        image=loaded.image,
        nested=kernel is not image,
        needs=max(segment.end for segment in loaded.image.segments),
        facts=tuple(facts),
    )


def header_of(image: Image) -> MultibootHeader:
    """Return the header of an image for which there is an offer."""
    found = _find(image)
    return MultibootHeader() if isinstance(found, Reason) else _unpack(image, found)


def _find(image: Image) -> int | Reason:
    search = Search("multiboot header", HEADER_MAGIC, SEARCH, HEADER_ALIGN, _LEAST, _measure)
    return find(image.data, search)


def _measure(head: bytes) -> int | str:
    header = MultibootHeader.unpack(head.ljust(MultibootHeader.SIZE, b"\0"))
    total = (header.magic + header.flags + header.checksum) & 0xFFFFFFFF
    if total:
        return f"magic, flags and checksum add up to {total:#x}"
    if header.flags & HeaderFlag.VIDEO_MODE:
        return MultibootHeader.SIZE
    if header.flags & HeaderFlag.AOUT_KLUDGE:
        return MultibootHeader.FIELDS["mode_type"].offset
    return _LEAST


def _unpack(image: Image, offset: int) -> MultibootHeader:
    data = bytes(image.data[offset : offset + MultibootHeader.SIZE])
    return MultibootHeader.unpack(data.ljust(MultibootHeader.SIZE, b"\0"))


def _mode(header: MultibootHeader) -> str:
    kind = "text" if header.mode_type == 1 else "graphics"
    size = "x".join(str(n) for n in (header.width, header.height, header.depth) if n)
    return f"{kind} {size}" if size else kind
