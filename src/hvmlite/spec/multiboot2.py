"""Multiboot2: the header and its tags in the image, the information tags handed over.

Document: "Multiboot2 Specification" 2.0, sections 3.1 and 3.6; the names are those of its
`multiboot2.h`, where unions are written out. Where the text and that header disagree about the
width of a field (ELF sections, frame buffer), the header counts: loaders and kernels are built
with it.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from hvmlite.wire import Struct, u8, u16, u32, u64

__all__ = [
    "ARCHITECTURE_I386",
    "BOOTLOADER_MAGIC",
    "HEADER_ALIGN",
    "HEADER_MAGIC",
    "SEARCH",
    "TAG_ALIGN",
    "TAG_OPTIONAL",
    "ConsoleFlag",
    "HeaderTagType",
    "LoadPreference",
    "Multiboot2Header",
    "Multiboot2HeaderTag",
    "Multiboot2HeaderTagAddress",
    "Multiboot2HeaderTagConsoleFlags",
    "Multiboot2HeaderTagEntryAddress",
    "Multiboot2HeaderTagFramebuffer",
    "Multiboot2HeaderTagRelocatable",
    "Multiboot2Info",
    "Multiboot2MmapEntry",
    "Multiboot2Tag",
    "Multiboot2TagBasicMeminfo",
    "Multiboot2TagElfSections",
    "Multiboot2TagFramebuffer",
    "Multiboot2TagLoadBaseAddr",
    "Multiboot2TagMmap",
    "Multiboot2TagModule",
    "TagType",
]

HEADER_MAGIC = 0xE85250D6
"""The first word of the header."""
BOOTLOADER_MAGIC = 0x36D76289
"""What EAX holds at the entry."""
SEARCH = 32768
"""The header lies wholly within so many bytes of the file."""
HEADER_ALIGN = 8
"""The header's place in the file is a multiple of this."""
TAG_ALIGN = 8
"""Every tag, of the header and of the information, starts at a multiple of this."""
ARCHITECTURE_I386 = 0
"""32-bit protected mode of i386; the other known one is MIPS."""
TAG_OPTIONAL = 1
"""`flags` of a header tag: a loader that cannot do what it says may ignore it."""


class HeaderTagType(IntEnum):
    """Types of the header's tags."""

    END = 0
    INFORMATION_REQUEST = 1
    ADDRESS = 2
    ENTRY_ADDRESS = 3
    CONSOLE_FLAGS = 4
    FRAMEBUFFER = 5
    MODULE_ALIGN = 6
    EFI_BS = 7
    ENTRY_ADDRESS_EFI32 = 8
    ENTRY_ADDRESS_EFI64 = 9
    RELOCATABLE = 10


class TagType(IntEnum):
    """Types of the information's tags."""

    END = 0
    CMDLINE = 1
    BOOT_LOADER_NAME = 2
    MODULE = 3
    BASIC_MEMINFO = 4
    BOOTDEV = 5
    MMAP = 6
    VBE = 7
    FRAMEBUFFER = 8
    ELF_SECTIONS = 9
    APM = 10
    EFI32 = 11
    EFI64 = 12
    SMBIOS = 13
    ACPI_OLD = 14
    ACPI_NEW = 15
    NETWORK = 16
    EFI_MMAP = 17
    EFI_BS = 18
    EFI32_IH = 19
    EFI64_IH = 20
    LOAD_BASE_ADDR = 21


class ConsoleFlag(IntFlag):
    """`console_flags` of the console flags tag."""

    CONSOLE_REQUIRED = 1
    EGA_TEXT_SUPPORTED = 2


class LoadPreference(IntEnum):
    """`preference` of the relocatable tag."""

    NONE = 0
    LOW = 1
    HIGH = 2


class Multiboot2Header(Struct, size=16, c_name="struct multiboot2_header"):
    """What the header begins with; its tags follow. All four words add up to 0."""

    magic: int = u32(0x00, HEADER_MAGIC)
    architecture: int = u32(0x04, ARCHITECTURE_I386)
    header_length: int = u32(0x08)
    checksum: int = u32(0x0C)


class Multiboot2HeaderTag(Struct, size=8, c_name="struct multiboot2_header_tag"):
    """What every tag of the header begins with; `size` counts it, but no padding."""

    type: int = u16(0x00)
    flags: int = u16(0x02)
    size: int = u32(0x04, 8)


class Multiboot2HeaderTagAddress(Struct, size=24, c_name="struct multiboot2_header_tag_address"):
    """Where to load a file that is no ELF, or is not to be taken for one."""

    type: int = u16(0x00, HeaderTagType.ADDRESS)
    flags: int = u16(0x02)
    size: int = u32(0x04, 24)
    header_addr: int = u32(0x08)
    load_addr: int = u32(0x0C)
    load_end_addr: int = u32(0x10)
    bss_end_addr: int = u32(0x14)


class Multiboot2HeaderTagEntryAddress(
    Struct, size=12, c_name="struct multiboot2_header_tag_entry_address"
):
    """The physical entry address; the EFI entries have the same layout."""

    type: int = u16(0x00, HeaderTagType.ENTRY_ADDRESS)
    flags: int = u16(0x02)
    size: int = u32(0x04, 12)
    entry_addr: int = u32(0x08)


