"""What the tests of bad inputs share: a file read in a process of its own, with its costs."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from hvmlite import images
from makers import elf as elf_maker
from makers.bzimage import COMPRESSORS

MIB = 1 << 20
SECONDS = 5
SLOW_INPUT = {"bzip2": 16 * MIB, "lzma": 32 * MIB, "xz": 32 * MIB}
ALL = pytest.mark.parametrize("name", sorted(COMPRESSORS))
KERNEL = elf_maker.pvh_kernel(code=bytes(range(256)) * 64)

# Reads a file in a process of its own, so that its peak memory can be told apart from ours.
CHILD = """
import sys, time
from pathlib import Path
from hvmlite import images
from hvmlite.errors import FormatError, LimitError
import bz2, lzma, zlib, lz4.block, lzallright, zstandard
def peak():  # getrusage would count the parent before exec
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) >> 10
data = Path(sys.argv[1]).read_bytes()
before = peak()
start = time.process_time()
try:
    image = images.parse(data, "t")
    image.payload and image.payload.image
    verdict = "read"
except LimitError as error:
    verdict = f"limit {error.limit}"
except FormatError as error:
    verdict = "format"
print(time.process_time() - start, peak() - before, verdict, sep=";")
"""


def parse(data):
    return images.parse(data, "t")


def refused_cheaply(path, data, verdicts=("format",), seconds_allowed=SECONDS):
    """Read a hostile file; it must be refused within the time and memory that we promise."""
    path.write_bytes(data)
    # CPU seconds, and of three runs the fastest: a busy neighbour slows the processor itself
    for _ in range(3):
        child = subprocess.run(
            [sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, check=True
        )
        seconds, mebibytes, verdict = child.stdout.strip().split(";")
        assert verdict in verdicts
        if float(seconds) < seconds_allowed:
            break
    assert float(seconds) < seconds_allowed
    assert int(mebibytes) <= 512 + 256
    return int(mebibytes)


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)
