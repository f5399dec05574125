"""Make sure that the programs hvmlite needs from the system are there.

Usage: ``python3 tools/packages.py [--dry-run] demo|test``. A thing counts as there when the program
or file itself is found, whoever installed it. On a Debian system the missing ones are installed by
apt, after saying which and why; elsewhere their packages are named and the exit status is 3.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_UNAVAILABLE = 3
EXIT_FAILED = 4
OLDEST_PYTHON = (3, 11)

PT_INTERP = 3


@dataclass(frozen=True)
class Need:
    """One thing that must be there, and the package that brings it."""

    what: str
    why: str
    there: Callable[[], bool]
    debian: str
    fedora: str
    arch: str
    opensuse: str


def program(name: str) -> Callable[[], bool]:
    """A check for a program on the path, or where administrators' programs are."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return lambda: shutil.which(name, path=path) is not None


def header(name: str) -> Callable[[], bool]:
    """A check for a C header in the compiler's usual places."""
    places = (Path("/usr/include"), Path("/usr/include/x86_64-linux-gnu"))
    return lambda: any((place / name).is_file() for place in places)


def one_of(*programs: str) -> Callable[[], bool]:
    """A check for a program that distributions name differently."""
    return lambda: any(program(name)() for name in programs)


def some_file(*paths: str) -> Callable[[], bool]:
    """A check for a file that distributions have at different places."""
    return lambda: any(Path(path).is_file() for path in paths)


def static_busybox() -> Path | None:
    """A busybox that needs no shared library, hence starts in an initramfs that has none."""
    for name in ("busybox", "busybox-static", "busybox.static"):
        found = shutil.which(name)
        if found and is_static(Path(found)):
            return Path(found)
    return None


def is_static(path: Path) -> bool:
    """Whether a 64-bit ELF file names no program interpreter (the dynamic loader)."""
    with path.open("rb") as file:
        ehdr = file.read(64)
        if ehdr[:5] != b"\x7fELF\x02":
            return False
        e_phoff = int.from_bytes(ehdr[32:40], "little")
        e_phentsize = int.from_bytes(ehdr[54:56], "little")
        e_phnum = int.from_bytes(ehdr[56:58], "little")
        file.seek(e_phoff)
        phdrs = [file.read(e_phentsize) for _ in range(e_phnum)]
    return all(int.from_bytes(phdr[:4], "little") != PT_INTERP for phdr in phdrs)


def _has_ensurepip() -> bool:
    return importlib.util.find_spec("ensurepip") is not None


GRUB_TOOLS = ("file", "mkrescue", "mkimage")
SYSLINUX = (
    "/usr/lib/syslinux/modules/bios/mboot.c32",
    "/usr/share/syslinux/mboot.c32",
    "/usr/lib/syslinux/bios/mboot.c32",
)
ISOLINUX = (
    "/usr/lib/ISOLINUX/isolinux.bin",
    "/usr/share/syslinux/isolinux.bin",
    "/usr/lib/syslinux/bios/isolinux.bin",
)
IPXE = (
    "/usr/lib/ipxe/qemu/efi-virtio.rom",
    "/usr/share/ipxe.efi/1af41000.rom",
    "/usr/share/qemu/efi-virtio.rom",
)
OVMF = (
    "/usr/share/OVMF/OVMF_CODE_4M.fd",
    "/usr/share/edk2/ovmf/OVMF_CODE.fd",
    "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
    "/usr/share/qemu/ovmf-x86_64-code.bin",
)
OVMF_IA32 = (
    "/usr/share/OVMF/OVMF32_CODE_4M.secboot.fd",
    "/usr/share/edk2/ovmf-ia32/OVMF_CODE.fd",
    "/usr/share/edk2/ia32/OVMF_CODE.4m.fd",
    "/usr/share/qemu/ovmf-ia32-code.bin",
)

