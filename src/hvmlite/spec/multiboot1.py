"""Multiboot, version 1: the header in the image and the information handed over.

Document: "Multiboot Specification" 0.6.96, sections 3.1 and 3.3; the names are those of its
`multiboot.h`, where unions are written out.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from hvmlite.wire import Struct, u8, u16, u32, u64

__all__ = [
    "BOOTLOADER_MAGIC",
    "HEADER_ALIGN",
    "HEADER_MAGIC",
    "SEARCH",
    "FramebufferType",
    "HeaderFlag",
    "InfoFlag",
    "MultibootHeader",
    "MultibootInfo",
    "MultibootMmapEntry",
    "MultibootModList",
]

HEADER_MAGIC = 0x1BADB002
"""The first word of the header."""
BOOTLOADER_MAGIC = 0x2BADB002
"""What EAX holds at the entry."""
SEARCH = 8192
"""The header lies wholly within so many bytes of the file."""
HEADER_ALIGN = 4
"""The header's place in the file is a multiple of this."""


class HeaderFlag(IntFlag):
    """`flags` of the header; of bits 0-15 a loader must know each that is set."""

    PAGE_ALIGN = 1 << 0
    MEMORY_INFO = 1 << 1
    VIDEO_MODE = 1 << 2
    AOUT_KLUDGE = 1 << 16


class InfoFlag(IntFlag):
    """`flags` of the information: which of its fields are valid."""

    MEMORY = 1 << 0
    BOOTDEV = 1 << 1
    CMDLINE = 1 << 2
    MODS = 1 << 3
    AOUT_SYMS = 1 << 4
    ELF_SHDR = 1 << 5
    MEM_MAP = 1 << 6
    DRIVE_INFO = 1 << 7
    CONFIG_TABLE = 1 << 8
    BOOT_LOADER_NAME = 1 << 9
    APM_TABLE = 1 << 10
    VBE_INFO = 1 << 11
    FRAMEBUFFER_INFO = 1 << 12


class FramebufferType(IntEnum):
    """`framebuffer_type`, the same in both versions."""

    INDEXED = 0
    RGB = 1
    EGA_TEXT = 2


class MultibootHeader(Struct, size=48, c_name="struct multiboot1_header"):
    """The header; the addresses are valid with AOUT_KLUDGE, what follows with VIDEO_MODE."""

    magic: int = u32(0x00, HEADER_MAGIC)
    flags: int = u32(0x04)
    checksum: int = u32(0x08)
    header_addr: int = u32(0x0C)
    load_addr: int = u32(0x10)
    load_end_addr: int = u32(0x14)
    bss_end_addr: int = u32(0x18)
    entry_addr: int = u32(0x1C)
    mode_type: int = u32(0x20)
    width: int = u32(0x24)
    height: int = u32(0x28)
    depth: int = u32(0x2C)


class MultibootInfo(Struct, size=116, c_name="struct multiboot1_info"):
    """The information that EBX points at; the last six fields are those of an RGB frame buffer."""

    flags: int = u32(0x00)
    mem_lower: int = u32(0x04)
    mem_upper: int = u32(0x08)
    boot_device: int = u32(0x0C)
    cmdline: int = u32(0x10)
    mods_count: int = u32(0x14)
    mods_addr: int = u32(0x18)
    elf_sec_num: int = u32(0x1C)
    elf_sec_size: int = u32(0x20)
    elf_sec_addr: int = u32(0x24)
    elf_sec_shndx: int = u32(0x28)
    mmap_length: int = u32(0x2C)
    mmap_addr: int = u32(0x30)
    drives_length: int = u32(0x34)
    drives_addr: int = u32(0x38)
    config_table: int = u32(0x3C)
    boot_loader_name: int = u32(0x40)
    apm_table: int = u32(0x44)
    vbe_control_info: int = u32(0x48)
    vbe_mode_info: int = u32(0x4C)
    vbe_mode: int = u16(0x50)
    vbe_interface_seg: int = u16(0x52)
    vbe_interface_off: int = u16(0x54)
    vbe_interface_len: int = u16(0x56)
    framebuffer_addr: int = u64(0x58)
    framebuffer_pitch: int = u32(0x60)
    framebuffer_width: int = u32(0x64)
    framebuffer_height: int = u32(0x68)
    framebuffer_bpp: int = u8(0x6C)
    framebuffer_type: int = u8(0x6D)
    framebuffer_red_field_position: int = u8(0x6E)
    framebuffer_red_mask_size: int = u8(0x6F)
    framebuffer_green_field_position: int = u8(0x70)
    framebuffer_green_mask_size: int = u8(0x71)
    framebuffer_blue_field_position: int = u8(0x72)
    framebuffer_blue_mask_size: int = u8(0x73)


class MultibootModList(Struct, size=16, c_name="struct multiboot1_mod_list"):
    """A module: from `mod_start` up to, not including, `mod_end`; `cmdline` points at a string."""

    mod_start: int = u32(0x00)
    mod_end: int = u32(0x04)
    cmdline: int = u32(0x08)
    pad: int = u32(0x0C)


class MultibootMmapEntry(Struct, size=24, c_name="struct multiboot1_mmap_entry"):
    """A range of the memory map; `size` counts the bytes after itself."""

    size: int = u32(0x00, 20)
    addr: int = u64(0x04)
    len: int = u64(0x0C)
    type: int = u32(0x14)
