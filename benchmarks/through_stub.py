"""A kernel started through the stub against the same kernel entered natively.

Both by its 64-bit entry, on the same engine and the same machine without firmware. What the stub
costs is a few thousand instructions and a larger file to read, a hundredth of a start or less. On a
shared machine one start differs from the next by far more: hence more rounds than elsewhere, and a
second measure that has next to no noise, the instructions that the guest executes until it ends.
"""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

from _measure import Comparison, interleaved
from _setting import BUILD, KERNEL, ours, timed_boot
from hvmlite import universal

LIMIT = 1.02
ROUNDS = 3
"""Times those of the other benchmarks."""
COUNTED = 3
"""Rounds in which instructions are counted: only timer interrupts make a difference."""


def through_stub(ird: Path, rounds: int) -> list[Comparison]:
    """From our process's start to the guest's `reboot -f`."""
    image, elf = BUILD / "universal", BUILD / "universal.elf"
    made = universal.wrap(KERNEL)
    universal.write_files([(image, made.image), (elf, made.elf)])
    files = {"native linux64": KERNEL, "linux64": image, "pvh": elf}
    commands = {
        name: ours(file, ird, "--protocol", name.removeprefix("native "))
        for name, file in files.items()
    }
    times = {name: partial(timed_boot, command) for name, command in commands.items()}
    counter = _plugin()
    counts = {name: partial(_counted, command, counter) for name, command in commands.items()}
    found = _compared("", interleaved(times, rounds * ROUNDS), "s")
    found += _compared(" instructions", interleaved(counts, COUNTED), "M")
    for file in (image, elf):
        file.unlink()
    return found


def _compared(what: str, medians: dict[str, float], unit: str) -> list[Comparison]:
    native = medians.pop("native linux64")
    return [
        Comparison(f"stub: {way}{what}, native linux64", median, native, LIMIT, unit)
        for way, median in medians.items()
    ]


def _plugin() -> Path:
    source = Path(__file__).with_name("instructions.c")
    plugin = BUILD / "instructions.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", plugin, source], check=True)
    return plugin


def _counted(command: list[str], plugin: Path) -> float:
    # In millions.
    out = plugin.with_suffix(".out")
    out.unlink(missing_ok=True)
    timed_boot([*command, "--", "-plugin", f"{plugin},out={out}"])
    return int(out.read_text()) / 1e6
