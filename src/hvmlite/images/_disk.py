"""Takes a disk image apart as far as firmware does: see :mod:`hvmlite.images.disk`."""

from __future__ import annotations

from hvmlite.images import _el_torito, _partitions
from hvmlite.model import DiskLayout, Image
from hvmlite.spec import disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.model import BootEntry, Partition

__all__ = ["parse"]

_MAX_WARNINGS = 16
_CODE = 440  # bytes of an MBR before its signature and its partitions


def parse(data: memoryview, source: str) -> Image:
    """Read what is there; see :func:`hvmlite.images.disk.parse`."""
    if bytes(data[: len(disk.QCOW2_MAGIC)]) == disk.QCOW2_MAGIC:
        return _qcow2(data, source)
    warnings: list[str] = []
    table = _partitions.read(data, warnings)
    iso = _el_torito.is_iso(data)
    sector = bytes(data[: disk.SECTOR])
    layout = DiskLayout(
        scheme=table.scheme,
        signature=sector[510:] == disk.MBR_SIGNATURE,
        boot_code=any(sector[:_CODE]),
        fat=_partitions.is_fat(data, 0),
        iso=iso,
        partitions=table.partitions,
        boot_entries=_el_torito.read(data, warnings) if iso else (),
    )
    return Image(
        format="disk",
        source=source,
        data=data,
        disk=layout,
        facts=tuple(_facts(layout)),
        warnings=tuple(warnings[:_MAX_WARNINGS]),
    )


def _qcow2(data: memoryview, source: str) -> Image:
    version = int.from_bytes(data[4:8], "big")
    size = int.from_bytes(data[24:32], "big")
    facts = (("container", "qcow2"), ("version", str(version)), ("virtual size", f"{size} bytes"))
    layout = DiskLayout(container="qcow2")
    return Image(format="disk", source=source, data=data, disk=layout, facts=facts)


def _facts(layout: DiskLayout) -> list[tuple[str, str]]:
    facts = [("container", layout.container)]
    sector = "55 aa at its end" if layout.signature else "no 55 aa at its end"
    sector += ", with code" if layout.boot_code else ", without code"
    facts.append(("first sector", sector))
    if layout.iso:
        facts.append(("file system", "ISO 9660"))
    elif layout.fat:
        facts.append(("file system", "FAT"))
    facts.append(("partition table", layout.scheme or "none"))
    facts += [(f"partition {p.number}", _partition(p)) for p in layout.partitions]
    facts += [(f"El Torito {n}", _boot_entry(e)) for n, e in enumerate(layout.boot_entries)]
    return facts


def _partition(partition: Partition) -> str:
    words = [f"{partition.start:#x}-{partition.start + partition.size:#x}"]
    kind = disk.GPT_NAMES.get(partition.type, partition.type)
    words.append("EFI system" if partition.esp else f"type {kind}")
    words += [repr(partition.name)] if partition.name else []
    words += ["FAT"] if partition.fat else []
    words += ["active"] if partition.active else []
    return ", ".join(words)


def _boot_entry(entry: BootEntry) -> str:
    words = [entry.platform, f"at {entry.start:#x}", f"{entry.sectors} sectors"]
    words.append(f"emulation {entry.emulation}")
    if entry.platform == "bios":
        words.append(f"loaded to segment {entry.segment:#x}")
    return ", ".join(words if entry.bootable else [*words, "not bootable"])
