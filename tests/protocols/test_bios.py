"""BIOS: what is offered, what is refused and why; tests/boot/test_disks.py enters it."""

from __future__ import annotations

import pytest

from hvmlite.engines import record
from hvmlite.guest.memory import PlanMemory
from hvmlite.images import parse
from hvmlite.model import BootInfo, CpuState, GuestPlan, Module, Offer, Refusal
from hvmlite.protocols import bios
from images.test_disk import ENTRY, mbr, part, section, torito, validation
from makers import bzimage, elf
from makers.pvh import MIB

CODE = b"\xfa\xeb\xfe".ljust(510, b"\0") + b"\x55\xaa"
DISK = CODE.ljust(MIB, b"\0")
KERNEL = bzimage.BzImage(bzimage.payload("gzip", elf.pvh_kernel())).build()


def offer(data):
    found = bios.offers(parse(data, "t"))
    assert isinstance(found, Offer), found
    return found


def refused(data):
    found = bios.offers(parse(data, "t"))
    assert isinstance(found, Refusal), found
    (reason,) = found.reasons
    return str(reason)


def test_a_boot_sector_is_offered():
    found = offer(DISK)
    assert (found.protocol, found.entry, found.firmware) == ("bios", 0x7C00, "seabios")
    assert found.needs == 0x7E00
    assert dict(found.facts) == {"drive": "DL = 0x80, the first hard disk"}


def test_the_active_partition_is_a_fact():
    data = bytearray(mbr(part(0x83, 1, 4), part(0x83, 8, 4, flag=0x80)).ljust(MIB, b"\0"))
    assert dict(offer(bytes(data)).facts)["active partition"] == "2"


def test_what_is_no_boot_sector():
    assert refused(elf.pvh_kernel()).startswith("boot signature: ")
    empty = mbr(part(0x83, 1, 4))
    empty[:440] = bytes(440)
    assert (
        refused(bytes(empty)) == "boot sector: zeros, boot code before the partition table needed"
    )
    short = refused(CODE)
    assert short.startswith("disk size: 0x200 bytes, at least 0x7e000 needed")


def test_a_kernel_is_a_disk_only_if_its_first_sector_reads_the_rest():
    assert refused(KERNEL).startswith("boot sector: no call of INT 13h")
    floppy = bytearray(KERNEL.ljust(MIB, b"\0"))
    floppy[0x40:0x42] = b"\xcd\x13"
    assert offer(bytes(floppy)).entry == 0x7C00


def test_real_boot_sectors(images):
    memtest = (images["memtest86+"] / "memtest86+x64.bin").read_bytes()
    assert "SeaBIOS cannot read a smaller hard disk" in refused(memtest)
    assert offer(memtest.ljust(MIB, b"\0")).firmware == "seabios"


@pytest.mark.parametrize("name", ["6.1-cloud", "6.12-cloud", "6.1-686-pae"])
def test_real_kernels_are_no_disks(kernels, name):
    assert refused(kernels[name].read_bytes()).startswith("boot sector: no call of INT 13h")


def test_cdroms():
    found = offer(torito(validation() + ENTRY))
    assert dict(found.facts) == {
        "El Torito entry": "4 sectors at 0xf000, emulation none",
        "drive": "DL = 0xe0",
    }
    assert found.entry == 0x7C00
    assert refused(torito(b"")).startswith("El Torito boot catalog: no entry for a BIOS")
    unbootable = bytes(1) + ENTRY[1:]
    text = refused(torito(validation() + unbootable))
    assert text.startswith("El Torito boot catalog: 1 entries for a BIOS, none bootable")
    efi_only = torito(validation(platform=0xEF) + ENTRY + section(platform=0xEF) + ENTRY)
    assert refused(efi_only).startswith("El Torito boot catalog: no entry for a BIOS")


def test_a_load_segment_is_the_entry():
    entry = bytearray(ENTRY)
    entry[2:4] = b"\x00\x10"
    assert offer(torito(validation() + bytes(entry))).entry == 0x10000


def test_a_qcow2_image_is_offered_unread():
    found = offer(b"QFI\xfb\0\0\0\3" + bytes(600))
    assert dict(found.facts) == {"contents": "not read: qcow2"}


def test_nothing_is_laid_out_and_everything_asked_for_is_dropped():
    machine = record.machine(64 * MIB, 1, (), "seabios")
    info = BootInfo(b"quiet", (Module(b"x"),))
    entry = bios.encode(offer(DISK), info, machine, None)
    assert entry.pieces == ()
    assert [item.field for item in entry.dropped] == ["cmdline", "modules"]
    assert bios.encode(offer(DISK), BootInfo(), machine, None).dropped == ()
    assert (entry.cpu.rip, entry.cpu.rdx, entry.cpu.mode) == (0x7C00, 0x80, "16-bit real")
    plan = GuestPlan("bios", machine, entry.cpu, (), BootInfo())
    # the law decode(encode(x)) == x on what is carried, which is nothing
    assert bios.decode(PlanMemory(plan), entry.cpu) == BootInfo()
    assert bios.carries == frozenset()
    assert isinstance(entry.cpu, CpuState)


@pytest.mark.parametrize(("media", "drive"), [(0, 0xE0), (1, 0), (2, 0), (3, 0), (4, 0x80)])
def test_a_cdrom_is_another_drive(media, drive):
    machine = record.machine(64 * MIB, 1, (), "seabios")
    data = torito(validation() + bytes([0x88, media]) + ENTRY[2:])
    entry = bios.encode(offer(data), BootInfo(), machine, None)
    assert entry.cpu.rdx == drive
