"""QEMU's q35 machine without firmware: its registers, its address map, the state it is put in.

Intel 3 Series Express Chipset Family datasheet (316966) for the MCH, Intel ICH9 datasheet (316972)
for the LPC bridge; hw/i386/pc_q35.c of QEMU 7.2 for the split of RAM around 4 GiB.

Of QEMU's machines this one, because it is complete and small: SMM (see :mod:`._rom`), the PIT
reference that TSC calibration needs (microvm has none under TCG, and hangs in one boot of ten),
soft-off and reset as ACPI wants them, and everything that nobody asked for can be left out (pc
always has IDE and floppy controllers).
"""

from __future__ import annotations

from typing import NamedTuple

from hvmlite.errors import RequestError
from hvmlite.model import Disk, Machine, MemoryRange, MemoryType, PciHost, Platform, RamBlock

__all__ = [
    "APM_CNT",
    "EXIT_PORT",
    "RESET",
    "SET_UP",
    "SMI_APMC",
    "SMI_EN",
    "SMRAM_CLOSE",
    "SMRAM_OPEN",
    "SMRAM_START",
    "MemoryWrite",
    "PortWrite",
    "config",
    "machine",
    "setup",
]

_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30


class PortWrite(NamedTuple):
    """A write of `size` bytes (1, 2 or 4) to an I/O port."""

    port: int
    value: int
    size: int = 1


def config(device: int, function: int, register: int, value: int) -> tuple[PortWrite, PortWrite]:
    """Return the writes that put one byte into the configuration space of a device on bus 0."""
    address = 0x8000_0000 | device << 11 | function << 8 | register & ~3
    return PortWrite(0xCF8, address, 4), PortWrite(0xCFC + (register & 3), value)


class MemoryWrite(NamedTuple):
    """A 32-bit write to a memory-mapped register."""

    address: int
    value: int


EXIT_PORT = 0xF4
"""Where isa-debug-exit is put."""
_LAPIC = 0xFEE0_0000
_PM_BASE = 0x600  # SeaBIOS and coreboot put the ACPI registers there, too
_GPE0 = _PM_BASE + 0x20
SMI_EN = _PM_BASE + 0x30
SMI_APMC = 0x21
"""SMI_EN: APMC_EN and GBL_SMI_EN."""
APM_CNT = 0xB2
"""A write raises an SMI if SMI_EN says so (ICH9 13.7.1)."""

_ECAM = 0xB000_0000
_PCI_MMIO = (0xC000_0000, 0xFEC0_0000)  # between ECAM and the IOAPIC
_PCI_MMIO64 = (1 << 38, 3 << 37)  # above any RAM, within the 40 address bits of TCG's models
_PCI_GSI = (20, 21, 22, 23)  # slots 0-24 go to PIRQE-PIRQH (hw/isa/lpc_ich9.c, ich9_cc_init)

_LEGACY = MemoryRange(0xA0000, 0x100000, MemoryType.RESERVED)
_BOARD = MemoryRange(0xFEC0_0000, 1 << 32, MemoryType.RESERVED)  # IOAPIC, HPET, LAPIC, ROM
SET_UP = (0x8000_F844, 0x80)
"""Configuration address and bit (ACPI_CNTL, ACPI_EN) that :func:`setup` has set."""
RESET = (0xCF9, 0x06)
"""I/O port and value that reset the machine: RST_CNT, RST_CPU and SYS_RST."""
SMRAM_START = 0xA0000
"""128 KiB of RAM behind the video window, which is not in the memory map.

QEMU sends accesses outside SMM to the PCI bus. No video adapter answers there, and so they end up
in the RAM below after all: guests can read and write it.
"""

_MCH, _LPC = (0, 0), (31, 0)
_SMRAM = 0x9D  # D_OPEN 0x40, G_SMRAME 0x08, C_BASE_SEG 0x02
SMRAM_OPEN = config(*_MCH, _SMRAM, 0x4A)
"""Everybody sees SMRAM."""
SMRAM_CLOSE = config(*_MCH, _SMRAM, 0x0A)
"""Only SMM sees SMRAM, where there is a video adapter."""

_UNIT = 8 * _KIB  # QEMU rounds -m up to this, and the backend must have exactly that size
_LEAST, _MOST = 1 * _MIB, 128 * _GIB


