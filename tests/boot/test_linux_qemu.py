"""QEMU's own ``-kernel``, which enters a bzImage by its 16-bit entry, as a second opinion."""

from __future__ import annotations

import subprocess

import pytest

from boot.reporter import LINE, Report, boot

pytestmark = pytest.mark.boot
TIMEOUT = 240

# What each loader chooses for itself (Documentation/arch/x86/boot.rst), by offset in the zero page.
CHOSEN = {
    0x210: 1,  # type_of_loader
    0x211: 1,  # loadflags: KASLR_FLAG, by the kernel's unpacker
    0x214: 4,  # code32_start: QEMU loads at 1 MiB and lets the kernel move itself
    0x218: 4,  # ramdisk_image
    0x224: 2,  # heap_end_ptr
    0x228: 4,  # cmd_line_ptr
    0x250: 8,  # setup_data: QEMU 7.2 adds a random seed
}


def by_qemu(kernel, initrd):
    command = ["qemu-system-x86_64", "-machine", "q35", "-m", "512M", "-nodefaults", "-no-reboot"]
    command += ["-display", "none", "-serial", "stdio", "-accel", "tcg,thread=single"]
    command += ["-cpu", "max,cx16=off,erms=off,fsrm=off", "-kernel", kernel, "-initrd", initrd]
    done = subprocess.run(
        [*command, "-append", LINE],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIMEOUT,
        check=True,
    )
    return Report.parse(done.stdout.decode("latin-1"))


@pytest.mark.parametrize("name", ["6.1-cloud", "6.12-cloud", "6.1-686-pae"])
def test_the_guest_s_header_is_the_same_but_for_what_a_loader_chooses(kernels, initrds, name):
    theirs = by_qemu(kernels[name], initrds.of(name))
    _, ours = boot(kernels[name], [initrds.of(name)], protocol="linux16", timeout=TIMEOUT)
    assert theirs.cmdline == ours.cmdline
    assert theirs.files == ours.files
    chosen = {at + n for at, size in CHOSEN.items() for n in range(size)}
    different = {
        hex(at)
        for at in range(0x1F1, 0x290)
        if at not in chosen and theirs.boot_params[at] != ours.boot_params[at]
    }
    assert different == set()
    for report in (theirs, ours):
        assert report.boot_params[0x210] != 0
        assert report.boot_params[0x211] & 0x81 == 0x81  # LOADED_HIGH, CAN_USE_HEAP
        assert report.boot_params[0x21C:0x220] == ours.boot_params[0x21C:0x220]  # ramdisk_size
