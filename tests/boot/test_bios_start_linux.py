"""What Linux is told by the 16-bit part of a universal image, and by its own.

That a BIOS starts it from disks and CDs is in the table of loaders, tests/loaders.
"""

from __future__ import annotations

import pytest

from boot.reporter import LINE, Report
from stub.bios_start import boot, drive, image

pytestmark = pytest.mark.boot

MEMORY = 256
CPU = "max,-cx16"
BUILT_IN = LINE.partition(" -- ")[0] + " no_timer_check"
"""An emulated timer on a busy machine does not always pass Linux's check."""

# Where the stub's 16-bit part writes: zero page offsets, see boot_params.h.
SAME = {
    "ext_mem_k": (0x002, 2),
    "orig_video_page to orig_video_points": (0x004, 14),
    "lfb_width to lfb_size": (0x012, 14),
    "lfb_linelength to vesa_attributes": (0x024, 18),
    "alt_mem_k": (0x1E0, 4),
    "e820_entries, eddbuf_entries, edd_mbr_sig_buf_entries, kbd_status": (0x1E8, 4),
    "edd_mbr_sig_buffer": (0x290, 64),
    "e820_table": (0x2D0, 2560),
    "eddbuf": (0xD00, 492),
}


def report_of(ran) -> Report:
    assert ran.status is None, ran.console[-3000:]
    return Report.parse(ran.console)


@pytest.mark.parametrize(
    "machine",
    [("-vga", "std", "vga=0x317"), ("-vga", "std", "vga=ext"), ()],
    ids=["vesa", "50 lines", "no display"],
)
def test_the_16_bit_part_asks_as_linux_asks(tmp_path, kernels, initrds, machine):
    """QEMU and SeaBIOS start the kernel's own setup code and ours; the kernel shows its page."""
    kernel = "6.12-cloud"
    (tmp_path / "mbr").write_bytes(bytes(440) + b"disk" + bytes(66) + b"\x55\xaa" + bytes(1 << 20))
    options = [each for each in machine if not each.startswith("vga=")]
    line = " ".join([BUILT_IN, *(each for each in machine if each.startswith("vga="))])
    disks = (*drive(tmp_path / "mbr"), "-device", "ide-hd,drive=image")
    pages = []
    for file in (kernels[kernel], tmp_path / "universal"):
        if not file.exists():
            file.write_bytes(image(kernels[kernel]))
        handed = ("-kernel", file, "-initrd", initrds.of(kernel), "-append", line)
        ran = boot(*handed, *options, *disks, memory=MEMORY, cpu=CPU)
        report = report_of(ran)
        assert report.cmdline == line.encode()
        pages.append(report.boot_params)
    theirs, ours = pages
    for name, (at, size) in SAME.items():
        assert ours[at : at + size] == theirs[at : at + size], name
