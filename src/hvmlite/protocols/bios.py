"""The boot sector of a disk or CD-ROM, as a PC's BIOS enters it, in docs/protocols/bios.md.

Documents: IBM PC/AT Technical Reference, "El Torito" 1.0. The BIOS is a machine's own: QEMU brings
SeaBIOS, which finds, loads and enters the sector. Nothing of a BootInfo can be handed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.model import BootEntry, DiskLayout, Image, Offer, Reason, Refusal
from hvmlite.spec.bios import INT13
from hvmlite.spec.linux import BOOT_FLAG, SECTOR

if TYPE_CHECKING:
    from hvmlite.model import BootInfo, CpuState, Entry, GuestMemory, Machine, Ref

__all__ = ["NAME", "carries", "decode", "encode", "offers"]

NAME = "bios"
carries: frozenset[str] = frozenset()
"""Nothing: what is started reads its own configuration."""

_FIRMWARE = "seabios"
_ENTRY = 0x7C00
_HARD_DISK = 0x80
_CDROM = {"none": 0xE0, "floppy": 0x00, "hard disk": 0x80}
"""The drive that a boot entry's code is loaded from, by what the entry's image passes for."""
_SIGNATURE = BOOT_FLAG.to_bytes(2, "little")
_CYLINDER = 16 * 63 * SECTOR
"""Of the geometry that QEMU gives disks. SeaBIOS reads boot sectors by CHS address, of which a disk
that is smaller has none."""


def offers(image: Image) -> Offer | Refusal:
    """Look for what a BIOS starts: boot code in the first sector, or a CD-ROM's boot entry.

    A kernel with a boot sector of its own is a disk as well if that sector reads more of it. All
    bzImages end their first sector with 55 AA, and all but a few only say there, if anything, that
    they need a boot loader.
    """
    layout = image.disk
    if layout is not None and layout.container != "raw":
        return _offer(image, (("contents", f"not read: {layout.container}"),))
    if layout is not None and layout.iso:
        return _cdrom(image, layout)
    sector = bytes(image.data[:SECTOR])
    if sector[510:] != _SIGNATURE:
        found = sector[510:].hex(" ") or f"only {len(sector)} bytes"
        return _refusal("boot signature", found, "55 aa at offset 510 of the first sector needed")
    if layout is None and INT13 not in sector:
        needed = "boot code that reads the rest of it needed"
        return _refusal("boot sector", "no call of INT 13h", needed)
    if layout is not None and not layout.boot_code:
        needed = "boot code before the partition table needed"
        return _refusal("boot sector", "zeros", needed)
    if len(image.data) < _CYLINDER:
        needed = f"at least {_CYLINDER:#x} needed: SeaBIOS cannot read a smaller hard disk"
        hint = f"zeros at its end do no harm: truncate -s 1M {image.source}"
        reason = Reason("disk size", f"{len(image.data):#x} bytes", needed, hint)
        return Refusal(NAME, (reason,))
    facts = [("drive", f"DL = {_HARD_DISK:#x}, the first hard disk")]
    if layout is not None:
        active = [str(p.number) for p in layout.partitions if p.active]
        facts += [("active partition", " ".join(active))] if active else []
    return _offer(image, tuple(facts))


def _cdrom(image: Image, layout: DiskLayout) -> Offer | Refusal:
    mine = [entry for entry in layout.boot_entries if entry.platform == NAME]
    entry = _boot_entry(layout)
    if entry is not None:
        what = f"{entry.sectors} sectors at {entry.start:#x}, emulation {entry.emulation}"
        drive = f"DL = {_CDROM[entry.emulation]:#x}"
        facts = (("El Torito entry", what), ("drive", drive))
        return _offer(image, facts, entry.segment << 4)
    found = f"{len(mine)} entries for a BIOS, none bootable" if mine else "no entry for a BIOS"
    return _refusal("El Torito boot catalog", found, "a bootable one needed to start a CD-ROM")


def _boot_entry(layout: DiskLayout) -> BootEntry | None:
    mine = (entry for entry in layout.boot_entries if entry.platform == NAME and entry.bootable)
    return next(mine, None)


def _offer(image: Image, facts: tuple[tuple[str, str], ...], entry: int = _ENTRY) -> Offer:
    return Offer(
        protocol=NAME,
        entry=entry,
        image=image,
        nested=False,
        needs=entry + SECTOR,
        firmware=_FIRMWARE,
        facts=facts,
    )


def _refusal(what: str, found: str, needed: str) -> Refusal:
    return Refusal(NAME, (Reason(what, found, needed),))


def encode(offer: Offer, info: BootInfo, machine: Machine, rsdp: Ref | None) -> Entry:
    """Say how the firmware enters the boot sector; it does so itself, nothing is laid out.

    All that every BIOS promises is where the code is and DL, the drive. The rest is SeaBIOS's;
    SP lies in a stack of its own.

    :param rsdp: not used: the firmware has ACPI tables of its own
    """
    from hvmlite.model import CpuState, Entry
    from hvmlite.protocols._pieces import not_carried  # only now: who asks for offers needs neither

    layout = offer.image.disk
    entry = _boot_entry(layout) if layout is not None and layout.iso else None
    cpu = CpuState(
        rax=0xAA55,
        rdx=_HARD_DISK if entry is None else _CDROM[entry.emulation],
        rsp=0x6F04,
        rip=offer.entry,
        rflags=0x202,
    )
    return Entry(NAME, (), cpu, dropped=not_carried(info, "a BIOS hands over nothing but a drive"))


def decode(memory: GuestMemory, cpu: CpuState) -> BootInfo:
    """Return an empty BootInfo: a boot sector is told nothing."""
    from hvmlite.model import BootInfo

    return BootInfo()
