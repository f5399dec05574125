"""The boot code of universal images under a BIOS that leaves garbage wherever it may."""

from __future__ import annotations

import pytest

from hvmlite.spec import universal as u
from stub import hostile_bios
from stub.bios_start import boot, drive, image, natively

pytestmark = [pytest.mark.boot, pytest.mark.usefixtures("microkernels")]


@pytest.fixture
def start(tmp_path, microkernels):
    """Start a universal image, or what is made of it, by the hostile BIOS."""

    def started(change=lambda data: data, memory=64, **options):
        disk = tmp_path / "disk"
        disk.write_bytes(change(image(microkernels / "linux32", cmdline="x")))
        first = drive(hostile_bios.make(tmp_path, **options), "first")
        arguments = (*first, "-device", "ide-hd,drive=first", *drive(disk), "-device")
        return boot(*arguments, "ide-hd,drive=image", "-vga", "std", memory=memory)

    return started


LINUX_LOW_END = 0x9F000
"""Where Linux lets low memory end then: LOWMEMSIZE() of arch/x86/include/asm/e820/types.h."""


def usable(memory_map):
    return [tuple(each) for each in memory_map if each[2] == 1]


@pytest.mark.parametrize("block", [512, 4096])
def test_disks_of_both_block_sizes(start, block):
    report = start(block=block).report
    assert report.passed
    assert report["memory_map"] == natively("linux16")["memory_map"]


def made_of_sizes():
    """What Linux makes of alt_mem_k where there is no map, and so does the stub."""
    end = natively("linux16")["facts"]["alt_mem_k"] + 1024 << 10
    return [[0, LINUX_LOW_END, 1], [1 << 20, end, 1]]


@pytest.mark.parametrize("e820", [0, 2])
def test_no_memory_map_or_somebody_else_s(start, e820):
    assert start(e820=e820).report["memory_map"] == made_of_sizes()


def test_a_memory_map_without_end(start):
    report = start(e820=1).report
    assert report["facts"]["e820_entries"] == 128
    assert usable(report["memory_map"])[:2] == usable(natively("linux16")["memory_map"])


@pytest.mark.parametrize("e820", [0, 1, 2, 3])
def test_too_little_memory_by_any_way_to_ask(start, e820):
    def grown(data):
        data = bytearray(data + bytes(8 << 20))
        data[0x1F4:0x1F8] = ((len(data) - u.HEAD_SIZE) // 16).to_bytes(4, "little")
        return data

    complaint = start(grown, memory=8, e820=e820).complaint
    assert complaint.startswith("hvmlite: bios: memory: no RAM from 0x100000 to 0x9")


def test_a_head_that_is_not_all_there(start):
    def cut(data):
        return data[: u.HEAD_SIZE - 512]

    assert start(cut).complaint == "hvmlite: bios: drive: disk error"
