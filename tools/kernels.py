"""Fetch stock Debian kernels by package name into ``build/kernels/<name>/``.

Usage: ``python3 tools/kernels.py [NAME]...`` (all of them without a name). What is there already
is not fetched again, and then nothing else is done either. The system's apt is not touched.

Each folder holds ``vmlinuz``, ``config`` and ``package.json`` (where they came from). A kernel put
there by hand as ``vmlinuz`` serves as well.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from private_apt import AptError, Package, PrivateApt, die, open_private_apt, running_release

if TYPE_CHECKING:
    from collections.abc import Iterator

BUILD = Path(__file__).resolve().parent.parent / "build"

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
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock"):
        for leftover in folder.glob(".partial-*"):
            shutil.rmtree(leftover)  # of a call that was killed: nobody else holds the lock
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
    origin = {
        "package": package.name,
        "version": package.version,
        "architecture": package.architecture,
        "sha256": package.sha256,
    }
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as temporary:
        result = Path(temporary) / name
        twin = _same_package(origin, folder)
        if twin is not None:
            shutil.copytree(twin, result)
        else:
            _say(f"{name}: fetching {package.name} {package.version} ({package.architecture})")
            result.mkdir()
            extract(apt.download(package, Path(temporary)), result, FILES)
        (result / "package.json").write_text(json.dumps(origin, indent=2) + "\n")
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)  # without its kernel: it is of no use
        result.rename(folder / name)


def _same_package(origin: dict[str, str], folder: Path) -> Path | None:
    for path in sorted(folder.glob("*/package.json")):
        if json.loads(path.read_text()) == origin and (path.parent / "vmlinuz").is_file():
            return path.parent
    return None


def extract(deb: Path, folder: Path, files: dict[str, str]) -> None:
    """Take some files out of a Debian package.

    :param files: the names to give them, by a regular expression for the whole path (``./boot/x``).
        The first one must be there.
    :raises AptError: if it is not.
    """
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as dpkg:
        assert dpkg.stdout is not None
        with suppress(tarfile.TarError):  # then the file is missing below
            _take(dpkg.stdout, folder, files)
        while dpkg.stdout.read(1 << 20):  # to its end, or dpkg-deb would die of a broken pipe
            pass
    first = next(iter(files.values()))
    if dpkg.returncode != 0 or not (folder / first).is_file():
        raise AptError(f"{deb.name}: no {first} can be taken out of it")


def _take(stream: IO[bytes], folder: Path, files: dict[str, str]) -> None:
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            name = next((n for path, n in files.items() if re.fullmatch(path, member.name)), None)
            content = tar.extractfile(member) if name and member.isfile() else None
            if name and content:
                (folder / name).write_bytes(content.read())


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock that keeps two calls from fetching at once."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another call that is fetching")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(line: str) -> None:
    print(f"kernels: {line}", file=sys.stderr, flush=True)


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
