"""Universal images on disks and CDs of a PC with SeaBIOS, and a BIOS that is not as friendly."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hvmlite
import microkernel
from hvmlite import universal
from microkernel import Report

TIMEOUT = 180
"""Seconds. Linux takes five to ten on an idle machine."""
STOPPED = 0x3B
"""What the stub leaves with when it cannot go on."""

DISKS = {
    "ide": ("-device", "ide-hd,drive=image"),
    "virtio": ("-device", "virtio-blk-pci,drive=image"),
    "scsi": ("-device", "virtio-scsi-pci", "-device", "scsi-hd,drive=image"),
    "usb": ("-device", "usb-ehci", "-device", "usb-storage,drive=image"),
    "nvme": ("-device", "nvme,serial=1,drive=image"),
}


FLOPPY = 1440 << 10


def image(kernel: Path, **options: Any) -> bytes:
    """The bzImage-shaped file of a universal image."""
    return universal.wrap(hvmlite.open_image(kernel), **options).image_bytes()


def padded(data: bytes, size: int = FLOPPY) -> bytes:
    """SeaBIOS starts most disks only if they have a whole cylinder, and floppies of known sizes."""
    assert len(data) <= size
    return data.ljust(size, b"\0")


def drive(path: Path, name: str = "image", **options: object) -> tuple[str, str]:
    """QEMU's arguments for a drive that no controller has yet."""
    more = "".join(f",{key}={value}" for key, value in options.items())
    return "-drive", f"if=none,format=raw,snapshot=on,id={name},file={path}{more}"


@dataclass(frozen=True)
class Ran:
    """A machine that came to an end."""

    console: str
    status: int | None
    """What the guest left with; None if it powered off or reset."""

    @property
    def report(self) -> Report:
        """Of a microkernel."""
        return Report.parse(self.console, self.status)

    @property
    def complaint(self) -> str:
        """The one line of an image that could not be started."""
        (line,) = re.findall(r"^hvmlite: .*$", self.console, re.MULTILINE)
        assert self.status == STOPPED
        return str(line)


def boot(*arguments: str | Path, memory: int = 64, cpu: str = "qemu64") -> Ran:
    """Start a machine by SeaBIOS, the first serial port is its console."""
    command = ["qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none"]
    command += ["-accel", "tcg", "-cpu", cpu, "-m", str(memory), "-serial", "stdio", "-device"]
    command += ["isa-debug-exit,iobase=0xf4,iosize=4", *map(str, arguments)]
    result = subprocess.run(
        command, check=False, capture_output=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL
    )
    assert not result.stderr, result.stderr.decode()
    assert result.returncode & 1 or not result.returncode
    status = result.returncode >> 1 if result.returncode else None
    return Ran(result.stdout.decode("latin-1").replace("\r\n", "\n"), status)


def from_disk(path: Path, *arguments: str | Path, kind: str = "ide", **options: Any) -> Ran:
    return boot(*drive(path), *DISKS[kind], *arguments, **options)


def natively(build: str, *arguments: str | Path, memory: int = 64) -> Report:
    """What QEMU's own loader and SeaBIOS tell a microkernel by linux16."""
    return microkernel.by_loader("-kernel", microkernel.FOLDER / build, *arguments, memory=memory)
