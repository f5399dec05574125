"""A second opinion on the microkernels: what others hand over passes the same checks.

GRUB's and QEMU's own loaders, on QEMU's SeaBIOS. If a check fails here, it asks for more than the
document promises, or a decoder is wrong.
"""

from __future__ import annotations

import subprocess
import zlib
from pathlib import Path

import pytest

import microkernel

pytestmark = [pytest.mark.boot, pytest.mark.usefixtures("microkernels")]

MODULE = bytes(range(251)) * 40
LINE = "a b=c"

GRUB = [
    *((build, "multiboot", "multiboot1") for build in microkernel.ABIS if "multiboot1" in build),
    *((build, "multiboot2", "multiboot2") for build in microkernel.ABIS if "multiboot2" in build),
    *((build, "linux", "linux32") for build in ("linux16", "linux32", "linux64")),
    *((build, "linux16", "linux16") for build in ("linux16", "linux32", "linux64")),
]
"""Builds, GRUB's commands for them, and the ABIs that these use where there is no EFI."""

QEMU = [
    *((build, "pvh") for build in ("pvh32", "pvh64")),
    *((build, "multiboot1") for build in ("multiboot1-elf32", "multiboot1-kludge")),
    *((build, "linux16") for build in ("linux16", "linux32", "linux64")),
]
"""Builds and the ABI that QEMU's ``-kernel`` starts them by; it refuses multiboot in an ELF64."""

CHOICE = "smbios --type 1 --get-string 7 --set door\nsource /$door.cfg\n"
"""One image for all: the machine's serial number says what to start."""


@pytest.fixture(scope="module")
def module(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("module") / "module"
    path.write_bytes(MODULE)
    return path


@pytest.fixture(scope="module")
def iso(tmp_path_factory, module, microkernels) -> Path:
    """A bootable CD-ROM with GRUB, all builds and a script for each way to start one."""
    folder = tmp_path_factory.mktemp("iso")
    root = folder / "root"
    (root / "boot" / "grub").mkdir(parents=True)
    (root / "boot" / "grub" / "grub.cfg").write_text(CHOICE)
    (root / "module").write_bytes(MODULE)
    for build, command, _ in GRUB:
        (root / build).write_bytes((microkernel.FOLDER / build).read_bytes())
        loads = {
            "multiboot": "module /module one two\nmodule /module",
            "multiboot2": "module2 /module one two\nmodule2 /module",
            "linux": "initrd /module",
            "linux16": "initrd16 /module",
        }[command]
        script = f"{command} /{build} {LINE}\n{loads}\nboot\n"
        (root / f"{command}-{build}.cfg").write_text(script)
    image = folder / "grub.iso"
    subprocess.run(
        ["grub-mkrescue", "-d", "/usr/lib/grub/i386-pc", "-o", image, root],
        check=True,
        capture_output=True,
    )
    return image


def whole(report: microkernel.Report, lines: list[bytes]) -> None:
    """The modules are what was loaded."""
    found = [(m["size"], m["crc32"], bytes.fromhex(m["cmdline"] or "")) for m in report["modules"]]
    assert found == [(len(MODULE), zlib.crc32(MODULE), line) for line in lines]


@pytest.mark.parametrize(("build", "command", "abi"), GRUB)
def test_what_grub_hands_over_passes(iso, build, command, abi):
    report = microkernel.by_loader("-cdrom", iso, "-smbios", f"type=1,serial={command}-{build}")
    assert report.passed, (report.checks, report.trap)
    assert report["abi"] == abi
    if abi.startswith("multiboot"):
        assert report["loader"].startswith("GRUB 2")
        assert report.cmdline == LINE.encode()
        whole(report, [b"one two", b""])
    else:
        assert report.cmdline == f"BOOT_IMAGE=/{build} {LINE}".encode()
        whole(report, [b""])
    sane(report, 128 << 20)


@pytest.mark.parametrize(("build", "abi"), QEMU)
def test_what_qemu_hands_over_passes(module, build, abi):
    kernel = microkernel.FOLDER / build
    arguments = ["-kernel", kernel, "-append", LINE, "-initrd", module]
    report = microkernel.by_loader(*arguments, memory=64)
    assert report.passed, (report.checks, report.trap)
    assert report["abi"] == abi
    if abi == "multiboot1":
        assert report["loader"] == "qemu"
        assert report.cmdline == f"{kernel} {LINE}".encode()
        whole(report, [str(module).encode()])
    else:
        assert report.cmdline == LINE.encode()
        whole(report, [b""])
    sane(report, 64 << 20)


def sane(report: microkernel.Report, memory: int) -> None:
    """The map is SeaBIOS's of a machine with so much RAM, and its RSDP was found."""
    ram = sum(end - start for start, end, type_ in report["memory_map"] if type_ == 1)
    assert memory - (1 << 20) < ram < memory
    assert report["rsdp_ok"]
