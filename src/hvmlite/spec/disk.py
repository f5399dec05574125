"""Disks and CD-ROMs before any file system: MBR, GPT, ISO 9660 and El Torito, qcow2.

Source: UEFI 2.10, chapter 5 (MBR and GPT); ECMA-119; "El Torito" Bootable CD-ROM Format
Specification 1.0; QEMU, ``docs/interop/qcow2.txt``; the partition types: UAPI.2, "Discoverable
Partitions Specification".
"""

from __future__ import annotations

from hvmlite.wire import Struct, array, raw, u8, u16, u32, u64

__all__ = [
    "BOOT_RECORD_SECTOR",
    "EL_TORITO",
    "EXTENDED_TYPES",
    "FAT_TYPES",
    "GPT_NAMES",
    "GPT_SIGNATURE",
    "ISO_SECTOR",
    "ISO_SIGNATURE",
    "MBR_SIGNATURE",
    "QCOW2_MAGIC",
    "SECTOR",
    "TYPE_EFI_SYSTEM",
    "TYPE_GPT_PROTECTIVE",
    "VOLUME_DESCRIPTORS_SECTOR",
    "BootRecordVolume",
    "CatalogEntry",
    "GptEntry",
    "GptHeader",
    "Mbr",
    "MbrPartition",
    "SectionHeader",
    "ValidationEntry",
]

SECTOR = 512
MBR_SIGNATURE = b"\x55\xaa"
"""The last two bytes of a boot sector of 512 bytes."""
TYPE_EFI_SYSTEM = 0xEF
TYPE_GPT_PROTECTIVE = 0xEE
EXTENDED_TYPES = frozenset({0x05, 0x0F, 0x85})
FAT_TYPES = frozenset({0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E})

GPT_SIGNATURE = b"EFI PART"
GPT_NAMES = {
    "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "EFI system",
    "bc13c2ff-59e6-4262-a352-b275fd6f7172": "extended boot loader",
    "21686148-6449-6e6f-744e-656564454649": "BIOS boot",
    "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "Microsoft basic data",
    "0fc63daf-8483-4772-8e79-3d69d8477de4": "Linux data",
    "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "Linux swap",
    "e6d6d379-f507-44c2-a23c-238f2a3df928": "Linux LVM",
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "Linux root (x86-64)",
    "44479540-f297-41b2-9af7-d131d5f0458a": "Linux root (x86)",
    "8484680c-9521-48c6-9c11-b0720656f69e": "Linux /usr (x86-64)",
    "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5": "Linux root verity (x86-64)",
}
"""Some GPT partition types, for people."""

ISO_SECTOR = 2048
VOLUME_DESCRIPTORS_SECTOR = 16
BOOT_RECORD_SECTOR = 17
ISO_SIGNATURE = b"CD001"
EL_TORITO = b"EL TORITO SPECIFICATION"
QCOW2_MAGIC = b"QFI\xfb"


class MbrPartition(Struct, size=16):
    """A partition record; CHS addresses are not used any more."""

    boot_indicator: int = u8(0x00)
    os_type: int = u8(0x04)
    starting_lba: int = u32(0x08)
    size_in_lba: int = u32(0x0C)


class Mbr(Struct, size=512):
    """A master boot record, or the boot record of an extended partition."""

    boot_code: bytes = raw(0x000, 440)
    unique_signature: int = u32(0x1B8)
    partitions: tuple[MbrPartition, ...] = array(0x1BE, MbrPartition, 4)
    signature: bytes = raw(0x1FE, 2)


class GptHeader(Struct, size=92):
    """The header of a GUID partition table; CRC-32 over `HeaderSize` bytes with its own as 0."""

    Signature: bytes = raw(0x00, 8)
    Revision: int = u32(0x08)
    HeaderSize: int = u32(0x0C)
    HeaderCRC32: int = u32(0x10)
    MyLBA: int = u64(0x18)
    AlternateLBA: int = u64(0x20)
    FirstUsableLBA: int = u64(0x28)
    LastUsableLBA: int = u64(0x30)
    DiskGUID: bytes = raw(0x38, 16)
    PartitionEntryLBA: int = u64(0x48)
    NumberOfPartitionEntries: int = u32(0x50)
    SizeOfPartitionEntry: int = u32(0x54)
    PartitionEntryArrayCRC32: int = u32(0x58)


class GptEntry(Struct, size=128):
    """A partition of a GUID partition table; `EndingLBA` is the last one. The name is UTF-16."""

    PartitionTypeGUID: bytes = raw(0x00, 16)
    UniquePartitionGUID: bytes = raw(0x10, 16)
    StartingLBA: int = u64(0x20)
    EndingLBA: int = u64(0x28)
    Attributes: int = u64(0x30)
    PartitionName: bytes = raw(0x38, 72)


class BootRecordVolume(Struct, size=75):
    """El Torito's volume descriptor: where the boot catalog is, in sectors of 2048 bytes."""

    boot_record_indicator: int = u8(0x00)
    identifier: bytes = raw(0x01, 5)
    version: int = u8(0x06)
    boot_system_identifier: bytes = raw(0x07, 32)
    boot_catalog: int = u32(0x47)


class ValidationEntry(Struct, size=32):
    """The first entry of a boot catalog; its 16-bit words add up to 0."""

    header_id: int = u8(0x00)
    platform_id: int = u8(0x01)
    id_string: bytes = raw(0x04, 24)
    checksum: int = u16(0x1C)
    key: bytes = raw(0x1E, 2)


class SectionHeader(Struct, size=32):
    """A section of a boot catalog: so many entries for one platform; 91h is the last one."""

    header_indicator: int = u8(0x00)
    platform_id: int = u8(0x01)
    number_of_entries: int = u16(0x02)
    id_string: bytes = raw(0x04, 28)


class CatalogEntry(Struct, size=32):
    """The default entry of a boot catalog, or one of a section."""

    boot_indicator: int = u8(0x00)
    boot_media_type: int = u8(0x01)
    load_segment: int = u16(0x02)
    system_type: int = u8(0x04)
    sector_count: int = u16(0x06)
    load_rba: int = u32(0x08)
