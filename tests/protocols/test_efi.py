"""UEFI: which disks are offered, and what a refusal tells of programs and kernels."""

from __future__ import annotations

import re
import subprocess

import pytest

from hvmlite.engines import record
from hvmlite.guest.memory import PlanMemory
from hvmlite.images import parse
from hvmlite.model import BootInfo, GuestPlan, Offer, Refusal
from hvmlite.protocols import efi
from images.test_disk import ENTRY, gpt_disk, mbr, part, section, torito, validation
from images.test_uki import BZIMAGE
from makers import elf
from makers.pe import STUB, Pe, Sect, uki
from makers.pvh import MIB


def offer(data):
    found = efi.offers(parse(data, "t"))
    assert isinstance(found, Offer), found
    assert (found.protocol, found.firmware, found.entry) == ("efi", "ovmf", 0)
    return dict(found.facts)


def refusal(data):
    found = efi.offers(parse(data, "t"))
    assert isinstance(found, Refusal), found
    return [str(reason) for reason in found.reasons], dict(found.facts), found.reasons[-1].hint


def fat(data, lba):
    data = bytearray(data)
    sector = bytearray(512)
    sector[0x52:0x57], sector[510:] = b"FAT32", b"\x55\xaa"
    data[lba * 512 : lba * 512 + 512] = sector
    return bytes(data)


def test_disks_with_a_place_for_a_boot_program():
    assert offer(gpt_disk()) == {"EFI system partition": "1, 0x200 bytes at 0x1000"}
    assert offer(bytes(mbr(part(0xEF, 8, 4)))) == {
        "EFI system partition": "1, 0x800 bytes at 0x1000"
    }
    assert offer(fat(mbr(part(0x0C, 8, 4)), 8)) == {"FAT partition": "1, 0x800 bytes at 0x1000"}
    assert offer(fat(bytes(MIB), 0)) == {"FAT file system": "the whole disk"}
    assert offer(b"QFI\xfb\0\0\0\3" + bytes(600)) == {"contents": "not read: qcow2"}
    cdrom = torito(validation() + ENTRY + section() + ENTRY)
    assert offer(cdrom) == {"El Torito entry": "EFI, 4 sectors at 0xf000"}


def test_disks_without():
    needed = "an EFI system partition, a FAT file system or an El Torito entry for EFI needed"
    for data in (
        bytes(mbr(part(0x83, 8, 4))),
        torito(validation() + ENTRY),
        torito(validation() + ENTRY + section() + bytes(1) + ENTRY[1:]),
    ):
        (reason,), facts, _ = refusal(data)
        assert reason == f"boot program: none of those that firmware looks into, {needed}"
        assert facts == {}


@pytest.mark.parametrize("name", ["6.1-cloud", "6.12-cloud"])
def test_a_real_kernel_says_what_it_is(kernels, name):
    path = kernels[name]
    (reason,), facts, hint = refusal(path.read_bytes())
    said = subprocess.run(["objdump", "-p", path], capture_output=True, text=True, check=True)
    entry = int(re.search(r"AddressOfEntryPoint\s+(\w+)", said.stdout)[1], 16)
    assert reason == (
        "UEFI firmware: none: it starts disks only, "
        f"its services needed at the entry point, RVA {entry:#x}"
    )
    assert hint.startswith("without firmware: --protocol linux64; else copy it to a FAT partition")
    assert facts["machine"] == "x86-64, PE32+"
    assert facts["subsystem"] == "10 (EFI application)"
    assert facts["NX compatible"] == "yes"
    assert facts["mixed mode"].startswith("entry for i386 firmware at RVA 0x")
    assert (
        facts["EFI stub features"]
        == {
            "6.1-cloud": "image version 1.0: initrd by LoadFile2",
            "6.12-cloud": "image version 3.0: initrd by LoadFile2, initrd= on any volume",
        }[name]
    )
    # CONFIG_EFI_HANDOVER_PROTOCOL is an option since 6.2
    on = name == "6.1-cloud" or "CONFIG_EFI_HANDOVER_PROTOCOL=y\n" in kernels.config(name)
    assert ("64-bit at load address + 0x" in facts["handover"]) is on
    assert facts["handover"].endswith("(deprecated)")


def test_the_handover_entry_is_where_the_kernel_has_a_jump(kernels):
    data = kernels["6.1-cloud"].read_bytes()
    header = parse(data, "t").header
    _, facts, _ = refusal(data)
    offset = int(re.search(r"64-bit at load address \+ (0x\w+)", facts["handover"])[1], 16)
    start = (header.setup_sects + 1) * 512
    assert data[start + offset] == 0xE9  # jmp efi64_stub_entry (head_64.S)


