"""Fetch stock Debian kernels by package name into ``build/kernels/<name>/``.

Usage: ``python3 tools/kernels.py [NAME]...`` (all of them without a name). What is there already
is not fetched again, and then nothing else is done either. The system's apt is not touched.

Each folder holds ``vmlinuz``, ``config`` and ``package.json`` (where they came from). A kernel put
there by hand as ``vmlinuz`` serves as well.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from deb_files import BUILD, extract, locked, origin, remove_leftovers, say, whole
from private_apt import AptError, Package, PrivateApt, die, open_private_apt, running_release

HINT = """\
Kernels are fetched from a Debian archive by apt. Without one, put a kernel that has a PVH entry
(any distribution's x86-64 kernel with CONFIG_PVH=y) at build/kernels/<name>/vmlinuz, for instance
  mkdir -p build/kernels/cloud && cp /boot/vmlinuz-$(uname -r) build/kernels/cloud/vmlinuz"""


@dataclass(frozen=True)
class Kernel:
    """A kernel by the package that always depends on the newest one of its flavour."""

    package: str
    release: str = ""  # empty: the Debian release that runs here
    backports: bool = False
    architecture: str = "amd64"


KERNELS = {
    "cloud": Kernel("linux-image-cloud-amd64"),
    "6.1-cloud": Kernel("linux-image-cloud-amd64", "bookworm"),
    "6.1-full": Kernel("linux-image-amd64", "bookworm"),
    "6.1-686-pae": Kernel("linux-image-686-pae", "bookworm", architecture="i386"),
    "6.12-cloud": Kernel("linux-image-cloud-amd64", "bookworm", backports=True),
    "6.12-full": Kernel("linux-image-amd64", "bookworm", backports=True),
}

FILES = {r"\./boot/vmlinuz-[^/]+": "vmlinuz", r"\./boot/config-[^/]+": "config"}


def resolve(apt: PrivateApt, kernel: Kernel, release: str) -> Package | None:
    """The package with the kernel itself, which the meta package only depends on."""
    suite = f"/{release}-backports" if kernel.backports else ""
    meta = apt.show(f"{kernel.package}{suite}")
    for entry in meta.depends if meta else ():
        found = re.fullmatch(r"(linux-image-\S+) \(= (\S+)\)", entry)
        if found:
            return apt.show(f"{found[1]}={found[2]}")
    return None


def fetch(names: list[str], build: Path, etc_apt: Path = Path("/etc/apt")) -> None:
    """Make sure that ``build/kernels/<name>/vmlinuz`` is there for each name.

    :param etc_apt: the machine's apt configuration, of which the mirrors are taken.
    :raises AptError: where a kernel cannot be had; the others stay as they are.
    """
    folder = build / "kernels"
    if not missing(names, folder):
        return
    with locked(folder / ".lock", "kernels"):
        remove_leftovers(folder)
        absent = missing(names, folder)  # again: another call may have fetched them
        groups: dict[tuple[str, str], list[str]] = {}
        for name in absent:
            kernel = KERNELS[name]
            release = kernel.release or running_release()
            groups.setdefault((release, kernel.architecture), []).append(name)
        for (release, architecture), group in groups.items():
            _fetch_group(group, release, architecture, build, etc_apt)


def missing(names: list[str], folder: Path) -> list[str]:
    """The names whose kernel is not in the folder."""
    return [name for name in names if not (folder / name / "vmlinuz").is_file()]


def _fetch_group(
    names: list[str], release: str, architecture: str, build: Path, etc_apt: Path
) -> None:
    suites = [release]
    if any(KERNELS[name].backports for name in names):
        suites.append(f"{release}-backports")
    root = build / "apt" / f"{release}-{architecture}"
    apt = open_private_apt(root, suites, architecture, etc_apt)
    _say(f"reading the {architecture} package lists of {', '.join(suites)}")
    complaint = apt.update()
    for name in names:
        package = resolve(apt, KERNELS[name], release)
        if package is None:
            why = complaint or "no index has it"
            raise AptError(f"{name}: {KERNELS[name].package} of {release} is not found: {why}")
        _install(apt, package, name, build / "kernels")
    if complaint:
        _say(f"warning, done without this: {complaint}")


def _install(apt: PrivateApt, package: Package, name: str, folder: Path) -> None:
    source = origin(package)
    with whole(folder, name) as (result, scratch):
        twin = _same_package(source, folder)
        if twin is not None:
            shutil.copytree(twin, result, dirs_exist_ok=True)
        else:
            _say(f"{name}: fetching {package.name} {package.version} ({package.architecture})")
            extract(apt.download(package, scratch), result, FILES)
        (result / "package.json").write_text(json.dumps(source, indent=2) + "\n")


def _same_package(source: dict[str, str], folder: Path) -> Path | None:
    for path in sorted(folder.glob("*/package.json")):
        if json.loads(path.read_text()) == source and (path.parent / "vmlinuz").is_file():
            return path.parent
    return None


def _say(line: str) -> None:
    say("kernels", line)


def main(arguments: list[str] | None = None) -> int:
    """Run the script; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="kernels.py", description="Fetch stock Debian kernels into build/kernels/."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(KERNELS))
    names = parser.parse_args(arguments).names or list(KERNELS)
    unknown = [name for name in names if name not in KERNELS]
    if unknown:
        parser.error(f"unknown kernel {unknown[0]!r}, known: {', '.join(KERNELS)}")
    try:
        fetch(names, BUILD)
    except AptError as error:
        die("kernels", error, HINT)
    except OSError as error:
        die("kernels", AptError(str(error)), HINT)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
