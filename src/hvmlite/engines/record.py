"""The recording engine: it writes a plan to a directory, to be looked at or run by something else.

``memory.img``
    guest RAM as the engine's memory file would be, sparse; where it goes says ``map.json``
``cpu.json``
    the processor's state at the first instruction, the fields of :class:`hvmlite.model.CpuState`
``map.json``, ``map.txt``
    the machine's RAM blocks and the named pieces, for programs and for people
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

from hvmlite.engines import _q35
from hvmlite.errors import EngineError, RequestError
from hvmlite.model import Availability

if TYPE_CHECKING:
    from pathlib import Path

    from hvmlite.model import Disk, GuestPlan, Machine, RunOptions

__all__ = ["FILES", "NAME", "available", "launch", "machine", "write"]

NAME = "record"
FILES = ("memory.img", "cpu.json", "map.json", "map.txt")


def available() -> Availability:
    """Say that recording is always possible."""
    return Availability(NAME, ok=True)


def machine(memory: int, cpus: int, disks: tuple[Disk, ...] = (), firmware: str = "") -> Machine:
    """Describe the machine that plans are made for: the one of the `qemu` engine.

    :raises RequestError: there is no such machine
    """
    from hvmlite.engines._firmware import known

    return _q35.machine(memory, cpus, disks, known(firmware))


def launch(wanted: Machine, options: RunOptions) -> NoReturn:
    """Refuse: nothing runs here, see :func:`write`."""
    raise RequestError(
        "engine record: a guest to run found, an engine that runs guests needed",
        field="engine",
        hint="hvmlite plan IMAGE --output DIR writes a plan; in Python record.write(plan, DIR)",
    )


def write(plan: GuestPlan, directory: str | os.PathLike[str]) -> None:
    """Write `plan` to `directory`, which is made or replaced as a whole.

    Only the owner may read it: command lines and initial RAM disks hold secrets (CVE-2021-3981).

    :raises RequestError: there is something else in the directory
    :raises EngineError: it cannot be written
    """
    import shutil
    import tempfile
    from pathlib import Path

    target = Path(directory)
    if not _replaceable(target):
        raise RequestError(
            f"{target}: something else than a plan found, an empty or new directory needed",
            field="directory",
        )
    try:
        # mkdtemp makes it 0700; beside the target, so that renaming is all that is left to do.
        with tempfile.TemporaryDirectory(prefix=".hvmlite-", dir=target.absolute().parent) as place:
            fresh, old = Path(place, "new"), Path(place, "old")
            fresh.mkdir(mode=0o700)
            _write_files(plan, fresh)
            if target.exists():
                target.rename(old)
            fresh.rename(target)
            shutil.rmtree(old, ignore_errors=True)
    except OSError as cause:
        reason = (cause.strerror or str(cause)).lower()
        raise EngineError(f"{target}: cannot be written: {reason}", engine=NAME) from cause


def _replaceable(target: Path) -> bool:
    try:
        names = set(os.listdir(target))  # noqa: PTH208 - names are all that is wanted
    except FileNotFoundError:
        return not target.is_symlink()
    except OSError:
        return False
    return not target.is_symlink() and (not names or names == set(FILES))


def _write_files(plan: GuestPlan, folder: Path) -> None:
    import json
    from dataclasses import asdict

    from hvmlite.guest.memory import fill_file

    image = os.open(folder / "memory.img", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.ftruncate(image, plan.machine.memory)
        fill_file(plan, image)
    finally:
        os.close(image)
    cpu = {"mode": str(plan.cpu.mode), **asdict(plan.cpu)}
    _text(folder / "cpu.json", json.dumps(cpu, indent=2) + "\n")
    _text(folder / "map.json", json.dumps(_map(plan), indent=2) + "\n")
    _text(folder / "map.txt", "".join(_lines(plan)))


def _text(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123
        file.write(text)


def _map(plan: GuestPlan) -> dict[str, object]:
    from dataclasses import asdict

    pieces = [
        {"start": p.start, "end": p.end, "name": p.name, "kind": str(p.kind)} for p in plan.pieces
    ]
    told = [
        {"start": r.start, "end": r.end, "type": int(r.type)} for r in plan.boot_info.memory_map
    ]
    return {
        "protocol": plan.protocol,
        "machine": plan.machine.name,
        "ram": [asdict(block) for block in plan.machine.ram],
        "map": pieces,
        "memory_map": told,
    }


def _lines(plan: GuestPlan) -> list[str]:
    return [f"{p.start:#014x} {p.end:#014x} {p.kind:<12} {p.name}\n" for p in plan.pieces]
