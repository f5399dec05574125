"""Bootable media made by GRUB's own tools: ISO images, and GRUB as an image itself.

An ISO of ``grub-mkrescue`` starts from a CD and from a disk, by BIOS and by UEFI of 64 and of 32
bits: GRUB for ``i386-pc``, ``x86_64-efi`` and ``i386-efi`` are all on it. Its console is the first
serial port.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from initramfs import demo
from private_apt import AptError

_PVH_MODULES = ("echo", "halt", "linux", "memdisk", "normal", "tar")

SERIAL = """\
serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
"""
# What the ISOs say is for the tests; `halt` is ACPI's power-off, by BIOS and by UEFI.
RESCUE = 'echo "grub-rescue: GRUB started on $grub_platform"\nhalt\n'
LINUX = """\
set timeout=1
menuentry "Linux, and its report" {
  linux /vmlinuz console=ttyS0 quiet
  initrd /initrd.gz
}
"""
# What to start stands on another disk: so one ISO serves every image that GRUB is to start.
LOADER = """\
search --no-floppy --set=root --file /loader.cfg
source /loader.cfg
echo "grub-loader: /loader.cfg did not lead on"
halt
"""
# `---` as in Debian's own menus: what follows it goes to the installed system.
INSTALLER = """\
set timeout=1
menuentry "Install" {
  linux /linux console=ttyS0 --- quiet
  initrd /initrd.gz
}
"""


def iso(target: Path, menu: str, files: dict[str, Path] | None = None) -> None:
    """Make an ISO image that starts GRUB on the serial port.

    :param menu: what follows :data:`SERIAL` in its ``grub.cfg``.
    :param files: what else is on it, by path.
    :raises AptError: if ``grub-mkrescue`` fails.
    """
    with tempfile.TemporaryDirectory() as temporary:
        cfg = Path(temporary) / "grub.cfg"
        cfg.write_text(SERIAL + menu)
        content = {"boot/grub/grub.cfg": cfg} | (files or {})
        grafts = [f"{path}={source.absolute()}" for path, source in content.items()]
        slim = ["--locales=", "--fonts=", "--themes="]  # 9 MB of 20 remain: GRUB's modules, twice
        _run(_grub("mkrescue"), *slim, "-o", str(target), *grafts)


def rescue_iso(target: Path) -> None:
    """An ISO whose GRUB says one line and turns the machine off."""
    iso(target, RESCUE)


def loader_iso(target: Path) -> None:
    """An ISO whose GRUB does what ``/loader.cfg`` on another disk says.

    It starts by BIOS, and by UEFI of 64 and of 32 bits.
    """
    iso(target, LOADER)


def linux_iso(target: Path, vmlinuz: Path) -> None:
    """An ISO that starts a kernel whose user space reports and turns the machine off.

    :raises AptError: if there is no such kernel.
    """
    if not vmlinuz.is_file():
        raise AptError(f"{vmlinuz} is missing, run: python3 tools/kernels.py {vmlinuz.parent.name}")
    with tempfile.TemporaryDirectory() as temporary:
        initrd = Path(temporary) / "initrd.gz"
        initrd.write_bytes(demo().gzip())
        iso(target, LINUX, {"vmlinuz": vmlinuz, "initrd.gz": initrd})


def pvh(target: Path, deb: Path) -> None:
    """GRUB as a PVH guest of Xen, an ELF file.

    :param deb: Debian's grub-xen-bin; only its modules are used, ``grub-mkimage`` is the system's.
    """
    with tempfile.TemporaryDirectory() as temporary:
        _run("dpkg-deb", "-x", str(deb), temporary)
        modules = Path(temporary) / "usr/lib/grub/i386-xen_pvh"
        options = ["-O", "i386-xen_pvh", "-d", str(modules), "-p", "/boot/grub"]
        _run(_grub("mkimage"), *options, "-o", str(target), *_PVH_MODULES)


def _grub(tool: str) -> str:
    # Fedora and openSUSE name GRUB 2 by its number.
    return f"grub2-{tool}" if shutil.which(f"grub2-{tool}") else f"grub-{tool}"


def _run(*command: str) -> None:
    try:
        result = subprocess.run(
            command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError as error:
        needed = "python3 tools/packages.py test"
        raise AptError(f"{command[0]} is missing, run: {needed}") from error
    if result.returncode != 0:
        said = result.stderr.strip().splitlines() or ["nothing"]
        raise AptError(f"{command[0]} failed ({result.returncode}), it says: {said[-1]}")
