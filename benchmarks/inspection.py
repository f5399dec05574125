"""`hvmlite inspect` against the least that it must do: start, and decompress the kernel.

The floor is a process of its own that imports the decompressor and nothing else; it parses nothing,
hashes nothing and says nothing. Both sides run in turn, so that noise meets them alike.
"""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial

from _measure import Comparison, interleaved
from _setting import HVMLITE, KERNEL

LIMIT = 1.2
"""The issue's: at most so many times the decompression and the interpreter's start."""

FLOOR = """\
import sys, zstandard
image = open(sys.argv[1], "rb").read()
start = (image[0x1F1] + 1) * 512 + int.from_bytes(image[0x248:0x24C], "little")
payload = image[start : start + int.from_bytes(image[0x24C:0x250], "little")]
size = int.from_bytes(payload[-4:], "little")
zstandard.ZstdDecompressor().decompress(payload, max_output_size=size)
"""


def lifetime(command: list[str]) -> float:
    """Run a command to its end and return the seconds."""
    started = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - started


def inspect(rounds: int) -> list[Comparison]:
    """Of a bzImage, for people and with every peer's verdict."""
    plain = [str(HVMLITE), "inspect", str(KERNEL)]
    medians = interleaved(
        {
            "inspect": partial(lifetime, plain),
            "peers": partial(lifetime, [*plain, "--for", "qemu,xen,firecracker"]),
            "floor": partial(lifetime, [sys.executable, "-c", FLOOR, str(KERNEL)]),
        },
        rounds,
    )
    floor = medians["floor"]
    return [
        Comparison("inspect: bzImage, decompression alone", medians["inspect"], floor, LIMIT),
        Comparison("inspect --for: bzImage, decompression alone", medians["peers"], floor, 1.4),
    ]
