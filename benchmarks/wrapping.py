"""Wrapping a kernel against the least that can be done with it: copy it and hash it.

Once as a call, by the clock of the process that makes it, and once as a command: there both sides
also start an interpreter and import what they need, which with hvmlite's is most of it. Both sides
run in turn, so that noise meets them alike, and both replace the same file each time.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from _measure import Comparison, interleaved
from _setting import BUILD, HVMLITE, KERNEL
from inspection import lifetime

LIMIT = 2.0
"""Wrapping takes less than twice the time of copying and hashing, start of the program included."""

COPY = """\
import hashlib, shutil, sys, time
started = time.monotonic()
shutil.copyfile(sys.argv[1], sys.argv[2])
digest = hashlib.sha256(open(sys.argv[2], "rb").read()).hexdigest()
print(time.monotonic() - started)
"""
CALL = """\
import sys, time
from hvmlite import universal
started = time.monotonic()
made = universal.wrap(sys.argv[1], cmdline="console=ttyS0")
universal.write_files([(sys.argv[2], made.image)])
print(time.monotonic() - started)
"""


def wrap(rounds: int) -> list[Comparison]:
    """Of a bzImage, with a command line."""
    BUILD.mkdir(parents=True, exist_ok=True)
    ours, theirs = BUILD / "universal", BUILD / "copy"
    call = [sys.executable, "-c", CALL, str(KERNEL), str(ours)]
    copy = [sys.executable, "-c", COPY, str(KERNEL), str(theirs)]
    command = [str(HVMLITE), "wrap", str(KERNEL), "-o", str(ours), "-a", "console=ttyS0"]
    medians = interleaved(
        {
            "call": partial(_said, call),
            "copying": partial(_said, copy),
            "command": partial(lifetime, command),
            "copy": partial(lifetime, copy),
        },
        rounds,
    )
    for file in (ours, theirs):
        file.unlink()
    return [
        Comparison("wrap: call, copying and hashing", medians["call"], medians["copying"], LIMIT),
        Comparison("wrap: command, the same", medians["command"], medians["copy"], LIMIT),
    ]


def _said(command: list[str]) -> float:
    return float(subprocess.run(command, capture_output=True, check=True).stdout)
