"""Universal images that a PC's BIOS starts from disks and CDs: the boot code at their beginning."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

import microkernel
from hvmlite import blobs
from hvmlite.spec import universal as u
from loaders import media
from stub import hostile_bios
from stub.bios_start import DISKS, boot, drive, from_disk, image, natively, padded

pytestmark = [pytest.mark.boot, pytest.mark.usefixtures("microkernels")]

WIDE = "linux64"
NARROW = "linux32"


@pytest.fixture
def disk(tmp_path, microkernels):
    """A universal image of a microkernel, as a raw disk."""
    path = tmp_path / "disk"
    path.write_bytes(padded(image(microkernels / NARROW, cmdline="built in")))
    return path


def test_the_head_is_as_large_as_loaders_are_told():
    head = blobs.read("universal-head")
    assert len(head) == u.HEAD_SIZE
    assert head[:2] == b"MZ"
    assert head[0x1FE:0x206] == b"\x55\xaa\xeb\x6aHdrS"
    # A partition table of three records, and all that others write, is nobody's code.
    assert not any(head[u.HEAD_ID : 0x1FE])
    assert not any(head[u.HEAD_HEADERS : u.HEAD_CODE])


def test_what_it_says_is_documented():
    head = blobs.read("universal-head").decode("latin-1")
    said = re.findall("bios: [a-zA-Z0-9 ]+: [ -~]+", head)
    said += [head[at : head.index("\r", at)] for at in (8, head.index("disk error"))]
    assert len(said) == 8
    documented = (Path(__file__).parents[2] / "docs" / "universal.md").read_text()
    assert not [line for line in said if line not in documented]


@pytest.mark.parametrize("build", [WIDE, NARROW])
def test_a_disk(tmp_path, microkernels, build):
    path = tmp_path / "disk"
    path.write_bytes(image(microkernels / build, cmdline="built in"))
    report = from_disk(path).report
    assert report.checks == []
    assert report.cmdline == b"built in"
    assert report["memory_map"] == natively("linux16")["memory_map"]
    facts, native = report["facts"], natively("linux16")["facts"]
    for name in ("ext_mem_k", "alt_mem_k", "e820_entries", "video_type"):
        assert facts[name] == native[name], name


@pytest.mark.parametrize("kind", DISKS)
def test_the_drive_may_be_any(disk, kind):
    assert from_disk(disk, kind=kind).report.passed


@pytest.mark.parametrize("memory", [32, 64, 1024, 4096])
def test_the_memory_map_is_the_firmware_s(disk, memory):
    found = from_disk(disk, memory=memory).report
    assert found.passed
    assert found["memory_map"] == natively("linux16", memory=memory)["memory_map"]


def test_another_disk_is_in_front(disk, tmp_path):
    (tmp_path / "blank").write_bytes(bytes(1 << 20))
    before = (*drive(tmp_path / "blank", "first"), "-device", "ide-hd,drive=first")
    after = (*drive(disk), "-device", "ide-hd,drive=image,bootindex=0")
    assert boot(*before, *after).report.passed


@pytest.mark.parametrize(("number", "line"), [(0x81, b"the other"), (0x82, b"built in")])
def test_an_image_finds_itself_among_images(disk, tmp_path, microkernels, number, line):
    (tmp_path / "other").write_bytes(image(microkernels / NARROW, cmdline="the other"))
    drives = {
        "first": hostile_bios.make(tmp_path, number=number),
        "other": tmp_path / "other",
        "image": disk,
    }
    arguments = []
    for index, (name, path) in enumerate(drives.items()):
        device = f"virtio-blk-pci,drive={name},bootindex={index}"
        arguments += [*drive(path, name), "-device", device]
    report = boot(*arguments).report
    assert report.passed
    assert report.cmdline == line


def test_a_partition_table_of_three(disk):
    data = bytearray(disk.read_bytes())
    data[0x1B8:0x1BC] = b"disk"
    for number in range(3):
        at = 0x1BE + 16 * number
        data[at : at + 16] = struct.pack("<8B2I", 0x80, 0, 2, 0, 0x83, 0, 9, 0, 1 + number, 1)
    disk.write_bytes(data)
    assert from_disk(disk).report.passed


@pytest.mark.parametrize("sectors", [4, 5, 32, 127])
def test_a_cd(disk, tmp_path, sectors):
    cd = media.iso(tmp_path / "iso", "image", {"image": disk}, sectors=sectors)
    report = boot("-cdrom", cd).report
    assert report.passed
    assert report["memory_map"] == natively("linux16")["memory_map"]


def test_a_cd_with_a_table_for_another_boot_loader(disk, tmp_path):
    """The usual command line for isolinux: it writes to 0x08 to 0x40 of the image."""
    cd = media.iso(tmp_path / "iso", "image", {"image": disk}, "-boot-info-table")
    assert disk.read_bytes() not in cd.read_bytes()
    assert boot("-cdrom", cd).report.passed


def test_a_cd_behind_disks(disk, tmp_path):
    cd = media.iso(tmp_path / "iso", "image", {"image": disk})
    (tmp_path / "blank").write_bytes(bytes(1 << 20))
    arguments = [*drive(tmp_path / "blank", "first"), "-device", "ide-hd,drive=first"]
    arguments += ["-device", "virtio-scsi-pci", *drive(cd, media="cdrom")]
    assert boot(*arguments, "-device", "scsi-cd,drive=image,bootindex=0").report.passed


def test_too_little_memory(disk, tmp_path):
    data = disk.read_bytes()
    large = bytearray(data + bytes(8 << 20))
    large[0x1F4:0x1F8] = struct.pack("<I", (len(large) - u.HEAD_SIZE) // 16)
    (tmp_path / "large").write_bytes(large)
    end = (1 << 20) + len(large) - u.HEAD_SIZE
    assert from_disk(tmp_path / "large", memory=7).complaint == (
        f"hvmlite: bios: memory: no RAM from 0x100000 to {end:#x} by INT 15h, "
        "it is needed for the image"
    )
    assert from_disk(tmp_path / "large", memory=64).report.passed


@pytest.mark.parametrize("size", [0, 0x0FFFFFFF, 0xFFFFFFFF])
def test_a_size_that_no_image_has(disk, size):
    data = bytearray(disk.read_bytes())
    data[0x1F4:0x1F8] = struct.pack("<I", size)
    disk.write_bytes(data)
    assert from_disk(disk).complaint == (
        "hvmlite: bios: syssize: not the size of an image below 4 GiB, one is needed"
    )


def test_a_disk_that_ends_early(disk):
    disk.write_bytes(disk.read_bytes()[: u.HEAD_SIZE + (100 << 10)])
    assert from_disk(disk).complaint == (
        "hvmlite: bios: disk: error 0xc of INT 13h at drive 0x80, block 0xe0, "
        "the whole image is needed"
    )


def test_a_disk_with_nothing_but_the_first_sector(disk):
    disk.write_bytes(disk.read_bytes()[:512])
    assert from_disk(disk).complaint == "hvmlite: bios: drive: disk error"


def test_a_disk_whose_first_sectors_are_another_s(disk):
    data = bytearray(disk.read_bytes())
    data[u.HEAD_SIZE - 4 : u.HEAD_SIZE] = bytes(4)
    disk.write_bytes(data)
    assert from_disk(disk).complaint == (
        "hvmlite: bios: drive: its first 16 KiB are not this image's, all of it is needed"
    )


def test_a_floppy_is_read_by_cylinders_only(disk):
    found = boot(*drive(disk), "-device", "floppy,drive=image", "-boot", "a").complaint
    assert found == "hvmlite: bios: drive: none has this image, INT 13h AH=42h is needed"


@pytest.mark.parametrize("display", [("-vga", "std"), (), ("-M", "q35,graphics=off")])
def test_a_complaint_is_one_line_on_every_console(disk, display):
    """By the boot sector and by what it loads."""
    controller = () if "-M" not in display else ("-device", "isa-fdc")
    floppy = (*controller, *drive(disk), "-device", "floppy,drive=image", "-boot", "a")
    assert boot(*floppy, *display).complaint.startswith("hvmlite: bios: drive: none")
    data = bytearray(disk.read_bytes())
    data[u.HEAD_SIZE - 4 : u.HEAD_SIZE] = bytes(4)
    disk.write_bytes(data)
    assert from_disk(disk, *display).complaint.startswith("hvmlite: bios: drive: its first")


def test_a_mebibyte_is_a_dot(disk, tmp_path):
    data = bytearray(disk.read_bytes() + bytes(5 << 20))
    data[0x1F4:0x1F8] = struct.pack("<I", (len(data) - u.HEAD_SIZE) // 16)
    (tmp_path / "large").write_bytes(data)
    ran = from_disk(tmp_path / "large")
    assert ran.report.passed
    size = len(data) - u.HEAD_SIZE
    told = ran.console.split(microkernel.PREFIX)[0].strip()
    assert told == "loading." + "." * (size >> 20)


def failing(path, name, *rules):
    """A drive that QEMU lets fail, see docs/devel/blkdebug.rst of its sources."""
    options = ["driver=blkdebug", "image.driver=file", f"image.filename={path}", *rules]
    told = ",".join(f"file.{each}" for each in options)
    # Without a geometry QEMU reads one from the disk.
    device = f"virtio-blk-pci,drive={name},bootindex=1,cyls=2,heads=16,secs=63"
    return "-drive", f"if=none,format=raw,id={name},{told}", "-device", device


FAILS = "inject-error.0.event=read_aio"
FAILS_ONCE = (FAILS, "inject-error.0.state=2", "inject-error.0.once=on")
AFTER_ONE_READ = tuple(
    f"set-state.0.{each}" for each in ("event=read_aio", "state=1", "new_state=2")
)


def loaded_by(folder, number, *disks):
    """What is said before the kernel does, if the disk of this number starts."""
    first = (*drive(hostile_bios.make(folder, number=number), "first"), "-device")
    ran = boot(*first, "virtio-blk-pci,drive=first,bootindex=0", *disks)
    assert ran.report.passed
    return ran.console.split(microkernel.PREFIX)[0].strip()


def test_a_dying_disk_in_front_is_a_dot_for_each_read(disk, tmp_path):
    (tmp_path / "dying").write_bytes(bytes(1 << 20))
    ours = (*drive(disk), "-device", "virtio-blk-pci,drive=image,bootindex=2")
    assert loaded_by(tmp_path, 0x82, *failing(tmp_path / "dying", "dying", FAILS), *ours) == (
        "loading.."
    )


def test_a_disk_that_fails_once_is_asked_again(disk, tmp_path):
    """The one read that it grants is that of the BIOS that starts its first sector."""
    ours = failing(disk, "image", *AFTER_ONE_READ, *FAILS_ONCE)
    assert loaded_by(tmp_path, 0x81, *ours) == "loading.."
    assert loaded_by(tmp_path, 0x81, *failing(disk, "image")) == "loading."
