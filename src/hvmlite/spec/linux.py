"""The Linux x86 boot protocol: setup header, zero page, setup_data.

Source: Linux 6.12 ``Documentation/arch/x86/boot.rst`` (protocol 2.00 to 2.15) and the UAPI headers
<asm/bootparam.h> and <linux/screen_info.h>, whose field names are kept.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from hvmlite.spec.linux_firmware import (
    ApmBiosInfo,
    EddInfo,
    EdidInfo,
    EfiInfo,
    IstInfo,
    OlpcOfwHeader,
    SysDescTable,
)
from hvmlite.wire import Struct, array, nested, raw, u8, u16, u32, u64

__all__ = [
    "BOOT_FLAG",
    "CL_MAGIC",
    "CL_MAGIC_AT",
    "CL_OFFSET_AT",
    "CMDLINE_SIZE_DEFAULT",
    "E820_MAX_ENTRIES_ZEROPAGE",
    "EDDMAXNR",
    "EDD_MBR_SIG_MAX",
    "ENTRY64",
    "HDRS",
    "HEADER_END_MAX",
    "HEADER_END_MIN",
    "HEADER_JUMP",
    "HEADER_START",
    "INITRD_ADDR_MAX_DEFAULT",
    "JUMP_END",
    "KERNEL_INFO_MAGIC",
    "NOTE_NAME",
    "SECTOR",
    "SETUP_INDIRECT_FLAG",
    "SETUP_SECTS_DEFAULT",
    "SETUP_SECTS_MAX",
    "TYPE_OF_LOADER_UNDEFINED",
    "VIDEO_CAPABILITY_64BIT_BASE",
    "VIDEO_TYPE_VLFB",
    "BootE820Entry",
    "BootParams",
    "E820Type",
    "HardwareSubarch",
    "KernelInfo",
    "LinuxNote",
    "LoadFlags",
    "ScreenInfo",
    "SetupData",
    "SetupHeader",
    "SetupIndirect",
    "SetupType",
    "Version",
    "XLoadFlags",
]

SECTOR = 512
BOOT_FLAG = 0xAA55
HDRS = 0x53726448
"""`header`: "HdrS"."""
HEADER_START = 0x1F1
"""Where the setup header begins, in the file and in the zero page."""
HEADER_JUMP = 0x200
"""The short jump over the header; its displacement, the next byte, is the length field."""
JUMP_END = 0x202
"""The header ends at this plus the displacement of the jump."""
HEADER_END_MIN = 0x217
"""The least possible end: a header of 2.00 has type_of_loader and loadflags at least."""
HEADER_END_MAX = 0x290
"""edd_mbr_sig_buffer begins here in the zero page."""
SETUP_SECTS_DEFAULT = 4
"""What a `setup_sects` of 0 means."""
SETUP_SECTS_MAX = 64
TYPE_OF_LOADER_UNDEFINED = 0xFF
ENTRY64 = 0x200
"""The 64-bit entry, from where the protected-mode part is loaded (2.12)."""
CL_MAGIC, CL_MAGIC_AT, CL_OFFSET_AT = 0xA33F, 0x20, 0x22
"""How the real-mode part is told of a command line in its own segment, before 2.02."""
CMDLINE_SIZE_DEFAULT = 255
"""`cmdline_size` before 2.06."""
INITRD_ADDR_MAX_DEFAULT = 0x37FFFFFF
"""`initrd_addr_max` before 2.03."""
VIDEO_TYPE_VLFB = 0x23
"""`orig_video_isVGA` of a linear frame buffer set by VESA functions."""
VIDEO_CAPABILITY_64BIT_BASE = 1 << 1
"""`capabilities`: ext_lfb_base is the upper half of the frame buffer's address."""
E820_MAX_ENTRIES_ZEROPAGE = 128
EDDMAXNR = 6
EDD_MBR_SIG_MAX = 16
KERNEL_INFO_MAGIC = 0x506F544C
"""`header` of kernel_info: "LToP"."""
SETUP_INDIRECT_FLAG = 1 << 31
NOTE_NAME = "Linux"
"""The name (owner) of the kernel's own ELF notes."""


class Version(IntEnum):
    """Boot protocol versions, (major << 8) | minor, by the first field or rule that each brought.

    2.14 was burnt by a mistaken commit and means 2.13.
    """

    V2_00 = 0x200
    V2_01 = 0x201
    V2_02 = 0x202
    V2_03 = 0x203
    V2_04 = 0x204
    V2_05 = 0x205
    V2_06 = 0x206
    V2_07 = 0x207
    V2_08 = 0x208
    V2_09 = 0x209
    V2_10 = 0x20A
    V2_11 = 0x20B
    V2_12 = 0x20C
    V2_13 = 0x20D
    V2_14 = 0x20E
    V2_15 = 0x20F


