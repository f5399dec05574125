"""Universal images: where their parts are, and what the stub in them is told.

Source: our own ``stub/universal/layout.h`` and ``universal.h``, whose names are kept (a test
compares them); docs/universal.md has the pictures.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from hvmlite.wire import Struct, i64, u32, u64

__all__ = [
    "COMMAND_LINE_MAX",
    "ELF_STUB_OFFSET",
    "HEADER_OFFSET",
    "HEAD_CODE",
    "HEAD_HEADERS",
    "HEAD_ID",
    "HEAD_ID_SIZE",
    "HEAD_SIZE",
    "HEAD_STUB16",
    "PARAMS_MAGIC",
    "PARAMS_OFFSET",
    "PARAMS_VERSION",
    "PAYLOAD_OFFSET",
    "PROTECTED_ELF",
    "PROTECTED_ENTRY32",
    "PROTECTED_ENTRY64",
    "PROTECTED_HANDOVER",
    "STUB16_SIZE",
    "STUB_AT",
    "STUB_MAX",
    "VERSION_AT",
    "VERSION_MAX",
    "KernelKind",
    "Params",
    "ParamsFlag",
]

# Offsets from _start, the stub's first byte.
PARAMS_OFFSET = 0x40
HEADER_OFFSET = 0x140
"""The wrapped kernel's setup header, 0x1F1 to 0x290 of its file."""
STUB16_SIZE = 0x1000
"""Up to here lies what 16-bit mode needs; the head has a copy of it."""
STUB_MAX = 0x6000
PAYLOAD_OFFSET = 0x1F000
"""Command line, initrd, kernel; before it the stub's scratch memory."""

ELF_STUB_OFFSET = 0x1000
"""_start in the ELF file: behind a page of headers."""
VERSION_AT, VERSION_MAX = 0x400, 0x200
"""In that page: the wrapped kernel's version string, with a NUL; the stub does not read it."""

# Offsets in the bzImage-shaped file.
HEAD_ID = 0x1A8
HEAD_ID_SIZE = 16
"""What no other image has: how the boot sector knows the drive that it is on."""
HEAD_HEADERS = 0x290
HEAD_CODE = 0x600
HEAD_STUB16 = 0x1000
HEAD_SIZE = 0x4000
"""The real-mode part; the protected-mode part follows: a page of jumps, and the ELF file."""
PROTECTED_ENTRY32 = 0x000
PROTECTED_HANDOVER = 0x010
"""The 32-bit EFI handover entry; the 64-bit one is 0x200 behind it."""
PROTECTED_ENTRY64 = 0x200
PROTECTED_ELF = 0x1000
STUB_AT = HEAD_SIZE + PROTECTED_ELF + ELF_STUB_OFFSET
"""_start in the bzImage-shaped file."""

PARAMS_MAGIC = 0x554D5648
"""`magic`: "HVMU"."""
PARAMS_VERSION = 1
COMMAND_LINE_MAX = PAYLOAD_OFFSET
"""No kernel takes a longer command line; it bounds what a reader believes."""


class KernelKind(IntEnum):
    """`kernel_kind`: what the wrapped kernel is, hence how it is entered."""

    BZIMAGE64 = 1
    BZIMAGE32 = 2
    ELF64 = 3
    ELF32 = 4


class ParamsFlag(IntFlag):
    """`flags`."""

    RELOCATABLE = 1


class Params(Struct, size=128, c_name="struct params"):
    """What the stub is told of its image; offsets are from _start."""

    magic: int = u32(0x00, PARAMS_MAGIC)
    version: int = u32(0x04, PARAMS_VERSION)
    kernel_kind: int = u32(0x08)
    flags: int = u32(0x0C)
    kernel_offset: int = u64(0x10)
    kernel_size: int = u64(0x18)
    kernel_memory: int = u64(0x20)
    kernel_address: int = u64(0x28)
    kernel_align: int = u64(0x30)
    kernel_entry: int = u64(0x38)
    initrd_offset: int = u64(0x40)
    initrd_size: int = u64(0x48)
    command_line_offset: int = u64(0x50)
    command_line_size: int = u64(0x58)
    image_offset: int = i64(0x60)
    image_size: int = u64(0x68)
    initrd_max: int = u64(0x70)
    command_line_max: int = u32(0x78)
