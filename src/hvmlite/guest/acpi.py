"""A minimal but complete set of ACPI tables for the machine that an engine provides.

The tables say what is there and nothing else: a PC's legacy devices are present or absent as
:class:`hvmlite.model.Platform` says. Without power management registers (`pm_base`) the machine is
a hardware-reduced one. SMI_CMD is 0: the machine is in ACPI mode (SCI_EN set) from the start.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hvmlite.guest import _dsdt, layout
from hvmlite.model import Fixup, Kind, Machine, MemoryType, Piece, Platform, Ref
from hvmlite.spec.acpi import (
    AccessSize,
    AddressSpace,
    Facs,
    Fadt,
    FadtBootFlag,
    FadtFlag,
    GenericAddress,
    Hpet,
    IntiFlag,
    Madt,
    MadtFlag,
    MadtInterruptOverride,
    MadtIoApic,
    MadtLapicFlag,
    MadtLocalApic,
    MadtLocalApicNmi,
    MadtLocalX2apic,
    MadtLocalX2apicNmi,
    McfgAllocation,
    Rsdp,
    TableHeader,
)

if TYPE_CHECKING:
    from hvmlite.wire import Struct

__all__ = ["RSDP", "root_pointer", "tables"]

RSDP = "ACPI RSDP"
"""The name of the piece that the root pointer is, for :class:`hvmlite.model.Ref`."""

_OEM_ID = b"HVMLIT"
_HEADER = TableHeader(
    oem_id=_OEM_ID,
    oem_table_id=b"HVMLITE ",
    oem_revision=1,
    asl_compiler_id=b"HVML",
    asl_compiler_revision=1,
)
_CHECKSUM = (TableHeader.FIELDS["checksum"].offset, None)  # of the whole table
_RSDP_V1 = Rsdp.FIELDS["length"].offset  # where the RSDP of ACPI 1.0 ends
_LAPICS = 255  # ids 0-254; 255 is the broadcast id, and too big for a LAPIC structure
_CENTURY = 0x32  # the byte of CMOS RAM where a PC keeps it
_NO_C2, _NO_C3 = 101, 1001  # latencies above 100 and 1000 microseconds mean "not supported"
_HPET_ID = 0x8086A201  # what the block itself reads: Intel, legacy routing, 64 bits, 3 timers


def tables(machine: Machine) -> tuple[Piece, ...]:
    """Return the tables as pieces that refer to each other: RSDP, XSDT, FADT, MADT, DSDT and more.

    A FACS is there with power management registers, HPET and MCFG with their hardware. The RSDT is
    for guests that are handed an RSDP of ACPI 1.0; who reads revision 2 takes the XSDT. Processors
    have the local APIC ids 0 to ``machine.cpus - 1``.
    """
    platform = machine.platform
    listed = [_fadt(platform), _madt(machine)]
    if platform.hpet is not None:
        listed.append(_hpet(platform.hpet))
    if platform.pci is not None and platform.pci.ecam is not None:
        listed.append(_mcfg(platform.pci.ecam, platform.pci.buses))
    pieces = [root_pointer(), _sdt("RSDT", 4, listed), _sdt("XSDT", 8, listed), *listed]
    pieces.append(_table("DSDT", 2, _dsdt.definition_block(platform)))
    if platform.pm_base is not None:
        facs = Facs(signature=b"FACS", length=Facs.SIZE, version=2).pack()
        pieces.append(_piece("FACS", facs, align=64, memory_type=MemoryType.NVS))
    return tuple(pieces)


def root_pointer(revision: int = 2) -> Piece:
    """Return the RSDP, the piece :data:`RSDP` of :func:`tables`, or the data to copy it elsewhere.

    :param revision: 2, or 0 for the 20 bytes of ACPI 1.0, which know the RSDT only
    """
    rsdp = Rsdp(signature=b"RSD PTR ", oem_id=_OEM_ID, revision=revision)
    fixups = (_to(Rsdp, "rsdt_physical_address", "RSDT"),)
    checksum = (Rsdp.FIELDS["checksum"].offset, _RSDP_V1)
    if revision == 0:
        return _sealed(_piece("RSDP", rsdp.pack()[:_RSDP_V1]), fixups, (checksum,))
    return _sealed(
        _piece("RSDP", rsdp.replace(length=Rsdp.SIZE).pack()),
        (*fixups, _to(Rsdp, "xsdt_physical_address", "XSDT")),
        (checksum, (Rsdp.FIELDS["extended_checksum"].offset, None)),
    )


def _piece(
    name: str, data: bytes, *, align: int = 16, memory_type: MemoryType = MemoryType.ACPI
) -> Piece:
    return Piece(
        name=f"ACPI {name}",
        data=data,
        kind=Kind.ACPI,
        align=align,
        low=layout.ACPI.low,
        high=layout.ACPI.high,
        top=True,
        memory_type=memory_type,
    )


def _table(
    name: str, revision: int, body: bytes, fixups: tuple[Fixup, ...] = (), signature: str = ""
) -> Piece:
    # `body` is what follows the header, fixups count from the table's start.
    header = _HEADER.replace(
        signature=(signature or name).encode("ascii"),
        length=TableHeader.SIZE + len(body),
        revision=revision,
    )
    return _sealed(_piece(name, header.pack() + body), fixups, (_CHECKSUM,))


def _sealed(
    piece: Piece, fixups: tuple[Fixup, ...], checksums: tuple[tuple[int, int | None], ...]
) -> Piece:
    return piece.replace(fixups=fixups, seal=partial(_seal, checksums))


def _seal(checksums: tuple[tuple[int, int | None], ...], data: bytearray) -> None:
    # Each checksum, still 0 at its offset, makes the first `length` bytes (None: all) sum to 0.
    for offset, length in checksums:
        data[offset] = -sum(data[:length]) & 0xFF


def _to(layout_: type[Struct], field: str, name: str) -> Fixup:
    # The address of table `name` goes into `field`.
    place = layout_.FIELDS[field]
    return Fixup(place.offset, place.size, Ref(f"ACPI {name}"))


def _sdt(name: str, width: int, listed: list[Piece]) -> Piece:
    # The list of all tables: addresses of 4 bytes in an RSDT, of 8 in an XSDT.
    fixups = tuple(
        Fixup(TableHeader.SIZE + width * index, width, Ref(table.name))
        for index, table in enumerate(listed)
    )
    return _table(name, 1, bytes(width * len(listed)), fixups)


def _fadt(platform: Platform) -> Piece:
    fixups = [_to(Fadt, "dsdt", "DSDT"), _to(Fadt, "xdsdt", "DSDT")]
    if platform.pm_base is not None:
        fixups.append(_to(Fadt, "facs", "FACS"))  # the 64-bit field is for addresses above 4 GiB
    fadt = Fadt(
        c2_latency=_NO_C2,
        c3_latency=_NO_C3,
        century=_CENTURY if platform.rtc else 0,
        boot_flags=_boot_flags(platform),
        flags=_flags(platform),
        minor_revision=5,
    )
    if platform.reset is not None:
        port, value = platform.reset
        fadt = fadt.replace(reset_register=_port(port, 1, AccessSize.BYTE), reset_value=value)
    if platform.pm_base is not None:
        fadt = _with_pm_blocks(fadt, platform, platform.pm_base)
    body = fadt.pack()[TableHeader.SIZE :]
    return _table("FADT", 6, body, tuple(fixups), signature="FACP")


def _port(port: int, length: int, access: AccessSize) -> GenericAddress:
    return GenericAddress(
        space_id=AddressSpace.SYSTEM_IO, bit_width=8 * length, access_width=access, address=port
    )


def _with_pm_blocks(fadt: Fadt, platform: Platform, base: int) -> Fadt:
    event, control, timer = base, base + 4, base + 8
    fadt = fadt.replace(
        sci_interrupt=platform.sci,
        pm1a_event_block=event,
        pm1a_control_block=control,
        pm_timer_block=timer,
        pm1_event_length=4,
        pm1_control_length=2,
        pm_timer_length=4,
        xpm1a_event_block=_port(event, 4, AccessSize.WORD),
        xpm1a_control_block=_port(control, 2, AccessSize.WORD),
        xpm_timer_block=_port(timer, 4, AccessSize.DWORD),
    )
    if platform.gpe_base is None or not platform.gpe_length:
        return fadt
    return fadt.replace(
        gpe0_block=platform.gpe_base,
        gpe0_block_length=platform.gpe_length,
        xgpe0_block=_port(platform.gpe_base, platform.gpe_length, AccessSize.BYTE),
    )


def _flags(platform: Platform) -> FadtFlag:
    flags = FadtFlag.WBINVD | FadtFlag.PROC_C1 | FadtFlag.SLP_BUTTON
    if platform.pm_base is None:
        flags |= FadtFlag.HW_REDUCED_ACPI | FadtFlag.PWR_BUTTON
    if platform.pm_base is None or not platform.rtc:
        flags |= FadtFlag.FIX_RTC
    if platform.reset is not None:
        flags |= FadtFlag.RESET_REG_SUP
    return flags


def _boot_flags(platform: Platform) -> FadtBootFlag:
    flags = FadtBootFlag(0)
    if platform.serial or platform.i8042:
        flags |= FadtBootFlag.LEGACY_DEVICES
    if platform.i8042:
        flags |= FadtBootFlag.I8042
    if not platform.vga:
        flags |= FadtBootFlag.NO_VGA
    if not platform.rtc:
        flags |= FadtBootFlag.NO_CMOS_RTC
    return flags


def _madt(machine: Machine) -> Piece:
    platform, cpus = machine.platform, machine.cpus
    items: list[Struct] = [
        MadtLocalApic(processor_id=cpu, id=cpu, lapic_flags=MadtLapicFlag.ENABLED)
        for cpu in range(min(cpus, _LAPICS))
    ]
    items += [
        MadtLocalX2apic(local_apic_id=cpu, uid=cpu, lapic_flags=MadtLapicFlag.ENABLED)
        for cpu in range(_LAPICS, cpus)
    ]
    items.append(MadtIoApic(address=platform.ioapic))
    items += _overrides(platform)
    items.append(MadtLocalApicNmi(processor_id=0xFF, lint=1))
    if cpus > _LAPICS:
        items.append(MadtLocalX2apicNmi(uid=0xFFFFFFFF, lint=1))
    madt = Madt(address=platform.lapic, flags=MadtFlag.PCAT_COMPAT if platform.pic else 0)
    body = madt.pack()[TableHeader.SIZE :] + b"".join(item.pack() for item in items)
    return _table("MADT", 5, body, signature="APIC")


def _overrides(platform: Platform) -> list[MadtInterruptOverride]:
    # ISA interrupts that are not "same number, edge, active high", as a PC's firmware says them.
    overrides = []
    if platform.pit and platform.timer_gsi:
        overrides.append(MadtInterruptOverride(source_irq=0, global_irq=platform.timer_gsi))
    if platform.pm_base is not None and platform.sci < 16:
        overrides.append(
            MadtInterruptOverride(
                source_irq=platform.sci,
                global_irq=platform.sci,
                inti_flags=IntiFlag.LEVEL | IntiFlag.ACTIVE_HIGH,
            )
        )
    return overrides


def _hpet(base: int) -> Piece:
    address = GenericAddress(space_id=AddressSpace.SYSTEM_MEMORY, bit_width=64, address=base)
    return _table("HPET", 1, Hpet(id=_HPET_ID, address=address).pack()[TableHeader.SIZE :])


def _mcfg(ecam: int, buses: int) -> Piece:
    allocation = McfgAllocation(address=ecam, end_bus_number=buses - 1)
    return _table("MCFG", 1, bytes(8) + allocation.pack())
