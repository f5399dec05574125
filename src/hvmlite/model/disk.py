"""What a disk or CD-ROM image holds, as far as firmware looks at it before it starts something."""

from __future__ import annotations

from hvmlite.values import Value

__all__ = ["BootEntry", "DiskLayout", "Partition"]


class Partition(Value):
    """`size` bytes from `start` on; `type` is an MBR type in hex ("0xef") or a GPT type GUID.

    `esp` is an EFI system partition, `fat` a FAT file system by its boot sector, `active` the flag
    of an MBR. `name` is GPT's.
    """

    number: int
    start: int
    size: int
    type: str
    name: str = ""
    active: bool = False
    esp: bool = False
    fat: bool = False


class BootEntry(Value):
    """An entry of an El Torito catalog: `sectors` of 512 bytes at `start` are loaded.

    :param platform: "bios", "efi" or the platform id in hex
    :param emulation: "none", "floppy", "hard disk"
    :param segment: real-mode segment that it is loaded to
    """

    platform: str
    bootable: bool
    emulation: str
    segment: int
    start: int
    sectors: int


class DiskLayout(Value):
    """Partitions and boot entries of a disk.

    :param container: "raw", or "qcow2" of which nothing else is known
    :param scheme: "gpt", "mbr" or "" for no partition table
    :param signature: the first sector ends with 55 AA
    :param boot_code: there is code in the first sector
    :param fat: the whole disk is a FAT file system
    :param iso: it has an ISO 9660 file system
    """

    container: str = "raw"
    scheme: str = ""
    signature: bool = False
    boot_code: bool = False
    fat: bool = False
    iso: bool = False
    partitions: tuple[Partition, ...] = ()
    boot_entries: tuple[BootEntry, ...] = ()
