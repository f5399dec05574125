"""UEFI: programs that firmware loads and enters with its services alive, in docs/protocols/efi.md.

Document: UEFI 2.10, sections 2.1, 2.3.4 (x64 platforms), 3.5 (boot from removable media). A disk is
started by OVMF, the machine's firmware. A program by itself is not: nobody here has UEFI's services
for it; what it states is told all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.model import DiskLayout, Image, Offer, Refusal

if TYPE_CHECKING:
    from hvmlite.model import BootInfo, CpuState, Entry, GuestMemory, Machine, Ref

__all__ = ["NAME", "carries", "decode", "encode", "offers"]

NAME = "efi"
carries: frozenset[str] = frozenset()
"""Nothing: what is started reads its own configuration."""

_FIRMWARE = "ovmf"


def offers(image: Image) -> Offer | Refusal:
    """Look for what UEFI firmware starts of a disk: where a boot program could be.

    :param image: of a program, a kernel with an EFI stub or a UKI the headers are read
    """
    found = _places(image.disk) if image.disk is not None else []
    if not found:
        from hvmlite.protocols._efi_program import refusal  # only now: no guest waits for it

        return refusal(NAME, image)
    return Offer(
        protocol=NAME,
        entry=0,
        image=image,
        nested=False,
        needs=0,
        firmware=_FIRMWARE,
        facts=tuple(found),
    )


def _places(layout: DiskLayout) -> list[tuple[str, str]]:
    # File systems that firmware looks into: FAT, wherever it is, and boot entries of CD-ROMs.
    if layout.container != "raw":
        return [("contents", f"not read: {layout.container}")]
    found = [
        ("El Torito entry", f"EFI, {entry.sectors} sectors at {entry.start:#x}")
        for entry in layout.boot_entries
        if entry.platform == NAME and entry.bootable
    ]
    if layout.iso and not found:
        return []  # it goes into a CD-ROM drive, where there are no partitions
    found += [
        (
            "EFI system partition" if part.esp else "FAT partition",
            f"{part.number}, {part.size:#x} bytes at {part.start:#x}",
        )
        for part in layout.partitions
        if part.esp or part.fat
    ]
    return [*found, ("FAT file system", "the whole disk")] if layout.fat else found


def encode(offer: Offer, info: BootInfo, machine: Machine, rsdp: Ref | None) -> Entry:
    """Say in which state UEFI for x64 enters a program; where, only the firmware knows.

    The document's state, and of what it leaves open that which OVMF of edk2 2022.11 was seen in.
    RCX and RDX hold the image's handle and the system table.

    :param rsdp: not used: the firmware has ACPI tables of its own
    """
    from hvmlite.guest.segments import CODE64, DATA32
    from hvmlite.model import CpuState, Entry
    from hvmlite.protocols._pieces import not_carried  # only now: who asks for offers needs neither

    code, data = CODE64.replace(selector=0x38), DATA32.replace(selector=0x30)
    cpu = CpuState(
        rflags=0x246,
        cs=code,
        ds=data,
        es=data,
        fs=data,
        gs=data,
        ss=data,
        cr0=0x80010033,
        cr4=0x668,
        efer=0xD00,
    )
    reason = "UEFI firmware hands over what its own boot options say"
    return Entry(NAME, (), cpu, dropped=not_carried(info, reason))


def decode(memory: GuestMemory, cpu: CpuState) -> BootInfo:
    """Return an empty BootInfo: a program asks the firmware's services for everything."""
    from hvmlite.model import BootInfo

    return BootInfo()
