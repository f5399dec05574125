"""Files out of Debian packages into folders below ``build/``, whole or not at all."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from private_apt import AptError, Package

if TYPE_CHECKING:
    from collections.abc import Iterator

BUILD = Path(__file__).resolve().parent.parent / "build"

_PARTIAL = ".partial-"


def origin(package: Package) -> dict[str, str]:
    """What a folder's ``package.json`` says of where its files came from."""
    return {
        "package": package.name,
        "version": package.version,
        "architecture": package.architecture,
        "sha256": package.sha256,
    }


def extract(deb: Path, folder: Path, files: dict[str, str]) -> None:
    """Take some files out of a Debian package.

    :param files: the names to give them, by a regular expression for the whole path (``./boot/x``).
    :raises AptError: if one of them is not there.
    """
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as dpkg:
        assert dpkg.stdout is not None
        with suppress(tarfile.TarError):  # then a file is missing below
            _take(dpkg.stdout, folder, files)
        while dpkg.stdout.read(1 << 20):  # to its end, or dpkg-deb would die of a broken pipe
            pass
    for name in files.values():
        if dpkg.returncode != 0 or not (folder / name).is_file():
            raise AptError(f"{deb.name}: no {name} can be taken out of it")


def _take(stream: IO[bytes], folder: Path, files: dict[str, str]) -> None:
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            name = next((n for path, n in files.items() if re.fullmatch(path, member.name)), None)
            content = tar.extractfile(member) if name and member.isfile() else None
            if name and content:
                with (folder / name).open("wb") as file:
                    shutil.copyfileobj(content, file)


@contextmanager
def locked(path: Path, script: str) -> Iterator[None]:
    """Hold the lock that keeps two calls from fetching at once; makes the folder it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(script, "waiting for another call that is fetching")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed call left in the folder; the caller holds its lock."""
    for leftover in folder.glob(f"{_PARTIAL}*"):
        shutil.rmtree(leftover)


@contextmanager
def whole(folder: Path, name: str) -> Iterator[tuple[Path, Path]]:
    """Fill ``folder/name``: an empty folder that takes its place when all went well.

    :returns: the folder to fill, and one for what is needed only meanwhile.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=_PARTIAL) as temporary:
        result = Path(temporary) / name
        scratch = Path(temporary) / ".scratch"
        result.mkdir()
        scratch.mkdir()
        yield result, scratch
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)  # without what it is there for: it is of no use
        result.rename(folder / name)


def say(script: str, line: str) -> None:
    """Tell the person who started a script what takes its time."""
    print(f"{script}: {line}", file=sys.stderr, flush=True)
