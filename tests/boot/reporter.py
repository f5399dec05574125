"""Guests that report: an initrd, a boot to its end, and the guest's own words taken apart."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import hvmlite
from hvmlite.model import Ending
from initramfs import Archive, busybox

INIT = Path(__file__).with_name("guest-report.sh")
APPLETS = ("sh", "mount", "echo", "sha256sum", "dmesg", "uname", "cat", "grep", "od", "poweroff")

QUICK = "panic=-1 cryptomgr.notests"
"""A guest that panics resets at once. One that starts does not try out its ciphers first, which is
a third of a start of Debian's 6.12 under TCG, and half of a 32-bit kernel's."""
LINE = f'console=ttyS0 {QUICK} hvmlite.test="a b" -- --argument'
"""The tests' usual command line."""

COMPLAINTS = re.compile(
    r"WARNING:|BUG:|Oops|Call Trace|ACPI Error|ACPI BIOS|ACPI Warning|[Ii]nitramfs .*failed"
    r"|junk|blocked for more than|self-detected stall|Kernel panic"
)


def archive(payload: dict[str, bytes], binary: Path | None = None) -> Archive:
    """An initrd whose init prints the report; `payload` files are summed by the guest."""
    made = Archive().file("/init", INIT.read_bytes(), 0o755)
    for folder in ("/proc", "/sys", "/dev", "/payload"):
        made.directory(folder)
    made.character_device("/dev/console", 5, 1)
    made.character_device("/dev/ttyS0", 4, 64)
    for name, content in payload.items():
        made.file(f"/payload/{name}", content)
    return busybox(made, APPLETS, binary)


def finish(guest, timeout=60):
    """Let the guest report and power off; a guest that does not shows the end of its console."""
    with guest:
        outcome = guest.wait(timeout)
        text = guest.console.text()
    assert outcome.kind is Ending.SHUTDOWN, f"{outcome}\n{text[-3000:]}"
    return Report.parse(text)


def boot(image, initrds, *, cmdline=LINE, timeout=60, **options):
    """Boot to user space and to the guest's own power-off; returns the plan and the report."""
    guest = hvmlite.run(image, initrds=initrds, cmdline=cmdline, **options)
    return guest.plan, finish(guest, timeout)


@dataclass(frozen=True)
class Report:
    """Blocks of text by name, and what tests compare."""

    blocks: dict[str, str]

    @classmethod
    def parse(cls, console: str) -> Report:
        text = console.replace("\r\n", "\n")
        assert "@done" in text, f"the guest did not report:\n{text[-3000:]}"
        found = re.findall(r"^@begin (\S+)\n(.*?)^@end$", text, re.DOTALL | re.MULTILINE)
        return cls(dict(found))

    def __getitem__(self, name: str) -> str:
        return self.blocks[name]

    @property
    def release(self) -> str:
        return self["release"].strip()

    @property
    def cmdline(self) -> bytes:
        line = bytes.fromhex(self["cmdline"])
        assert line.endswith(b"\n")
        return line[:-1]

    @property
    def boot_params(self) -> bytes:
        return bytes.fromhex(self["boot_params"])

    @property
    def setup_data(self) -> list[tuple[int, bytes]]:
        """Type and data of each node of the list, as the kernel shows them."""
        nodes = re.findall(
            r"^(0x[0-9a-f]+)\n((?: [0-9a-f ]+\n)*)", self["setup_data"], re.MULTILINE
        )
        return [(int(type_, 16), bytes.fromhex(data)) for type_, data in nodes]

    @property
    def files(self) -> dict[str, str]:
        """The SHA-256 of each file of the initrd's payload."""
        return _sums(self["files"])

    @property
    def tables(self) -> dict[str, str]:
        """The SHA-256 of each ACPI table that Linux shows, by its signature."""
        return _sums(self["tables"])

    @property
    def iomem(self) -> list[tuple[int, int, str]]:
        """(start, end exclusive, name) of each line of /proc/iomem, nested ones too."""
        rows = re.findall(r"^ *([0-9a-f]+)-([0-9a-f]+) : (.*)$", self["iomem"], re.MULTILINE)
        return [(int(low, 16), int(high, 16) + 1, name) for low, high, name in rows]

    def ranges(self, name: str) -> list[tuple[int, int]]:
        return [(low, high) for low, high, found in self.iomem if found == name]

    @property
    def memory_total(self) -> int:
        return int(re.search(r"^MemTotal: +(\d+) kB", self["meminfo"], re.MULTILINE)[1]) << 10


def _sums(block: str) -> dict[str, str]:
    return {Path(name).name: digest for digest, name in map(str.split, block.splitlines())}


def sums(files: dict[str, bytes]) -> dict[str, str]:
    """The SHA-256 of each of these files, as a report has them."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
