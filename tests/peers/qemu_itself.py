"""What the real QEMU does with a file that is given to `-kernel`, seen before the guest runs."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

_ROMS = {
    "linuxboot": "linux16",
    "linuxboot_dma": "linux16",
    "multiboot": "multiboot1",
    "multiboot_dma": "multiboot1",
    "pvh": "pvh",
}
"""The option ROM that enters the guest says which way was taken."""


class Answer(NamedTuple):
    """The way that was taken, empty for none, and all that was said on stderr."""

    way: str
    said: str


def ask(data: bytes | Path, memory: int = 256) -> Answer:
    """Let QEMU load the file and stop before the first instruction."""
    with tempfile.TemporaryDirectory() as folder:
        path = data if isinstance(data, Path) else Path(folder) / "kernel"
        if isinstance(data, bytes):
            path.write_bytes(data)
        command = ["qemu-system-x86_64", "-M", "q35", "-nodefaults", "-display", "none", "-S"]
        command += ["-m", str(memory), "-monitor", "stdio", "-kernel", str(path)]
        done = subprocess.run(
            command, input="info roms\nquit\n", capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
    found = {
        _ROMS[name] for name in re.findall(r"genroms/(\w+)\.bin", done.stdout) if name in _ROMS
    }
    if done.returncode:
        assert not found, done.stdout
        return Answer("", done.stderr or f"status {done.returncode}")
    (way,) = found
    return Answer(way, done.stderr)