# fmt: off
DEMO = (
    Need("qemu-system-x86_64", "runs the guests", program("qemu-system-x86_64"),
         "qemu-system-x86", "qemu-system-x86-core", "qemu-system-x86", "qemu-x86"),
    Need("a static busybox", "the guest's user space", lambda: static_busybox() is not None,
         "busybox-static", "busybox", "busybox", "busybox-static"),
    Need("ensurepip", "makes the virtual environment", _has_ensurepip,
         "python3-venv", "python3", "python", "python3"),
)
TEST = (
    *DEMO,
    Need("gcc", "the tests' judge of structure layouts", program("gcc"),
         "gcc", "gcc", "gcc", "gcc"),
    Need("<stdio.h>", "belongs to the C compiler", header("stdio.h"),
         "libc6-dev", "glibc-devel", "glibc", "glibc-devel"),
    Need("<asm/bootparam.h>", "has the kernel's own structures", header("asm/bootparam.h"),
         "linux-libc-dev", "kernel-headers", "linux-api-headers", "linux-glibc-devel"),
    Need("<xen/elfnote.h>", "has Xen's own structures", header("xen/elfnote.h"),
         "libxen-dev", "xen-devel", "xen", "xen-devel"),
    Need("iasl and acpiexec", "the tests' judges of ACPI tables",
         lambda: program("iasl")() and program("acpiexec")(),
         "acpica-tools", "acpica-tools", "acpica", "acpica"),
    Need("readelf and objdump", "the tests' judges of ELF files",
         lambda: program("readelf")() and program("objdump")(),
         "binutils", "binutils", "binutils", "binutils"),
    *(Need(name, "packs the tests' kernels", program(name), *packages) for name, packages in {
        "gzip": ("gzip",) * 4,
        "bzip2": ("bzip2",) * 4,
        "xz": ("xz-utils", "xz", "xz", "xz"),
        "lzop": ("lzop",) * 4,
        "lz4": ("lz4",) * 4,
        "zstd": ("zstd",) * 4,
    }.items()),
    Need("cpio", "the tests' judge of archives", program("cpio"),
         "cpio", "cpio", "cpio", "cpio"),
    Need("file", "the tests' judge of file types", program("file"),
         "file", "file", "file", "file"),
    # Only GRUB's tools and modules: none of these packages changes how this machine starts.
    Need("grub-file, grub-mkrescue and grub-mkimage", "make and judge boot images",
         lambda: all(one_of(f"grub-{tool}", f"grub2-{tool}")() for tool in GRUB_TOOLS),
         "grub-common", "grub2-tools-extra", "grub", "grub2"),
    Need("GRUB's modules for BIOS", "belong on the tests' ISO images",
         some_file("/usr/lib/grub/i386-pc/kernel.img", "/usr/share/grub2/i386-pc/kernel.img"),
         "grub-pc-bin", "grub2-pc-modules", "grub", "grub2-i386-pc"),
    Need("GRUB's modules for UEFI", "belong on the tests' ISO images",
         some_file("/usr/lib/grub/x86_64-efi/kernel.img", "/usr/share/grub2/x86_64-efi/kernel.img"),
         "grub-efi-amd64-bin", "grub2-efi-x64-modules", "grub", "grub2-x86_64-efi"),
    Need("GRUB's modules for 32-bit UEFI", "belong on the tests' ISO images",
         some_file("/usr/lib/grub/i386-efi/kernel.img", "/usr/share/grub2/i386-efi/kernel.img"),
         "grub-efi-ia32-bin", "grub2-efi-ia32-modules", "grub", "grub2-i386-efi"),
    Need("syslinux", "puts SYSLINUX on the tests' disks", program("syslinux"),
         "syslinux", "syslinux", "syslinux", "syslinux"),
    Need("SYSLINUX's modules", "start the tests' images", some_file(*SYSLINUX),
         "syslinux-common", "syslinux", "syslinux", "syslinux"),
    Need("ISOLINUX", "starts the tests' images", some_file(*ISOLINUX),
         "isolinux", "syslinux", "syslinux", "syslinux"),
    Need("iPXE for QEMU's network cards", "starts the tests' images", some_file(*IPXE),
         "ipxe-qemu", "ipxe-roms-qemu", "qemu-system-x86-firmware", "qemu-ipxe"),
    Need("xorriso", "writes the tests' ISO images", program("xorriso"),
         "xorriso", "xorriso", "libisoburn", "xorriso"),
    Need("sfdisk", "the tests' judge of partition tables", program("sfdisk"),
         "fdisk", "util-linux", "util-linux", "util-linux"),
    Need("mformat", "makes the UEFI part of ISO images", program("mformat"),
         "mtools", "mtools", "mtools", "mtools"),
    Need("OVMF", "the UEFI firmware that guests start from", some_file(*OVMF),
         "ovmf", "edk2-ovmf", "edk2-ovmf", "qemu-ovmf-x86_64"),
    Need("OVMF for i386", "the 32-bit UEFI firmware", some_file(*OVMF_IA32),
         "ovmf-ia32", "edk2-ovmf-ia32", "edk2-ovmf", "qemu-ovmf-ia32"),
)
# fmt: on
NEEDS = {"demo": DEMO, "test": TEST}

