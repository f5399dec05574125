"""Fetch Debian's static busybox for i386 into ``build/busybox-i386``.

Usage: ``python3 tools/busybox_i386.py``. The guests of the i386 kernels need it as their user
space; nothing is installed on this machine. If the file is there, nothing is done.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from deb_files import BUILD, extract, locked
from private_apt import AptError, die, open_private_apt, running_release

NAME = "busybox-i386"
PACKAGE = "busybox-static"
FILES = {r"\./(usr/)?bin/busybox": NAME}

HINT = """\
It is fetched from a Debian archive by apt. Without one, put any static i386 busybox at
build/busybox-i386"""


def fetch(build: Path, etc_apt: Path = Path("/etc/apt")) -> None:
    """Make sure that ``build/busybox-i386`` is there.

    :param etc_apt: the machine's apt configuration, of which the mirrors are taken.
    :raises AptError: if it cannot be had.
    """
    target = build / NAME
    if target.is_file():
        return
    with locked(build / "kernels" / ".lock", NAME):  # the i386 kernel comes by the same private apt
        if target.is_file():
            return
        release = running_release()
        apt = open_private_apt(build / "apt" / f"{release}-i386", [release], "i386", etc_apt)
        complaint = apt.update()
        package = apt.show(PACKAGE)
        if package is None:
            raise AptError(f"{PACKAGE}:i386 is not found: {complaint or 'no index has it'}")
        print(f"busybox-i386: fetching {PACKAGE} {package.version} (i386)", file=sys.stderr)
        with tempfile.TemporaryDirectory(dir=build) as temporary:
            folder = Path(temporary)
            extract(apt.download(package, folder), folder, FILES)
            (folder / NAME).chmod(0o755)
            (folder / NAME).rename(target)


def main() -> int:
    """Run the script; returns its exit status."""
    try:
        fetch(BUILD)
    except AptError as error:
        die("busybox-i386", error, HINT)
    except OSError as error:
        die("busybox-i386", AptError(str(error)), HINT)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
