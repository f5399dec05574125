"""Plans for Linux kernels on machines that are values, for the tests of all Linux protocols."""

from __future__ import annotations

from hvmlite.guest.place import place
from hvmlite.model import BootInfo, Module, Offer
from makers.linux import bzimage
from makers.pvh import MIB, machine

INITRD = Module(b"initrd" * 100, name="initrd")


def lay_out(protocol, image=None, info=None, *, memory=64 * MIB, on=None, rsdp=None):
    """A plan; with an initrd unless `info` says otherwise."""
    offer = protocol.offers(image or bzimage())
    assert isinstance(offer, Offer), offer
    info = info or BootInfo(b"console=ttyS0", (INITRD,))
    on = on or machine(memory, low_end=2 << 30 if memory > 3 << 30 else 3 << 30)
    return place(protocol.encode(offer, info, on, rsdp), on, info)


def number(data, offset, size):
    return int.from_bytes(data[offset : offset + size], "little")
