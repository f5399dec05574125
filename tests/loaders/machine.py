"""A PC on QEMU with a loader's medium in it, watched on its serial port until the guest reports."""

from __future__ import annotations

import re
import selectors
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from packages import OVMF, OVMF_IA32

SECONDS = 180
"""A start takes five to fifteen on an idle machine; nothing is concluded from the time."""

# Without features that TCG is bad at: docs/engines.md has the measurements.
PC = (
    *("setpriv", "--pdeathsig", "KILL"),  # it never outlives the tests, however they end
    *("qemu-system-x86_64", "-M", "q35,graphics=off", "-accel", "tcg,thread=single"),
    *("-cpu", "max,-cx16,-erms,-fsrm", "-m", "512", "-nodefaults", "-vga", "std"),
    *("-display", "none", "-serial", "stdio", "-no-reboot"),
)

NEVER = "(?!)"
"""For a machine that is watched until it is off, whatever it says."""

# These say that nothing more will come: no loader is worth waiting three minutes for after them.
_ENDS = re.compile(
    rb"Kernel panic|!!!! |No bootable device|System halted"
    rb"|hvmlite: [^\n]*\n|grub rescue>|no-way-on",
    re.MULTILINE,
)
# What the shell of UEFI says in each of the five seconds that it waits for a key.
_ASKS = b"any other key to continue"
_REPORT = re.compile(rb"^hvmlite-report: (\{.*\})\r?\n", re.MULTILINE)


@dataclass(frozen=True)
class Seen:
    """What came of a start: all that the serial port said, and the guest's own report if any."""

    console: str
    report: bytes | None
    off: bool
    """Whether it turned itself off."""

    @property
    def said(self) -> str:
        """The console's last lines, without escape sequences."""
        plain = re.sub(r"\x1b\[[0-9;?=]*[A-Za-z]|\r", "", self.console)
        return "\n".join(line for line in plain.split("\n") if line.strip())[-3000:]


def first(paths: tuple[str, ...]) -> Path:
    """The one that is there; tools/packages.py saw to it."""
    return next(path for path in map(Path, paths) if path.is_file())


def ovmf(paths: tuple[str, ...] = OVMF) -> list[str]:
    """QEMU's options for UEFI; its variables are not kept."""
    code = first(paths)
    return ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}"]


def ovmf_ia32() -> list[str]:
    """Debian's 32-bit UEFI is built for SMM and Secure Boot: it wants flash for its variables."""
    secure = ("-global", "driver=cfi.pflash01,property=secure,value=on")
    return [*ovmf(OVMF_IA32), *variables(OVMF_IA32), *secure]


def variables(paths: tuple[str, ...] = OVMF) -> list[str]:
    """Flash for the variables of UEFI, of which nothing is kept either."""
    code = first(paths)
    path = code.with_name(code.name.replace("CODE", "VARS").replace(".secboot", ""))
    return ["-drive", f"if=pflash,format=raw,unit=1,snapshot=on,file={path}"]


def disk(path: Path, bootindex: int = 0) -> list[str]:
    """A disk that firmware starts from."""
    return [
        *("-drive", f"if=none,id=disk{bootindex},format=raw,readonly=on,file={path}"),
        *("-device", f"virtio-blk-pci,drive=disk{bootindex},bootindex={bootindex}"),
    ]


def cd(path: Path) -> list[str]:
    """A CD-ROM on the q35's AHCI."""
    return [
        *("-drive", f"if=none,id=cd,media=cdrom,readonly=on,file={path}"),
        *("-device", "ide-cd,drive=cd,bootindex=0"),
    ]


def watch(options: list[str], until: str | None = None, seconds: float = SECONDS) -> Seen:
    """Run a machine until its guest has reported, says that it is lost, or the time is over.

    :param until: a regular expression; what matches it is the end, too.
    """
    ends = re.compile(until.encode(), re.MULTILINE | re.DOTALL) if until else _ENDS
    with tempfile.TemporaryFile() as errors:
        machine = subprocess.Popen(
            [*PC, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        try:
            console, off = _read(machine, time.monotonic() + seconds, ends)
        finally:
            machine.kill()
            machine.wait()
            machine.stdin.close()
            machine.stdout.close()
        errors.seek(0)
        said = errors.read()
    found = _REPORT.search(console)
    text = (console + said).decode("latin-1")
    return Seen(text, found[0] if found else None, off)


def _read(machine: subprocess.Popen, deadline: float, ends: re.Pattern) -> tuple[bytes, bool]:
    console = bytearray()
    answered = off = False
    with selectors.DefaultSelector() as selector:
        selector.register(machine.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                break
            chunk = machine.stdout.read1(1 << 16)
            console += chunk
            if _ASKS in console and not answered:
                machine.stdin.write(b"\r")
                machine.stdin.flush()
                answered = True
            # A line may have come in two pieces; the newline is waited for.
            off = not chunk
            if off or _REPORT.search(console) or ends.search(console):
                break
    return bytes(console), off
