"""The machine that an engine provides, as far as a loader and the ACPI tables need to know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.values import Value

if TYPE_CHECKING:
    from hvmlite.model.boot import MemoryRange

__all__ = ["Disk", "Machine", "PciHost", "Platform", "RamBlock", "SerialPort"]


class RamBlock(Value):
    """`size` bytes of RAM at guest-physical `start`, found at `offset` of the shared memory."""

    start: int
    size: int
    offset: int

    @property
    def end(self) -> int:
        """The first address after the block."""
        return self.start + self.size


class SerialPort(Value):
    """A 16550A at I/O port `port` with ISA interrupt `irq`."""

    port: int = 0x3F8
    irq: int = 4


class PciHost(Value):
    """A PCI host bridge: windows that devices may be given, and how INTA-INTD are wired.

    `ecam` is the base of the memory-mapped configuration space (None: ports CF8/CFC only), `buses`
    the number of buses. `mmio` and `mmio64` are free address windows. `gsi` maps device slots:
    interrupt pin p (0 is INTA) of slot s is GSI `gsi[(s + p) % len(gsi)]`.
    """

    mmio: tuple[int, int]
    gsi: tuple[int, ...]
    ecam: int | None = None
    buses: int = 256
    mmio64: tuple[int, int] | None = None
    express: bool = False


class Platform(Value):
    """Fixed hardware that ACPI describes; None or 0 means that it is not there.

    :param pm_base: I/O port base of the PM1a event block (+0), control (+4) and PM timer (+8)
    :param gpe_base: I/O port base of the GPE0 block, `gpe_length` bytes
    :param sci: GSI of the system control interrupt
    :param s5: SLP_TYP value of soft-off
    :param reset: (I/O port, value) that resets the machine
    :param hpet: base address of the HPET block
    :param timer_gsi: GSI that the 8254 timer (ISA IRQ 0) is wired to
    """

    lapic: int = 0xFEE00000
    ioapic: int = 0xFEC00000
    pic: bool = True
    pit: bool = True
    rtc: bool = True
    i8042: bool = False
    vga: bool = False
    pm_base: int | None = None
    gpe_base: int | None = None
    gpe_length: int = 0
    sci: int = 9
    s5: int = 0
    reset: tuple[int, int] | None = None
    hpet: int | None = None
    timer_gsi: int = 2
    serial: tuple[SerialPort, ...] = (SerialPort(),)
    pci: PciHost | None = None


class Disk(Value):
    """A disk image for the guest; `format` is "raw" or "qcow2" and always stated, never guessed.

    With `snapshot` the guest may write, but the file stays as it is: what was written is lost at
    the end. `cdrom` puts it into a CD-ROM drive, which only machines with firmware have.
    """

    path: str
    format: str = "raw"
    read_only: bool = True
    snapshot: bool = False
    cdrom: bool = False


class Machine(Value):
    """What the guest runs on: `memory` bytes of RAM in `ram` blocks, `cpus`, fixed hardware.

    `reserved` are address ranges that no RAM is usable in and that the guest's memory map must
    name (ROM, ECAM, the legacy video window); they may overlap `ram`, and then win. `firmware` is
    "" where hvmlite builds the guest itself, else "seabios" or "ovmf": the machine's own firmware
    runs first and starts the first disk, and a plan for it has no pieces.
    """

    name: str
    memory: int
    ram: tuple[RamBlock, ...]
    reserved: tuple[MemoryRange, ...] = ()
    cpus: int = 1
    platform: Platform = Platform()
    disks: tuple[Disk, ...] = ()
    firmware: str = ""
