"""The ELF notes of Xen guests.

Source: Xen ``xen/include/public/elfnote.h``; names are XEN_ELFNOTE_* without that prefix.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["ELFNOTE_NAME", "NUMERIC_NOTES", "STRING_NOTES", "ElfNote"]

ELFNOTE_NAME = "Xen"
"""The name (owner) of these notes."""


class ElfNote(IntEnum):
    """Types of notes whose name is "Xen"."""

    INFO = 0
    ENTRY = 1
    HYPERCALL_PAGE = 2
    VIRT_BASE = 3
    PADDR_OFFSET = 4
    XEN_VERSION = 5
    GUEST_OS = 6
    GUEST_VERSION = 7
    LOADER = 8
    PAE_MODE = 9
    FEATURES = 10
    BSD_SYMTAB = 11
    HV_START_LOW = 12
    L1_MFN_VALID = 13
    SUSPEND_CANCEL = 14
    INIT_P2M = 15
    MOD_START_PFN = 16
    SUPPORTED_FEATURES = 17
    PHYS32_ENTRY = 18
    PHYS32_RELOC = 19
    CRASH_INFO = 0x1000001
    CRASH_REGS = 0x1000002
    DUMPCORE_NONE = 0x2000000
    DUMPCORE_HEADER = 0x2000001
    DUMPCORE_XEN_VERSION = 0x2000002
    DUMPCORE_FORMAT_VERSION = 0x2000003


NUMERIC_NOTES = frozenset(
    {
        ElfNote.ENTRY,
        ElfNote.HYPERCALL_PAGE,
        ElfNote.VIRT_BASE,
        ElfNote.PADDR_OFFSET,
        ElfNote.HV_START_LOW,
        ElfNote.SUSPEND_CANCEL,
        ElfNote.INIT_P2M,
        ElfNote.MOD_START_PFN,
        ElfNote.SUPPORTED_FEATURES,
        ElfNote.PHYS32_ENTRY,
    }
)
"""Notes that hold one number of 4 or 8 bytes."""

STRING_NOTES = frozenset(
    {
        ElfNote.XEN_VERSION,
        ElfNote.GUEST_OS,
        ElfNote.GUEST_VERSION,
        ElfNote.LOADER,
        ElfNote.PAE_MODE,
        ElfNote.FEATURES,
        ElfNote.BSD_SYMTAB,
    }
)
"""Notes that hold a NUL-terminated text."""
