"""The DSDT's contents: soft-off, ISA devices, and a PCI root bridge if there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.guest import _aml as aml
from hvmlite.guest import layout

if TYPE_CHECKING:
    from hvmlite.model import PciHost, Platform, SerialPort

_SLOTS, _PINS = 32, 4  # of a PCI bus, of a device
_CONFIG_PORTS = (0xCF8, 8)
_HPET_SIZE = 0x400
_BUS_SIZE = 1 << 20  # of the memory-mapped configuration space
_RTC_IRQ, _KEYBOARD_IRQ, _MOUSE_IRQ = 8, 1, 12


def definition_block(platform: Platform) -> bytes:
    """Return the AML that follows the DSDT's header."""
    devices = [_serial(number, port) for number, port in enumerate(platform.serial, 1)]
    if platform.rtc:
        rtc = aml.resources(aml.io(0x70, 2), aml.irq(_RTC_IRQ))
        devices.append(_device("RTC", "PNP0B00", aml.name("_CRS", rtc)))
    if platform.i8042:
        keyboard = aml.resources(aml.io(0x60, 1), aml.io(0x64, 1), aml.irq(_KEYBOARD_IRQ))
        devices.append(_device("KBD", "PNP0303", aml.name("_CRS", keyboard)))
        mouse = aml.resources(aml.irq(_MOUSE_IRQ))
        devices.append(_device("MOU", "PNP0F13", aml.name("_CRS", mouse)))
    if platform.hpet is not None:
        hpet = aml.resources(aml.memory32(platform.hpet, _HPET_SIZE, writable=False))
        devices.append(_device("HPET", "PNP0103", aml.name("_CRS", hpet)))
    if platform.pci is not None:
        devices += _pci(platform.pci, vga=platform.vga)
    block = aml.scope("_SB", *devices)
    if platform.pm_base is not None:
        off = aml.integer(platform.s5)
        block = aml.name("_S5", aml.package(off, off, aml.integer(0), aml.integer(0))) + block
    return block


def _device(name: str, hid: str, *terms: bytes) -> bytes:
    return aml.device(name, aml.name("_HID", aml.eisa_id(hid)), *terms)


def _serial(number: int, port: SerialPort) -> bytes:
    crs = aml.resources(aml.io(port.port, 8), aml.irq(port.irq))
    uid = aml.name("_UID", aml.integer(number))
    return _device(f"COM{number}", "PNP0501", uid, aml.name("_CRS", crs))


def _pci(pci: PciHost, *, vga: bool) -> list[bytes]:
    ids = [aml.name("_CID", aml.eisa_id("PNP0A03"))] if pci.express else []
    ids += [aml.name(path, aml.integer(0)) for path in ("_UID", "_SEG", "_BBN")]
    windows = [aml.bus_window(0, pci.buses - 1), aml.io(*_CONFIG_PORTS)]
    windows += [aml.io_window(0, 0xCF7), aml.io_window(0xD00, 0xFFFF)]
    if vga:
        windows.append(aml.memory_window(layout.VGA.low, layout.VGA.high - 1))
    for window in (pci.mmio, pci.mmio64):
        if window is not None:
            windows.append(aml.memory_window(window[0], window[1] - 1))
    terms = [*ids, aml.name("_CRS", aml.resources(*windows))]
    if pci.gsi:
        terms.append(aml.name("_PRT", _routing(pci.gsi)))
    bridge = _device("PCI0", "PNP0A08" if pci.express else "PNP0A03", *terms)
    if pci.ecam is None:
        return [bridge]
    # Linux uses the memory-mapped configuration space only if a motherboard device keeps it.
    ecam = aml.reserved_memory(pci.ecam, pci.ecam + pci.buses * _BUS_SIZE - 1)
    return [bridge, _device("ECAM", "PNP0C02", aml.name("_CRS", aml.resources(ecam)))]


def _routing(gsi: tuple[int, ...]) -> bytes:
    # _PRT (6.2.13): slot and any function, pin, no link device, GSI.
    return aml.package(
        *(
            aml.package(
                aml.integer(slot << 16 | 0xFFFF),
                aml.integer(pin),
                aml.integer(0),
                aml.integer(gsi[(slot + pin) % len(gsi)]),
            )
            for slot in range(_SLOTS)
            for pin in range(_PINS)
        )
    )