BY_HAND = (
    ("Debian, Ubuntu", "apt-get install", "debian"),
    ("Fedora", "dnf install", "fedora"),
    ("Arch", "pacman -S", "arch"),
    ("openSUSE", "zypper install", "opensuse"),
)


def advice(missing: list[Need]) -> str:
    """How a person installs what is missing, one line for each distribution."""
    lines = []
    for distribution, command, field in BY_HAND:
        names = dict.fromkeys(getattr(need, field) for need in missing)
        lines.append(f"  {distribution + ':':<16}{command} {' '.join(names)}")
    return "\n".join(lines)


def install(missing: list[Need]) -> str:
    """Install the missing packages by apt.

    :returns: nothing, or what went wrong as one line.
    """
    root = [] if os.geteuid() == 0 else ["sudo"]
    if root and shutil.which("sudo") is None:
        return "this needs root, and there is no sudo"
    apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    apt += ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]
    apt += ["-o", "Dpkg::Use-Pty=0"]  # no progress bars in a log
    names = list(dict.fromkeys(need.debian for need in missing))
    command = [*apt, "install", "-y", "--no-install-recommends", *names]
    # The lists may be absent (a fresh container) or older than the mirror: then, and only then,
    # they are fetched. One broken index does not matter as long as the packages are found.
    if not _run([*command, "--download-only"], quiet=True):
        _run([*apt, "update"])
    return "" if _run(command) else "apt-get install failed"


def _run(command: list[str], quiet: bool = False) -> bool:
    # sudo asks for its password on the terminal itself, whatever the standard streams are.
    output = subprocess.DEVNULL if quiet else None
    result = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, stdout=output, stderr=output
    )
    return result.returncode == 0


def main(arguments: list[str] | None = None) -> int:
    """Run the script; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="packages.py", description="Make sure that the programs hvmlite needs are there."
    )
    parser.add_argument("purpose", choices=NEEDS, help="what they are needed for")
    parser.add_argument("--dry-run", action="store_true", help="say what is missing, do nothing")
    options = parser.parse_args(arguments)
    if sys.version_info < OLDEST_PYTHON:
        print(f"packages: Python {sys.version.split()[0]} is too old, 3.11 is needed "
              "(make PYTHON=python3.11 ...)", file=sys.stderr)  # fmt: skip
        return EXIT_UNAVAILABLE
    missing = [need for need in NEEDS[options.purpose] if not need.there()]
    if not missing:
        return 0
    for need in missing:
        print(f"packages: missing {need.what} ({need.why}): {need.debian}", flush=True)
    if options.dry_run or shutil.which("apt-get") is None:
        print(f"To install by hand:\n{advice(missing)}")
        return EXIT_UNAVAILABLE
    names = " ".join(dict.fromkeys(need.debian for need in missing))
    print(f"packages: will install {names}", flush=True)
    failure = install(missing)
    importlib.invalidate_caches()  # ensurepip may be new
    still = [need.what for need in missing if not need.there()]
    if failure or still:
        failure = failure or f"still missing after the installation: {', '.join(still)}"
        print(f"packages: {failure}\nTo install by hand:\n{advice(missing)}", file=sys.stderr)
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