class Multiboot2HeaderTagConsoleFlags(
    Struct, size=12, c_name="struct multiboot2_header_tag_console_flags"
):
    """Which consoles the image knows."""

    type: int = u16(0x00, HeaderTagType.CONSOLE_FLAGS)
    flags: int = u16(0x02)
    size: int = u32(0x04, 12)
    console_flags: int = u32(0x08)


class Multiboot2HeaderTagFramebuffer(
    Struct, size=20, c_name="struct multiboot2_header_tag_framebuffer"
):
    """The preferred graphics mode; 0 is no preference."""

    type: int = u16(0x00, HeaderTagType.FRAMEBUFFER)
    flags: int = u16(0x02)
    size: int = u32(0x04, 20)
    width: int = u32(0x08)
    height: int = u32(0x0C)
    depth: int = u32(0x10)


class Multiboot2HeaderTagRelocatable(
    Struct, size=24, c_name="struct multiboot2_header_tag_relocatable"
):
    """The image may be moved: its start to a multiple of `align` from `min_addr` on.

    It must end at or below `max_addr`.
    """

    type: int = u16(0x00, HeaderTagType.RELOCATABLE)
    flags: int = u16(0x02)
    size: int = u32(0x04, 24)
    min_addr: int = u32(0x08)
    max_addr: int = u32(0x0C)
    align: int = u32(0x10)
    preference: int = u32(0x14)


class Multiboot2Info(Struct, size=8, c_name="struct multiboot2_info"):
    """What EBX points at; the tags follow. `total_size` counts all of it."""

    total_size: int = u32(0x00)
    reserved: int = u32(0x04)


class Multiboot2Tag(Struct, size=8, c_name="struct multiboot2_tag"):
    """What every information tag begins with; `size` counts it, but no padding."""

    type: int = u32(0x00)
    size: int = u32(0x04, 8)


class Multiboot2TagModule(Struct, size=16, c_name="struct multiboot2_tag_module"):
    """A module from `mod_start` up to `mod_end`; its command line follows."""

    type: int = u32(0x00, TagType.MODULE)
    size: int = u32(0x04, 16)
    mod_start: int = u32(0x08)
    mod_end: int = u32(0x0C)


class Multiboot2TagBasicMeminfo(Struct, size=16, c_name="struct multiboot2_tag_basic_meminfo"):
    """KiB of RAM from 0 on, and from 1 MiB on up to the first hole."""

    type: int = u32(0x00, TagType.BASIC_MEMINFO)
    size: int = u32(0x04, 16)
    mem_lower: int = u32(0x08)
    mem_upper: int = u32(0x0C)


class Multiboot2TagMmap(Struct, size=16, c_name="struct multiboot2_tag_mmap"):
    """The head of the memory map; records of `entry_size` bytes follow."""

    type: int = u32(0x00, TagType.MMAP)
    size: int = u32(0x04, 16)
    entry_size: int = u32(0x08, 24)
    entry_version: int = u32(0x0C)


class Multiboot2MmapEntry(Struct, size=24, c_name="struct multiboot2_mmap_entry"):
    """A range of the memory map."""

    addr: int = u64(0x00)
    len: int = u64(0x08)
    type: int = u32(0x10)
    zero: int = u32(0x14)


class Multiboot2TagElfSections(Struct, size=20, c_name="struct multiboot2_tag_elf_sections"):
    """The head of the ELF section headers: `num` of `entsize` bytes follow."""

    type: int = u32(0x00, TagType.ELF_SECTIONS)
    size: int = u32(0x04, 20)
    num: int = u32(0x08)
    entsize: int = u32(0x0C)
    shndx: int = u32(0x10)


class Multiboot2TagFramebuffer(Struct, size=38, c_name="struct multiboot2_tag_framebuffer"):
    """A frame buffer; the last six fields are those of direct colours."""

    type: int = u32(0x00, TagType.FRAMEBUFFER)
    size: int = u32(0x04, 38)
    framebuffer_addr: int = u64(0x08)
    framebuffer_pitch: int = u32(0x10)
    framebuffer_width: int = u32(0x14)
    framebuffer_height: int = u32(0x18)
    framebuffer_bpp: int = u8(0x1C)
    framebuffer_type: int = u8(0x1D)
    reserved: int = u16(0x1E)
    framebuffer_red_field_position: int = u8(0x20)
    framebuffer_red_mask_size: int = u8(0x21)
    framebuffer_green_field_position: int = u8(0x22)
    framebuffer_green_mask_size: int = u8(0x23)
    framebuffer_blue_field_position: int = u8(0x24)
    framebuffer_blue_mask_size: int = u8(0x25)


class Multiboot2TagLoadBaseAddr(Struct, size=12, c_name="struct multiboot2_tag_load_base_addr"):
    """Where the image's lowest byte lies, for images that may be moved."""

    type: int = u32(0x00, TagType.LOAD_BASE_ADDR)
    size: int = u32(0x04, 12)
    load_base_addr: int = u32(0x08)