def test_a_uki_tells_of_the_kernel_inside(kernels):
    data = uki(kernels["6.12-cloud"].read_bytes(), (".uname", b"6.12"))
    (reason,), facts, hint = refusal(data)
    assert reason.startswith("UEFI firmware: none")
    assert "RVA 0x1000" in reason
    assert facts["EFI stub features"].startswith("image version 3.0")
    assert facts["kernel's machine"] == "x86-64"
    assert facts["kernel's mixed mode"].startswith("entry for i386")
    assert hint.startswith("without firmware: --protocol linux64")


def test_a_uki_with_a_broken_kernel():
    _, facts, _ = refusal(uki(b"nothing"))
    assert facts["kernel"].startswith("t:.linux: looks like text")


def test_a_program_for_another_machine_or_of_another_kind():
    data = Pe(list(STUB), machine=0xAA64, optional={"Subsystem": 3}).build()
    reasons, facts, hint = refusal(data)
    assert reasons[:2] == [
        "PE machine: AArch64, x86-64 or i386 needed",
        "PE subsystem: 3 (Windows, console), 10 (EFI application) needed",
    ]
    assert len(reasons) == 3
    assert hint is None  # no OVMF would take it
    assert facts["NX compatible"] == "no"


def test_the_hint_is_what_would_work():
    def told(data: bytes) -> str | None:
        return refusal(data)[2]

    disk = "copy it to a FAT partition as EFI/BOOT/BOOTX64.EFI and start that disk with "
    assert told(Pe(list(STUB)).build()) == f"{disk}--firmware ovmf"
    assert told(Pe(list(STUB), machine=0x14C).build()) is None
    kernel = bytearray(BZIMAGE)
    header = Pe([Sect(".setup", b"")], lfanew=0x40, machine=0x14C).build()[:0x1F1]
    kernel[: len(header)] = header
    assert told(bytes(kernel)) == "without firmware: --protocol linux32"


def test_advice_names_only_ways_that_are_open():
    def hint(**fields):
        return refusal(Pe(list(STUB), **fields).build())[2]

    assert hint().startswith("copy it to a FAT partition as EFI/BOOT/BOOTX64.EFI")
    assert hint(machine=0x14C) is None  # OVMF is for x86-64
    assert hint(optional={"Subsystem": 11}) is None


def test_advice_for_a_32_bit_linux_kernel(images):
    _, _, hint = refusal((images["memtest86+"] / "memtest86+ia32.efi").read_bytes())
    assert hint == "without firmware: --protocol linux32"


def test_what_is_no_program():
    (reason,), _, hint = refusal(elf.pvh_kernel())
    assert reason == "first bytes: 7f 45, 4d 5a (MZ) and a PE header needed"
    assert hint is None
    (reason,), _, hint = refusal(BZIMAGE)
    assert reason.startswith("first bytes: 00 00")
    assert hint == "CONFIG_EFI_STUB makes a bzImage one"


def test_a_kernel_with_broken_pe_headers():
    kernel = bytearray(BZIMAGE)
    header = Pe([Sect(".setup", b"")], lfanew=0x40, optional={"Magic": 7}).build()[:0x1F1]
    kernel[: len(header)] = header
    (reason,), facts, _ = refusal(bytes(kernel))
    assert reason.startswith("PE headers: t+0x58: optional header magic 0x7, 0x10b or 0x20b")
    assert facts == {}


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ((0, 0), "image version 0.0: none stated"),
        ((1, 0), "image version 1.0: initrd by LoadFile2"),
        ((2, 5), "image version 2.5: initrd by LoadFile2"),
        ((3, 0), "image version 3.0: initrd by LoadFile2, initrd= on any volume"),
        ((4, 0), "image version 4.0: unknown"),
        ((5, 0), "image version 5.0: initrd by LoadFile2"),
    ],
)
def test_feature_levels(version, said):
    kernel = bytearray(BZIMAGE)
    fields = {"MajorImageVersion": version[0], "MinorImageVersion": version[1]}
    header = Pe([Sect(".setup", b"")], lfanew=0x40, optional=fields).build()[:0x1F1]
    kernel[: len(header)] = header
    assert refusal(bytes(kernel))[1]["EFI stub features"] == said


def test_nothing_is_laid_out():
    machine = record.machine(256 * MIB, 1, (), "ovmf")
    found = efi.offers(parse(gpt_disk(), "t"))
    entry = efi.encode(found, BootInfo(b"quiet"), machine, None)
    assert entry.pieces == ()
    assert [item.field for item in entry.dropped] == ["cmdline"]
    assert entry.cpu.mode == "64-bit"
    plan = GuestPlan("efi", machine, entry.cpu, (), BootInfo())
    assert efi.decode(PlanMemory(plan), entry.cpu) == BootInfo()
