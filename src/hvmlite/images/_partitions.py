"""Partition tables: GPT, its backup, MBR with logical partitions. All of it may be hostile."""

from __future__ import annotations

import uuid
import zlib
from typing import NamedTuple

from hvmlite.errors import FormatError
from hvmlite.model import Partition
from hvmlite.spec import disk

__all__ = ["MAX_PARTITIONS", "Table", "is_fat", "read"]

MAX_PARTITIONS = 128
_MAX_ENTRY_BYTES = 1 << 20  # of a GPT; 128 entries of 128 bytes are usual
_MAX_LOGICAL = 64
_SECTOR_SIZES = (512, 4096)


class Table(NamedTuple):
    """The partitions of one table, "gpt" or "mbr"; "" for none."""

    scheme: str
    partitions: tuple[Partition, ...]


def read(data: memoryview, warnings: list[str]) -> Table:
    """Return the GPT if there is one that can be used, else the MBR's partitions."""
    for sector in _SECTOR_SIZES:
        if bytes(data[sector : sector + 8]) == disk.GPT_SIGNATURE:
            for name, at in (("GPT", sector), ("backup GPT", _last(data, sector))):
                try:
                    return Table("gpt", _gpt(data, at, sector, warnings))
                except FormatError as error:
                    warnings.append(f"{name} ignored: {error}")
    at = _last(data, disk.SECTOR)
    if bytes(data[at : at + 8]) == disk.GPT_SIGNATURE and at > disk.SECTOR:
        try:
            found = _gpt(data, at, disk.SECTOR, warnings)
        except FormatError as error:
            warnings.append(f"backup GPT ignored: {error}")
        else:
            warnings.append("only the backup of the GPT can be used, at the end of the disk")
            return Table("gpt", found)
    partitions = _mbr(data, warnings)
    return Table("mbr" if partitions else "", partitions)


def is_fat(data: memoryview, at: int) -> bool:
    """Return whether the boot sector at `at` is that of a FAT file system."""
    sector = bytes(data[at : at + disk.SECTOR])
    return sector[510:] == disk.MBR_SIGNATURE and (
        sector[0x36:0x39] == b"FAT" or sector[0x52:0x57] == b"FAT32"
    )


