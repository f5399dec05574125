"""The guest's own words: the initrd that reports, and its report taken apart."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from initramfs import Archive, busybox

INIT = Path(__file__).with_name("guest-report.sh")
APPLETS = ("sh", "mount", "echo", "sha256sum", "dmesg", "uname", "cat", "grep", "od", "poweroff")


def archive(payload: dict[str, bytes] | None = None) -> Archive:
    """An initrd whose init prints the report; `payload` files are summed by the guest."""
    made = Archive().file("/init", INIT.read_bytes(), 0o755)
    for folder in ("/proc", "/sys", "/dev", "/payload"):
        made.directory(folder)
    made.character_device("/dev/console", 5, 1)
    for name, content in (payload or {}).items():
        made.file(f"/payload/{name}", content)
    return busybox(made, APPLETS)


@dataclass(frozen=True)
class Report:
    """Blocks of text by name, and the fields that tests compare."""

    blocks: dict[str, str]

    @classmethod
    def parse(cls, console: bytes) -> Report:
        text = console.decode(errors="replace").replace("\r\n", "\n")
        assert "@done" in text, f"the guest did not report:\n{text[-3000:]}"
        found = re.findall(r"^@begin (\S+)\n(.*?)^@end$", text, re.DOTALL | re.MULTILINE)
        return cls(dict(found))

    def __getitem__(self, name: str) -> str:
        return self.blocks[name]

    @property
    def boot_params(self) -> bytes:
        return bytes.fromhex(self.blocks["boot_params"])

    @property
    def sums(self) -> dict[str, str]:
        lines = (self.blocks["initrd"] + self.blocks["acpi"]).splitlines()
        return {Path(name).name: digest for digest, name in (line.split() for line in lines)}

    @property
    def iomem(self) -> list[tuple[int, int, str]]:
        """(start, end exclusive, name) of the top level of /proc/iomem."""
        rows = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) : (.*)$", self.blocks["iomem"], re.MULTILINE)
        return [(int(low, 16), int(high, 16) + 1, name) for low, high, name in rows]

    @property
    def e820(self) -> list[tuple[int, int, int]]:
        """(start, end exclusive, type) from the zero page that Linux made of the start info."""
        page = self.boot_params
        entries = (page[0x2D0 + 20 * n : 0x2E4 + 20 * n] for n in range(page[0x1E8]))
        return [
            (
                (start := int.from_bytes(entry[:8], "little")),
                start + int.from_bytes(entry[8:16], "little"),
                int.from_bytes(entry[16:20], "little"),
            )
            for entry in entries
        ]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
