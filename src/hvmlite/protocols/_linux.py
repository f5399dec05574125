# What a Linux kernel asks for, by whatever protocol it is started.
from __future__ import annotations

from hvmlite.spec.linux import NOTE_NAME, SetupHeader, Version
from hvmlite.spec.xen import ELFNOTE_NAME, ElfNote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.model import Image

__all__ = ["cmdline_limit", "is_linux", "needs"]

_COMMAND_LINE_SIZE = 2048
"""Bytes that the kernel copies, the NUL among them (COMMAND_LINE_SIZE in asm/setup.h)."""

_LONGEST = 0xFFFF
"""No kernel takes more: a wild header may not make us set gigabytes aside."""


def is_linux(image: Image) -> bool:
    """Whether an ELF is Linux by its own notes: owner "Linux", or Xen's GUEST_OS."""
    return any(
        note.name == NOTE_NAME
        or (note.name, note.type, note.desc) == (ELFNOTE_NAME, ElfNote.GUEST_OS, b"linux\0")
        for note in image.notes
    )


def cmdline_limit(header: object) -> int:
    """Return the longest command line in bytes without its NUL; 2.06 headers state it."""
    stated = 0
    if isinstance(header, SetupHeader) and header.version >= Version.V2_06:
        stated = min(header.cmdline_size, _LONGEST)
    return stated or _COMMAND_LINE_SIZE - 1


def needs(header: object) -> int:
    """Return where the memory ends that a bzImage says it needs to start; 0 if it says nothing.

    That is `init_size` bytes from where it runs if it is free to choose (`pref_address`), 2.10.
    """
    if isinstance(header, SetupHeader) and header.version >= Version.V2_10:
        return header.pref_address + header.init_size
    return 0