class LoadFlags(IntFlag):
    """`loadflags` of the setup header."""

    LOADED_HIGH = 1 << 0
    KASLR_FLAG = 1 << 1
    QUIET_FLAG = 1 << 5
    KEEP_SEGMENTS = 1 << 6
    CAN_USE_HEAP = 1 << 7


class XLoadFlags(IntFlag):
    """`xloadflags` of the setup header (protocol 2.12 and later)."""

    XLF_KERNEL_64 = 1 << 0
    XLF_CAN_BE_LOADED_ABOVE_4G = 1 << 1
    XLF_EFI_HANDOVER_32 = 1 << 2
    XLF_EFI_HANDOVER_64 = 1 << 3
    XLF_EFI_KEXEC = 1 << 4
    XLF_5LEVEL = 1 << 5
    XLF_5LEVEL_ENABLED = 1 << 6
    XLF_MEM_ENCRYPTION = 1 << 7


class SetupType(IntEnum):
    """`type` of a setup_data node."""

    SETUP_NONE = 0
    SETUP_E820_EXT = 1
    SETUP_DTB = 2
    SETUP_PCI = 3
    SETUP_EFI = 4
    SETUP_APPLE_PROPERTIES = 5
    SETUP_JAILHOUSE = 6
    SETUP_CC_BLOB = 7
    SETUP_IMA = 8
    SETUP_RNG_SEED = 9
    SETUP_INDIRECT = 1 << 31


class HardwareSubarch(IntEnum):
    """`hardware_subarch` of the setup header (protocol 2.07 and later)."""

    PC = 0
    LGUEST = 1
    XEN = 2
    INTEL_MID = 3
    CE4100 = 4


class E820Type(IntEnum):
    """`type` of a memory map record, as the kernel reads it."""

    RAM = 1
    RESERVED = 2
    ACPI = 3
    NVS = 4
    UNUSABLE = 5
    PMEM = 7


class LinuxNote(IntEnum):
    """Types of notes whose name is "Linux" (LINUX_ELFNOTE_*)."""

    BUILD_SALT = 0x100
    LTO_INFO = 0x101


class SetupHeader(Struct, size=123, c_name="struct setup_header"):
    """The setup header, from file offset 0x1f1 on; offsets here are relative to that.

    A file has only the bytes up to 0x202 + byte[0x201]; what lies beyond is code.
    """

    setup_sects: int = u8(0x00)
    root_flags: int = u16(0x01)
    syssize: int = u32(0x03)
    ram_size: int = u16(0x07)
    vid_mode: int = u16(0x09)
    root_dev: int = u16(0x0B)
    boot_flag: int = u16(0x0D)
    jump: int = u16(0x0F)
    header: int = u32(0x11)
    version: int = u16(0x15)
    realmode_swtch: int = u32(0x17)
    start_sys_seg: int = u16(0x1B)
    kernel_version: int = u16(0x1D)
    type_of_loader: int = u8(0x1F)
    loadflags: int = u8(0x20)
    setup_move_size: int = u16(0x21)
    code32_start: int = u32(0x23)
    ramdisk_image: int = u32(0x27)
    ramdisk_size: int = u32(0x2B)
    bootsect_kludge: int = u32(0x2F)
    heap_end_ptr: int = u16(0x33)
    ext_loader_ver: int = u8(0x35)
    ext_loader_type: int = u8(0x36)
    cmd_line_ptr: int = u32(0x37)
    initrd_addr_max: int = u32(0x3B)
    kernel_alignment: int = u32(0x3F)
    relocatable_kernel: int = u8(0x43)
    min_alignment: int = u8(0x44)
    xloadflags: int = u16(0x45)
    cmdline_size: int = u32(0x47)
    hardware_subarch: int = u32(0x4B)
    hardware_subarch_data: int = u64(0x4F)
    payload_offset: int = u32(0x57)
    payload_length: int = u32(0x5B)
    setup_data: int = u64(0x5F)
    pref_address: int = u64(0x67)
    init_size: int = u32(0x6F)
    handover_offset: int = u32(0x73)
    kernel_info_offset: int = u32(0x77)


class KernelInfo(Struct, size=16):
    """The fixed part of kernel_info, at kernel_info_offset of the protected-mode code (2.15)."""

    header: int = u32(0x00)
    size: int = u32(0x04)
    size_total: int = u32(0x08)
    setup_type_max: int = u32(0x0C)