def machine(memory: int, cpus: int, disks: tuple[Disk, ...] = (), firmware: str = "") -> Machine:
    """Describe the machine that QEMU makes for `memory` bytes of RAM.

    It may have up to 4 KiB more RAM than was asked for: QEMU counts in units of 8 KiB. A PCI host
    is described only where there are disks, the only PCI devices: a guest then probes nothing. With
    `firmware` the machine is the whole PC, and what it is like is the firmware's to say.

    :raises RequestError: there is no such machine
    """
    if memory % (4 * _KIB) or not _LEAST <= memory <= _MOST:
        raise RequestError(
            f"memory: {memory:#x} bytes found, whole pages from 1 MiB to 128 GiB needed",
            field="memory",
        )
    if not 1 <= cpus <= 255:
        raise RequestError(f"cpus: {cpus} found, 1 to 255 needed", field="cpus")
    for disk in disks:
        if disk.cdrom and not firmware:
            raise RequestError(
                f"{disk.path}: a CD-ROM drive found, a machine with firmware needed", field="disk"
            )
    memory = -(-memory // _UNIT) * _UNIT
    # Low RAM ends at 2 GiB as soon as there are 2.75 GiB: ECAM and the PCI window lie behind it.
    low = memory if memory < _ECAM else 2 * _GIB
    ram = [RamBlock(0, low, 0)]
    if memory > low:
        ram.append(RamBlock(4 * _GIB, memory - low, low))
    reserved = [_LEGACY, _BOARD]
    if firmware:
        reserved, platform = [], Platform()
    else:
        platform = _platform(pci=bool(disks))
    if disks and not firmware:
        reserved.append(MemoryRange(_ECAM, _ECAM + 256 * _MIB, MemoryType.RESERVED))
    return Machine(
        name="q35",
        memory=memory,
        ram=tuple(ram),
        reserved=tuple(sorted(reserved)),
        cpus=cpus,
        platform=platform,
        disks=disks,
        firmware=firmware,
    )


def _platform(*, pci: bool) -> Platform:
    host = PciHost(_PCI_MMIO, _PCI_GSI, ecam=_ECAM, mmio64=_PCI_MMIO64, express=True)
    return Platform(
        pm_base=_PM_BASE,
        gpe_base=_GPE0,
        gpe_length=16,
        sci=9,
        s5=0,
        reset=RESET,
        pci=host if pci else None,
    )


def setup() -> tuple[PortWrite | MemoryWrite, ...]:
    """Return what firmware would have written, so that :func:`machine` tells the truth.

    ACPI registers at their place and enabled, ACPI mode on (no SMI command is declared), ECAM on,
    PCI interrupts routed to the 8259s as well (IRQ 10 and 11, level-triggered, like the SCI). The
    local APIC lets the 8259s through (virtual wire mode, MultiProcessor Specification 1.4,
    3.6.2.2): a guest that does not use it, as Linux with acpi=off, would see no interrupt at all.
    The 8259s have the vectors that a BIOS gives them, and let nothing through.
    """
    return (
        *config(*_LPC, 0x40, _PM_BASE & 0xFF | 1),
        *config(*_LPC, 0x41, _PM_BASE >> 8),
        *config(*_LPC, 0x44, 0x80),  # ACPI_CNTL: ACPI_EN, SCI on IRQ 9
        PortWrite(_PM_BASE + 4, 1, 2),  # PM1_CNT: SCI_EN
        *config(*_MCH, 0x63, _ECAM >> 24),
        *config(*_MCH, 0x60, 1),  # PCIEXBAR: 256 MiB, enabled
        *(w for n in range(4) for w in config(*_LPC, 0x68 + n, 10 + n // 2)),  # PIRQE-PIRQH
        # ICW1-4 of both 8259s: IRQ 0-7 are vectors 08-0F, IRQ 8-15 are 70-77, as in every PC.
        *(PortWrite(0x20 + (n > 0), value) for n, value in enumerate((0x11, 0x08, 0x04, 0x01))),
        *(PortWrite(0xA0 + (n > 0), value) for n, value in enumerate((0x11, 0x70, 0x02, 0x01))),
        PortWrite(0x4D1, 0x0E),  # ELCR2: IRQ 9, 10, 11
        PortWrite(0x21, 0xFF),  # no 8259 interrupt before the guest wants it: the 8254 ticks
        PortWrite(0xA1, 0xFF),
        MemoryWrite(_LAPIC + 0xF0, 0x1FF),  # spurious vector 0xFF, APIC enabled
        MemoryWrite(_LAPIC + 0x350, 0x700),  # LINT0: ExtINT
        MemoryWrite(_LAPIC + 0x360, 0x400),  # LINT1: NMI
    )
