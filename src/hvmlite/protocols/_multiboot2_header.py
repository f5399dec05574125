# Multiboot2: the header in the image and its tags, taken apart.
from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from hvmlite.model import Image, Reason
from hvmlite.protocols._multiboot_find import Search, find
from hvmlite.protocols._multiboot_load import Addresses
from hvmlite.spec.multiboot2 import (
    ARCHITECTURE_I386,
    HEADER_ALIGN,
    HEADER_MAGIC,
    SEARCH,
    TAG_ALIGN,
    TAG_OPTIONAL,
    HeaderTagType,
    Multiboot2Header,
    Multiboot2HeaderTag,
    Multiboot2HeaderTagAddress,
    Multiboot2HeaderTagConsoleFlags,
    Multiboot2HeaderTagEntryAddress,
    Multiboot2HeaderTagFramebuffer,
    Multiboot2HeaderTagRelocatable,
)

if TYPE_CHECKING:
    from hvmlite.wire import Struct

__all__ = ["Header", "header_of", "read"]

_T = TypeVar("_T", bound="Struct")

_LAYOUTS: dict[int, type[Struct]] = {
    HeaderTagType.ADDRESS: Multiboot2HeaderTagAddress,
    HeaderTagType.ENTRY_ADDRESS: Multiboot2HeaderTagEntryAddress,
    HeaderTagType.CONSOLE_FLAGS: Multiboot2HeaderTagConsoleFlags,
    HeaderTagType.FRAMEBUFFER: Multiboot2HeaderTagFramebuffer,
    HeaderTagType.ENTRY_ADDRESS_EFI32: Multiboot2HeaderTagEntryAddress,
    HeaderTagType.ENTRY_ADDRESS_EFI64: Multiboot2HeaderTagEntryAddress,
    HeaderTagType.RELOCATABLE: Multiboot2HeaderTagRelocatable,
}
"""Tags whose contents matter here; of several of one type the last one counts, as for GRUB."""


class Header:
    """A header: its place in the file, its length, and what its tags say.

    `present` are the types of all tags, `required` of those that are not optional, `tags` those
    whose contents matter. `requests` are types of information, and whether a required tag asks.
    """

    def __init__(self, offset: int, length: int) -> None:
        self.offset = offset
        self.length = length
        self.tags: dict[int, Struct] = {}
        self.present: set[int] = set()
        self.required: set[int] = set()
        self.requests: dict[int, bool] = {}

    def tag(self, layout: type[_T], kind: int | None = None) -> _T | None:
        """Return the tag that has this layout, of type `kind` if several types have it."""
        for number, value in self.tags.items():
            if isinstance(value, layout) and kind in (None, number):
                return value
        return None

    @property
    def addresses(self) -> Addresses | None:
        """The address tag, with the load address that 0xFFFFFFFF stands for."""
        tag = self.tag(Multiboot2HeaderTagAddress)
        if tag is None:
            return None
        whole = tag.load_addr == 0xFFFFFFFF  # "from the beginning of the file on"
        load = tag.header_addr - self.offset if whole else tag.load_addr
        return Addresses(tag.header_addr, load, tag.load_end_addr, tag.bss_end_addr)

    @property
    def entry(self) -> int | None:
        """The address of the entry address tag."""
        tag = self.tag(Multiboot2HeaderTagEntryAddress, HeaderTagType.ENTRY_ADDRESS)
        return None if tag is None else tag.entry_addr


def read(data: memoryview) -> Header | Reason:
    """Find the header in a file and read its tags; a Reason says what is missing or broken."""
    what = "multiboot2 header"
    found = find(
        data, Search(what, HEADER_MAGIC, SEARCH, HEADER_ALIGN, Multiboot2Header.SIZE, _measure)
    )
    if isinstance(found, Reason):
        return found
    length = Multiboot2Header.unpack(data, found).header_length
    header = Header(found, length)
    body = data[found : found + length]
    at = Multiboot2Header.SIZE
    while at + Multiboot2HeaderTag.SIZE <= length:
        tag = Multiboot2HeaderTag.unpack(body, at)
        where = f"tag {tag.type} at file offset {found + at:#x}"
        if not Multiboot2HeaderTag.SIZE <= tag.size <= length - at:
            needed = f"8 or more, and an end within the header's {length:#x} bytes, needed"
            return Reason("multiboot2 header", f"{where} with size {tag.size:#x}", needed)
        if tag.type == HeaderTagType.END:
            return header
        problem = _take(header, tag, body[at : at + tag.size])
        if problem:
            return Reason("multiboot2 header", f"{where} with size {tag.size:#x}", problem)
        at += -(-tag.size // TAG_ALIGN) * TAG_ALIGN
    return Reason(what, f"no end tag in its {length:#x} bytes", "a tag of type 0 needed")


def header_of(image: Image) -> Header:
    """Return the header of an image for which there is an offer."""
    found = read(image.data)
    return Header(0, 0) if isinstance(found, Reason) else found


def _measure(head: bytes) -> int | str:
    header = Multiboot2Header.unpack(head)
    words = (header.magic, header.architecture, header.header_length, header.checksum)
    total = sum(words) & 0xFFFFFFFF
    if total:
        return f"magic, architecture, length and checksum add up to {total:#x}"
    if header.architecture != ARCHITECTURE_I386:
        return f"is for architecture {header.architecture}, not i386 (0)"
    if header.header_length < Multiboot2Header.SIZE:
        return f"has a length of {header.header_length:#x} bytes"
    return header.header_length


def _take(header: Header, tag: Multiboot2HeaderTag, data: memoryview) -> str:
    # Keeps what the tag says; returns what is needed if it is too short for that.
    required = not tag.flags & TAG_OPTIONAL
    header.present.add(tag.type)
    if required:
        header.required.add(tag.type)
    if tag.type == HeaderTagType.INFORMATION_REQUEST:
        words = data[Multiboot2HeaderTag.SIZE :]
        for at in range(0, len(words) // 4 * 4, 4):
            kind = int.from_bytes(words[at : at + 4], "little")
            header.requests[kind] = header.requests.get(kind, False) or required
    layout = _LAYOUTS.get(tag.type)
    if layout is None:
        return ""
    if len(data) < layout.SIZE:
        return f"{layout.SIZE} bytes or more needed"
    header.tags[tag.type] = layout.unpack(data)
    return ""