class SetupData(Struct, size=16, c_name="struct setup_data"):
    """The header of a setup_data node; `len` bytes of data follow."""

    next: int = u64(0x00)
    type: int = u32(0x08)
    len: int = u32(0x0C)


class SetupIndirect(Struct, size=24, c_name="struct setup_indirect"):
    """The data of a SETUP_INDIRECT node: where the real data is."""

    type: int = u32(0x00)
    reserved: int = u32(0x04)
    len: int = u64(0x08)
    addr: int = u64(0x10)


class ScreenInfo(Struct, size=64, c_name="struct screen_info"):
    """The video mode that the loader left."""

    orig_x: int = u8(0x00)
    orig_y: int = u8(0x01)
    ext_mem_k: int = u16(0x02)
    orig_video_page: int = u16(0x04)
    orig_video_mode: int = u8(0x06)
    orig_video_cols: int = u8(0x07)
    flags: int = u8(0x08)
    unused2: int = u8(0x09)
    orig_video_ega_bx: int = u16(0x0A)
    unused3: int = u16(0x0C)
    orig_video_lines: int = u8(0x0E)
    orig_video_isVGA: int = u8(0x0F)  # the kernel's own spelling
    orig_video_points: int = u16(0x10)
    lfb_width: int = u16(0x12)
    lfb_height: int = u16(0x14)
    lfb_depth: int = u16(0x16)
    lfb_base: int = u32(0x18)
    lfb_size: int = u32(0x1C)
    cl_magic: int = u16(0x20)
    cl_offset: int = u16(0x22)
    lfb_linelength: int = u16(0x24)
    red_size: int = u8(0x26)
    red_pos: int = u8(0x27)
    green_size: int = u8(0x28)
    green_pos: int = u8(0x29)
    blue_size: int = u8(0x2A)
    blue_pos: int = u8(0x2B)
    rsvd_size: int = u8(0x2C)
    rsvd_pos: int = u8(0x2D)
    vesapm_seg: int = u16(0x2E)
    vesapm_off: int = u16(0x30)
    pages: int = u16(0x32)
    vesa_attributes: int = u16(0x34)
    capabilities: int = u32(0x36)
    ext_lfb_base: int = u32(0x3A)


class BootE820Entry(Struct, size=20, c_name="struct boot_e820_entry"):
    """One record of the memory map."""

    addr: int = u64(0x00)
    size: int = u64(0x08)
    type: int = u32(0x10)


class BootParams(Struct, size=4096, c_name="struct boot_params"):
    """The zero page."""

    screen_info: ScreenInfo = nested(0x000, ScreenInfo)
    apm_bios_info: ApmBiosInfo = nested(0x040, ApmBiosInfo)
    tboot_addr: int = u64(0x058)
    ist_info: IstInfo = nested(0x060, IstInfo)
    acpi_rsdp_addr: int = u64(0x070)
    hd0_info: bytes = raw(0x080, 16)
    hd1_info: bytes = raw(0x090, 16)
    sys_desc_table: SysDescTable = nested(0x0A0, SysDescTable)
    olpc_ofw_header: OlpcOfwHeader = nested(0x0B0, OlpcOfwHeader)
    ext_ramdisk_image: int = u32(0x0C0)
    ext_ramdisk_size: int = u32(0x0C4)
    ext_cmd_line_ptr: int = u32(0x0C8)
    cc_blob_address: int = u32(0x13C)
    edid_info: EdidInfo = nested(0x140, EdidInfo)
    efi_info: EfiInfo = nested(0x1C0, EfiInfo)
    alt_mem_k: int = u32(0x1E0)
    scratch: int = u32(0x1E4)
    e820_entries: int = u8(0x1E8)
    eddbuf_entries: int = u8(0x1E9)
    edd_mbr_sig_buf_entries: int = u8(0x1EA)
    kbd_status: int = u8(0x1EB)
    secure_boot: int = u8(0x1EC)
    sentinel: int = u8(0x1EF)
    hdr: SetupHeader = nested(0x1F1, SetupHeader)
    edd_mbr_sig_buffer: tuple[int, ...] = array(0x290, 4, EDD_MBR_SIG_MAX)
    e820_table: tuple[BootE820Entry, ...] = array(0x2D0, BootE820Entry, E820_MAX_ENTRIES_ZEROPAGE)
    eddbuf: tuple[EddInfo, ...] = array(0xD00, EddInfo, EDDMAXNR)