def _last(data: memoryview, sector: int) -> int:
    return max(0, len(data) // sector - 1) * sector


def _gpt(data: memoryview, at: int, sector: int, warnings: list[str]) -> tuple[Partition, ...]:
    header = disk.GptHeader.unpack(data, at)
    if header.Signature != disk.GPT_SIGNATURE:
        raise FormatError(f"no signature at {at:#x}, one was needed")
    if not disk.GptHeader.SIZE <= header.HeaderSize <= sector:
        raise FormatError(
            f"HeaderSize {header.HeaderSize}, {disk.GptHeader.SIZE} to {sector} was needed"
        )
    raw = bytearray(data[at : at + header.HeaderSize])
    raw[0x10:0x14] = bytes(4)
    if zlib.crc32(raw) != header.HeaderCRC32:
        raise FormatError("the checksum of its header is wrong")
    return _gpt_entries(data, header, sector, warnings)


def _gpt_entries(
    data: memoryview, header: disk.GptHeader, sector: int, warnings: list[str]
) -> tuple[Partition, ...]:
    size, count = header.SizeOfPartitionEntry, header.NumberOfPartitionEntries
    if size < disk.GptEntry.SIZE or size % 8:
        raise FormatError(
            f"SizeOfPartitionEntry {size}, a multiple of 8 from {disk.GptEntry.SIZE} was needed"
        )
    if size * count > _MAX_ENTRY_BYTES:
        raise FormatError(f"{count} entries of {size} bytes, the limit is {_MAX_ENTRY_BYTES} bytes")
    start = header.PartitionEntryLBA * sector
    if header.PartitionEntryLBA < 1 or start + size * count > len(data):
        raise FormatError(f"entries at LBA {header.PartitionEntryLBA} lie outside the disk")
    table = data[start : start + size * count]
    if zlib.crc32(table) != header.PartitionEntryArrayCRC32:
        raise FormatError("the checksum of its entries is wrong")
    found: list[Partition] = []
    for number in range(count):
        entry = disk.GptEntry.unpack(table, number * size)
        if not any(entry.PartitionTypeGUID):
            continue
        if len(found) == MAX_PARTITIONS:
            warnings.append(f"more than {MAX_PARTITIONS} partitions: the others are left out")
            break
        if not 0 < entry.StartingLBA <= entry.EndingLBA or entry.EndingLBA * sector >= len(data):
            span = f"{entry.StartingLBA}-{entry.EndingLBA}"
            warnings.append(f"partition {number + 1}: LBA {span} lies outside the disk")
            continue
        found.append(_gpt_partition(data, entry, number + 1, sector))
    return tuple(found)


def _gpt_partition(data: memoryview, entry: disk.GptEntry, number: int, sector: int) -> Partition:
    guid = str(uuid.UUID(bytes_le=entry.PartitionTypeGUID))
    name = entry.PartitionName.decode("utf-16-le", "replace").split("\0", 1)[0]
    start = entry.StartingLBA * sector
    return Partition(
        number,
        start,
        (entry.EndingLBA + 1) * sector - start,
        guid,
        name,
        esp=disk.GPT_NAMES.get(guid) == "EFI system",
        fat=is_fat(data, start),
    )


def _mbr(data: memoryview, warnings: list[str]) -> tuple[Partition, ...]:
    # A FAT or NTFS boot sector has the signature as well, and text where partitions would be.
    record = _record(data, 0)
    if record is None or is_fat(data, 0):
        return ()
    if any(entry.boot_indicator & 0x7F for entry in record.partitions):
        return ()
    found: list[Partition] = []
    for number, entry in enumerate(record.partitions, 1):
        if entry.os_type in disk.EXTENDED_TYPES:
            found += _logical(data, entry.starting_lba, warnings)
        elif entry.os_type or entry.size_in_lba:
            found += _mbr_partition(data, entry, number, 0, warnings)
    return tuple(sorted(found, key=lambda partition: partition.number))


def _record(data: memoryview, at: int) -> disk.Mbr | None:
    if at + disk.Mbr.SIZE > len(data):
        return None
    record = disk.Mbr.unpack(data, at)
    return record if record.signature == disk.MBR_SIGNATURE else None


def _mbr_partition(
    data: memoryview, entry: disk.MbrPartition, number: int, base: int, warnings: list[str]
) -> list[Partition]:
    start = (base + entry.starting_lba) * disk.SECTOR
    size = entry.size_in_lba * disk.SECTOR
    if not size or start >= len(data):
        warnings.append(f"partition {number}: {size:#x} bytes at {start:#x}, outside the disk")
        return []
    if start + size > len(data):
        warnings.append(f"partition {number}: ends at {start + size:#x}, after the disk's end")
    return [
        Partition(
            number,
            start,
            size,
            f"{entry.os_type:#04x}",
            active=entry.boot_indicator == 0x80,
            esp=entry.os_type == disk.TYPE_EFI_SYSTEM,
            fat=is_fat(data, start),
        )
    ]


def _logical(data: memoryview, first: int, warnings: list[str]) -> list[Partition]:
    # A chain of boot records, each with one partition and a link. Links count from the first one.
    found: list[Partition] = []
    seen: set[int] = set()
    at = first
    while at not in seen and len(seen) < _MAX_LOGICAL:
        seen.add(at)
        record = _record(data, at * disk.SECTOR)
        if record is None:
            warnings.append(f"logical partitions: no boot record at LBA {at}")
            return found
        own, link = record.partitions[:2]
        if own.os_type:
            found += _mbr_partition(data, own, 4 + len(seen), at, warnings)
        if link.os_type not in disk.EXTENDED_TYPES:
            return found
        at = first + link.starting_lba
    warnings.append("logical partitions: their chain does not end")
    return found
