# What an image starts: Linux, of which architecture, or something else.
from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.errors import FormatError
from hvmlite.matrix.result import GuestKind
from hvmlite.spec.elf import EM_386
from hvmlite.spec.linux import NOTE_NAME, SetupHeader, Version, XLoadFlags
from hvmlite.spec.xen import ELFNOTE_NAME, ElfNote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hvmlite.model import Image, Note

__all__ = ["kind"]


def kind(image: Image) -> GuestKind:
    # The kernel's own ELF file says its architecture; where it cannot be unpacked the header does.
    layers = list(_layers(image))
    if not any(map(_has_note, layers)) and not _is_bzimage(layers):
        return GuestKind.OTHER
    for layer in reversed(layers):
        if layer.machine is not None:
            return GuestKind.LINUX_I386 if layer.machine == EM_386 else GuestKind.LINUX_AMD64
    headers = [layer.header for layer in layers if isinstance(layer.header, SetupHeader)]
    if any(_has_64_bit_entry(header) for header in headers):
        return GuestKind.LINUX_AMD64
    return GuestKind.LINUX_I386


def _layers(image: Image) -> Iterator[Image]:
    yield image
    while image.payload is not None:
        try:
            image = image.payload.image
        except FormatError:
            return
        yield image


def _has_note(image: Image) -> bool:
    return any(map(_of_linux, image.notes))


def _is_bzimage(layers: list[Image]) -> bool:
    # Others use Linux's boot protocol, too (memtest86+, iPXE); they have no kernel inside.
    for number, layer in enumerate(layers):
        if isinstance(layer.header, SetupHeader) and layer.payload is not None:
            unpacked = number + 1 < len(layers)
            return unpacked or layer.payload.found == "header"
    return False


def _of_linux(note: Note) -> bool:
    # Its own notes, or what it tells Xen.
    guest_os = (ELFNOTE_NAME, ElfNote.GUEST_OS, b"linux\0")
    return note.name == NOTE_NAME or (note.name, note.type, note.desc) == guest_os


def _has_64_bit_entry(header: SetupHeader) -> bool:
    return header.version >= Version.V2_12 and bool(header.xloadflags & XLoadFlags.XLF_KERNEL_64)
