"""What firmware told a kernel's setup code, or a loader, as Linux's zero page keeps it.

Source: the Linux 6.12 UAPI headers <asm/bootparam.h>, <linux/apm_bios.h>, <linux/edd.h>,
<asm/ist.h> and <video/edid.h>, whose field names are kept.
"""

from __future__ import annotations

from hvmlite.wire import Struct, nested, raw, u8, u16, u32, u64

__all__ = [
    "ApmBiosInfo",
    "EddDeviceParams",
    "EddInfo",
    "EdidInfo",
    "EfiInfo",
    "IstInfo",
    "OlpcOfwHeader",
    "SysDescTable",
]


class ApmBiosInfo(Struct, size=20, c_name="struct apm_bios_info"):
    """What an APM BIOS said of itself."""

    version: int = u16(0x00)
    cseg: int = u16(0x02)
    offset: int = u32(0x04)
    cseg_16: int = u16(0x08)
    dseg: int = u16(0x0A)
    flags: int = u16(0x0C)
    cseg_len: int = u16(0x0E)
    cseg_16_len: int = u16(0x10)
    dseg_len: int = u16(0x12)


class IstInfo(Struct, size=16, c_name="struct ist_info"):
    """What an Intel SpeedStep BIOS said of itself."""

    signature: int = u32(0x00)
    command: int = u32(0x04)
    event: int = u32(0x08)
    perf_level: int = u32(0x0C)


class SysDescTable(Struct, size=16, c_name="struct sys_desc_table"):
    """Obsolete: the BIOS's system description table."""

    length: int = u16(0x00)
    table: bytes = raw(0x02, 14)


class OlpcOfwHeader(Struct, size=16, c_name="struct olpc_ofw_header"):
    """The way back into the Open Firmware of an OLPC machine."""

    ofw_magic: int = u32(0x00)
    ofw_version: int = u32(0x04)
    cif_handler: int = u32(0x08)
    irq_desc_table: int = u32(0x0C)


class EdidInfo(Struct, size=128, c_name="struct edid_info"):
    """The monitor's EDID block."""

    dummy: bytes = raw(0x00, 128)


class EfiInfo(Struct, size=32, c_name="struct efi_info"):
    """Where the EFI system table and memory map are."""

    efi_loader_signature: int = u32(0x00)
    efi_systab: int = u32(0x04)
    efi_memdesc_size: int = u32(0x08)
    efi_memdesc_version: int = u32(0x0C)
    efi_memmap: int = u32(0x10)
    efi_memmap_size: int = u32(0x14)
    efi_systab_hi: int = u32(0x18)
    efi_memmap_hi: int = u32(0x1C)


class EddDeviceParams(Struct, size=74, c_name="struct edd_device_params"):
    """What the BIOS said of a disk (INT 13h, function 48h); the two paths are unions."""

    length: int = u16(0x00)
    info_flags: int = u16(0x02)
    num_default_cylinders: int = u32(0x04)
    num_default_heads: int = u32(0x08)
    sectors_per_track: int = u32(0x0C)
    number_of_sectors: int = u64(0x10)
    bytes_per_sector: int = u16(0x18)
    dpte_ptr: int = u32(0x1A)
    key: int = u16(0x1E)
    device_path_info_length: int = u8(0x20)
    reserved2: int = u8(0x21)
    reserved3: int = u16(0x22)
    host_bus_type: bytes = raw(0x24, 4)
    interface_type: bytes = raw(0x28, 8)
    interface_path: bytes = raw(0x30, 8)
    device_path: bytes = raw(0x38, 16)
    reserved4: int = u8(0x48)
    checksum: int = u8(0x49)


class EddInfo(Struct, size=82, c_name="struct edd_info"):
    """What the BIOS said of a disk."""

    device: int = u8(0x00)
    version: int = u8(0x01)
    interface_support: int = u16(0x02)
    legacy_max_cylinder: int = u16(0x04)
    legacy_max_head: int = u8(0x06)
    legacy_sectors_per_track: int = u8(0x07)
    params: EddDeviceParams = nested(0x08, EddDeviceParams)
