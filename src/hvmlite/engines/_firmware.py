"""Firmware for QEMU: SeaBIOS, which comes with it, and OVMF, found as its packages announce it.

QEMU's docs/interop/firmware.json: packages describe their firmware in JSON files, which are read in
the order of their names; a file of the same name in a folder of higher priority replaces another.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hvmlite.errors import EngineUnavailable, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FIRMWARES", "Flash", "find_ovmf", "known"]

FIRMWARES = ("seabios", "ovmf")
_FOLDERS = tuple(
    Path(f"{base}/qemu/firmware") for base in ("/etc", "/usr/local/share", "/usr/share")
)
# Keys that nobody here enrolled, and a mode that is not set up: what boots elsewhere would not.
_UNWANTED = {"requires-smm", "secure-boot", "enrolled-keys"}
_BEYOND = 1 << 20  # no description is that long
_HINT = (
    "install it: apt-get install ovmf (Debian, Ubuntu), dnf install edk2-ovmf (Fedora), "
    "pacman -S edk2-ovmf (Arch), zypper install qemu-ovmf-x86_64 (openSUSE)"
)


class Flash(NamedTuple):
    """A firmware's flash images: `code`, and `variables`, the template of what it may write to."""

    code: Path
    variables: Path


def known(name: str) -> str:
    """Return `name` if it is a firmware's, or empty.

    :raises RequestError: it is none
    """
    if name and name not in FIRMWARES:
        raise RequestError(
            f"firmware {name}: not known, one of {', '.join(FIRMWARES)} needed", field="firmware"
        )
    return name


def find_ovmf(folders: Iterable[Path] = _FOLDERS) -> Flash:
    """Return the first UEFI firmware for x86-64 that is described, and is there.

    :raises EngineUnavailable: there is none
    """
    described: dict[str, Path] = {}
    for folder in reversed(tuple(folders)):
        described |= {path.name: path for path in folder.glob("*.json")}
    for name in sorted(described):
        flash = _read(described[name])
        if flash is not None and flash.code.is_file() and flash.variables.is_file():
            return flash
    raise EngineUnavailable(
        f"OVMF: none of {len(described)} firmware descriptions is a UEFI for x86-64 without Secure "
        "Boot, one needed",
        engine="qemu",
        hint=_HINT,
    )


def _read(path: Path) -> Flash | None:
    # None where it is not what is wanted, or cannot be understood: it is another package's file.
    try:
        with path.open(encoding="utf-8") as file:
            match json.loads(file.read(_BEYOND)):
                case {
                    "interface-types": ["uefi", *_],
                    "mapping": {
                        "device": "flash",
                        "executable": {"filename": str(code), "format": "raw"},
                        "nvram-template": {"filename": str(variables), "format": "raw"},
                    },
                    "targets": [*targets],
                    "features": [*features],
                } if not _UNWANTED & set(map(str, features)) and _for_q35(targets):
                    return Flash(Path(code), Path(variables))
    except (OSError, ValueError, RecursionError):
        pass
    return None


def _for_q35(targets: list[object]) -> bool:
    for target in targets:
        match target:
            case {"architecture": "x86_64", "machines": [*machines]}:
                if any(str(machine).startswith("pc-q35") for machine in machines):
                    return True
    return False
