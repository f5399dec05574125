"""The project's own test guests (``stub/microkernel``): building, starting, and what they say.

Each checks the state that it is entered with against its ABI's document, decodes what it was told
by C code of its own, and says both as one line of JSON.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hvmlite
from hvmlite.engines import qemu
from hvmlite.model import Ending, GuestPlan, Outcome, RunOptions

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "stub" / "microkernel"
FOLDER = ROOT / "build" / "stub" / "microkernel"

PREFIX = "microkernel: "
TIMEOUT = 60

ABIS = {
    "pvh32": ("pvh",),
    "pvh64": ("pvh",),
    "linux16": ("linux32", "linux16"),
    "linux32": ("linux32", "linux16"),
    "linux64": ("linux64", "linux32", "linux16"),
    "linux32-elf": ("linux32",),
    "linux64-elf": ("linux64",),
    "multiboot1-elf32": ("multiboot1",),
    "multiboot1-elf64": ("multiboot1",),
    "multiboot1-kludge": ("multiboot1",),
    "multiboot2-elf32": ("multiboot2",),
    "multiboot2-elf64": ("multiboot2",),
    "multiboot2-address": ("multiboot2",),
    "multiboot2-relocatable": ("multiboot2",),
}
"""The builds, and the entry ABIs that each has: a bzImage has several by its nature."""

DOORS = [(build, abi) for build, abis in ABIS.items() for abi in abis]
"""Every (build, ABI)."""


def build() -> None:
    """Make all builds that are not there or older than their sources; one process at a time."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["make", "--silent", "-C", SOURCE, f"OUT={FOLDER}"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def symbol(build: str, name: str) -> int:
    """The address of a symbol of an ELF build."""
    listing = subprocess.run(
        ["nm", FOLDER / build], check=True, capture_output=True, text=True
    ).stdout
    found = {line.split()[2]: int(line.split()[0], 16) for line in listing.splitlines()}
    return found[name]


@dataclass(frozen=True)
class Report:
    """What a microkernel said, and the status that it left with."""

    said: dict[str, Any]
    status: int

    @classmethod
    def parse(cls, console: str, status: int | None) -> Report:
        lines = [line for line in console.splitlines() if line.startswith(PREFIX)]
        assert lines, f"the microkernel said nothing, status {status}:\n{console[-3000:]}"
        return cls(json.loads(lines[-1].removeprefix(PREFIX)), -1 if status is None else status)

    def __getitem__(self, name: str) -> Any:
        return self.said[name]

    @property
    def trap(self) -> dict[str, int] | None:
        """Of a guest that ended in an exception: vector, rip, error, cr2."""
        return self.said.get("trap")

    @property
    def checks(self) -> list[str]:
        """The checks that failed."""
        return self.said["checks"]

    @property
    def cmdline(self) -> bytes | None:
        line = self.said["cmdline"]
        return None if line is None else bytes.fromhex(line)

    @property
    def passed(self) -> bool:
        return self.status == 0 and self.trap is None and self.checks == []


def finish(guest: Any) -> Report:
    """Wait for the verdict of a guest: of :func:`hvmlite.run` or of an engine."""
    with guest:
        outcome: Outcome = guest.wait(TIMEOUT)
        text = guest.console.text()
    assert outcome.kind is Ending.EXITED, f"{outcome}\n{text[-3000:]}"
    return Report.parse(text, outcome.status)


def run(build: str, protocol: str, **options: Any) -> tuple[GuestPlan, Report]:
    """Start a build by an entry ABI of hvmlite; returns the plan and what the guest said."""
    guest = hvmlite.run(FOLDER / build, protocol=protocol, **options)
    return guest.plan, finish(guest)


def plan(build: str, protocol: str, **options: Any) -> GuestPlan:
    return hvmlite.plan(FOLDER / build, protocol=protocol, **options)


def start(changed: GuestPlan) -> Report:
    """Start a plan that was changed by hand."""
    return finish(qemu.start(changed, RunOptions()))


def by_loader(*arguments: str | Path, memory: int = 128) -> Report:
    """Start a guest by QEMU's own firmware and loaders, or by what they load."""
    command = ["qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none"]
    command += ["-accel", "tcg", "-m", str(memory), "-serial", "stdio", "-device"]
    command += ["isa-debug-exit,iobase=0xf4,iosize=4", *map(str, arguments)]
    result = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=TIMEOUT,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert result.returncode & 1, result.stderr
    return Report.parse(result.stdout, result.returncode >> 1)
