"""Fetch boot images of many kinds from Debian packages into ``build/images/<name>/``.

Usage: ``python3 tools/boot_images.py [NAME]...`` (all of them without a name). What is there
already is not fetched or made again; then nothing is done at all. The system's apt stays as it is.

Some are made from packages by GRUB's own tools: see ``boot_media.py``. What each image does when it
is started is in ``docs/real-images.md``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import boot_media
from deb_files import BUILD, extract, locked, origin, remove_leftovers, say, whole
from private_apt import AptError, PrivateApt, die, open_private_apt, running_release

if TYPE_CHECKING:
    from collections.abc import Callable

HINT = """\
Images are fetched from a Debian archive by apt. Without one, put their files into
build/images/<name>/ by hand; tools/boot_images.py names them and their packages."""


@dataclass(frozen=True)
class Parts:
    """What an image is made of."""

    build: Path
    folder: Path  # what was taken out of the package already
    deb: Path | None


@dataclass(frozen=True)
class Image:
    """The files of one folder: taken out of a package, then made."""

    package: str = ""
    taken: dict[str, str] = field(default_factory=dict)  # name by the path inside the package
    made: dict[str, Callable[[Path, Parts], None]] = field(default_factory=dict)
    architecture: str = "amd64"

    def there(self, folder: Path) -> bool:
        """Whether a folder has all the files."""
        return all((folder / name).is_file() for name in (*self.taken.values(), *self.made))


def _from(folder: str, *names: str) -> dict[str, str]:
    """Files of one folder of a package, which keep their names."""
    return {re.escape(f"./{folder}/{name}"): name for name in names}


_INSTALLER = "usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64"


def _pvh(target: Path, parts: Parts) -> None:
    assert parts.deb is not None
    boot_media.pvh(target, parts.deb)


def _netboot(target: Path, parts: Parts) -> None:
    files = {name: parts.folder / name for name in ("linux", "initrd.gz")}
    boot_media.iso(target, boot_media.INSTALLER, files)


def _linux(target: Path, parts: Parts) -> None:
    boot_media.linux_iso(target, parts.build / "kernels" / "6.12-cloud" / "vmlinuz")


def _loader(target: Path, _: Parts) -> None:
    boot_media.loader_iso(target)


def _rescue(target: Path, _: Parts) -> None:
    boot_media.rescue_iso(target)


IMAGES = {
    "xen": Image("xen-hypervisor-4.17-amd64", {
        r"\./boot/xen-4\.17-amd64\.gz": "xen.gz",
        r"\./boot/xen-4\.17-amd64\.efi": "xen.efi",
        r"\./boot/xen-4\.17-amd64\.config": "config",
    }),
    # Debian builds the hypervisor without a PVH entry; this is the same Xen, built with one.
    "xen-shim": Image("xen-utils-4.17", _from("usr/lib/xen-4.17/boot", "xen-shim")),
    "memtest86+": Image("memtest86+", (
        _from("boot", "memtest86+x64.bin", "memtest86+ia32.bin",
              "memtest86+x64.efi", "memtest86+ia32.efi")
        | _from("usr/lib/memtest86+", "memtest86+x64.iso", "memtest86+ia32.iso")
    )),
    "ipxe": Image("ipxe", (
        _from("boot", "ipxe.lkrn", "ipxe.efi") | _from("usr/lib/ipxe", "ipxe.iso")
    )),
    "tboot": Image("tboot", _from("boot", "tboot.gz", "tboot-syms")),
    "grub-invaders": Image("grub-invaders", _from("boot", "invaders.exec")),
    "systemd-boot": Image("systemd-boot-efi", _from(
        "usr/lib/systemd/boot/efi", "linuxx64.efi.stub", "systemd-bootx64.efi"
    )),
    "systemd-boot-ia32": Image("systemd-boot-efi", _from(
        "usr/lib/systemd/boot/efi", "systemd-bootia32.efi"
    ), architecture="i386"),
    "debian-netboot": Image("debian-installer-12-netboot-amd64",
                            _from(_INSTALLER, "linux", "initrd.gz"), {"netboot.iso": _netboot}),
    "grub-pvh": Image("grub-xen-bin", made={"grub.elf": _pvh}),
    "grub-rescue": Image(made={"rescue.iso": _rescue}),
    "grub-loader": Image(made={"loader.iso": _loader}),
    # Not installed: it would look after how this machine restarts.
    "kexec-tools": Image("kexec-tools", _from("sbin", "kexec")),
    "syslinux-efi": Image("syslinux-efi", {
        re.escape(f"./usr/lib/SYSLINUX.EFI/efi{bits}/syslinux.efi"): f"syslinux{bits}.efi"
        for bits in (32, 64)
    }),
    "grub-linux": Image(made={"linux.iso": _linux}),
}  # fmt: skip


def fetch(names: list[str], build: Path, etc_apt: Path = Path("/etc/apt")) -> None:
    """Make sure that the files of each name are in ``build/images/<name>/``.

    :param etc_apt: the machine's apt configuration, of which the mirrors are taken.
    :raises AptError: where one cannot be had; the others stay as they are.
    """
    folder = build / "images"
    if not missing(names, folder):
        return
    # The lock of the kernels: their private apt is the same one.
    with locked(build / "kernels" / ".lock", "boot_images"):
        folder.mkdir(exist_ok=True)
        remove_leftovers(folder)
        absent = missing(names, folder)  # again: another call may have fetched them
        for architecture in ("amd64", "i386"):
            packaged = [name for name in absent if _is_from(name, architecture)]
            if packaged:
                _fetch_packages(packaged, architecture, build, etc_apt)
        for name in absent:
            if not IMAGES[name].package:
                with whole(folder, name) as (result, _):
                    _make(name, Parts(build, result, None))


def missing(names: list[str], folder: Path) -> list[str]:
    """The names of which a file is not in the folder."""
    return [name for name in names if not IMAGES[name].there(folder / name)]


def _is_from(name: str, architecture: str) -> bool:
    return bool(IMAGES[name].package) and IMAGES[name].architecture == architecture


def _fetch_packages(names: list[str], architecture: str, build: Path, etc_apt: Path) -> None:
    release = running_release()
    root = build / "apt" / f"{release}-{architecture}"
    apt = open_private_apt(root, [release], architecture, etc_apt)
    say("boot_images", f"reading the {architecture} package lists of {release}")
    complaint = apt.update()
    for name in names:
        _fetch_package(apt, name, build, complaint)
    if complaint:
        say("boot_images", f"warning, done without this: {complaint}")


def _fetch_package(apt: PrivateApt, name: str, build: Path, complaint: str) -> None:
    package = apt.show(IMAGES[name].package)
    if package is None:
        why = complaint or "no index has it"
        raise AptError(f"{name}: {IMAGES[name].package} is not found: {why}")
    with whole(build / "images", name) as (result, scratch):
        say("boot_images", f"{name}: fetching {package.name} {package.version}")
        deb = apt.download(package, scratch)
        extract(deb, result, IMAGES[name].taken)
        _make(name, Parts(build, result, deb))
        (result / "package.json").write_text(json.dumps(origin(package), indent=2) + "\n")


def _make(name: str, parts: Parts) -> None:
    for file, make in IMAGES[name].made.items():
        say("boot_images", f"{name}: making {file}")
        make(parts.folder / file, parts)


def main(arguments: list[str] | None = None) -> int:
    """Run the script; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="boot_images.py", description="Fetch boot images into build/images/."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(IMAGES))
    names = parser.parse_args(arguments).names or list(IMAGES)
    unknown = [name for name in names if name not in IMAGES]
    if unknown:
        parser.error(f"unknown image {unknown[0]!r}, known: {', '.join(IMAGES)}")
    try:
        fetch(names, BUILD)
    except AptError as error:
        die("boot_images", error, HINT)
    except OSError as error:
        die("boot_images", AptError(str(error)), HINT)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
