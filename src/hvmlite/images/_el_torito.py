"""El Torito: what a PC's firmware may start from a CD-ROM. All of it may be hostile."""

from __future__ import annotations

from hvmlite.model import BootEntry
from hvmlite.spec import disk

__all__ = ["is_iso", "read"]

_MAX_ENTRIES = 32
_MAX_CATALOG = 32 << 10  # a catalog has no length of its own
_BOOTABLE = 0x88
_SECTION, _LAST_SECTION, _EXTENSION = 0x90, 0x91, 0x44
_MORE = 1 << 5  # in a media type, and in an extension: another extension follows
_PLATFORMS = {0: "bios", 0xEF: "efi"}
_FLOPPIES = frozenset({1, 2, 3})  # 1.2, 1.44 and 2.88 MB
_DEFAULT_SEGMENT = 0x7C0


def is_iso(data: memoryview) -> bool:
    """Return whether there is an ISO 9660 volume descriptor."""
    at = disk.VOLUME_DESCRIPTORS_SECTOR * disk.ISO_SECTOR + 1
    return bytes(data[at : at + len(disk.ISO_SIGNATURE)]) == disk.ISO_SIGNATURE


def read(data: memoryview, warnings: list[str]) -> tuple[BootEntry, ...]:
    """Return the entries of the boot catalog; none where there is no catalog."""
    at = disk.BOOT_RECORD_SECTOR * disk.ISO_SECTOR
    if len(data) < at + disk.BootRecordVolume.SIZE:
        return ()
    record = disk.BootRecordVolume.unpack(data, at)
    if record.boot_record_indicator or record.identifier != disk.ISO_SIGNATURE:
        return ()
    if not record.boot_system_identifier.startswith(disk.EL_TORITO):
        return ()
    start = record.boot_catalog * disk.ISO_SECTOR
    catalog = bytes(data[start : start + _MAX_CATALOG])
    catalog = catalog[: len(catalog) - len(catalog) % disk.CatalogEntry.SIZE]
    if len(catalog) < 2 * disk.CatalogEntry.SIZE:
        warnings.append(f"boot catalog at {start:#x} lies outside the image")
        return ()
    validation = disk.ValidationEntry.unpack(catalog)
    if validation.header_id != 1 or validation.key != disk.MBR_SIGNATURE or _sum(catalog[:32]):
        warnings.append(f"boot catalog at {start:#x} ignored: its validation entry is broken")
        return ()
    return _entries(data, catalog, validation.platform_id, warnings)


def _sum(entry: bytes) -> int:
    return sum(int.from_bytes(entry[i : i + 2], "little") for i in range(0, 32, 2)) & 0xFFFF


def _entries(
    data: memoryview, catalog: bytes, platform: int, warnings: list[str]
) -> tuple[BootEntry, ...]:
    # One pass over the records, which cannot go backwards: headers, their entries, extensions.
    size = disk.CatalogEntry.SIZE
    found = [_entry(data, catalog[size : 2 * size], platform, warnings)]
    at, left, last, extended = 2 * size, 0, False, False
    while at < len(catalog) and len(found) < _MAX_ENTRIES:
        record = catalog[at : at + size]
        at += size
        if extended and record[0] == _EXTENSION:
            extended = bool(record[1] & _MORE)
        elif left:
            left -= 1
            extended = bool(record[1] & _MORE)
            found.append(_entry(data, record, platform, warnings))
        elif record[0] in (_SECTION, _LAST_SECTION) and not last:
            header = disk.SectionHeader.unpack(record)
            platform, left = header.platform_id, header.number_of_entries
            last = record[0] == _LAST_SECTION
        else:
            break
    if left:
        warnings.append(f"boot catalog: {left} more entries are announced than read")
    return tuple(found)


def _entry(data: memoryview, record: bytes, platform: int, warnings: list[str]) -> BootEntry:
    entry = disk.CatalogEntry.unpack(record)
    media = entry.boot_media_type & 0xF
    emulation = "none" if media == 0 else "floppy" if media in _FLOPPIES else "hard disk"
    start = entry.load_rba * disk.ISO_SECTOR
    if start >= len(data):
        warnings.append(f"boot catalog: an entry at {start:#x} lies outside the image")
    return BootEntry(
        platform=_PLATFORMS.get(platform, f"{platform:#x}"),
        bootable=entry.boot_indicator == _BOOTABLE and start < len(data),
        emulation=emulation,
        segment=entry.load_segment or _DEFAULT_SEGMENT,
        start=start,
        sectors=entry.sector_count,
    )
