"""A kernel started through the stub against the same kernel entered natively.

Both by its 64-bit entry, on the same engine and the same machine without firmware. What the stub
costs is a few thousand instructions and a larger file to read, a hundredth of a start or less:
hence more rounds than elsewhere.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from _measure import Comparison, interleaved
from _setting import BUILD, CMDLINE, HVMLITE, KERNEL, MEMORY_MIB, timed_boot
from hvmlite import universal

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 1.02
ROUNDS = 3
"""Times those of the other benchmarks."""


def through_stub(ird: Path, rounds: int) -> list[Comparison]:
    """From our process's start to the guest's `reboot -f`."""
    image, elf = BUILD / "universal", BUILD / "universal.elf"
    made = universal.wrap(KERNEL)
    universal.write_files([(image, made.image), (elf, made.elf)])

    def boot(path: Path, protocol: str) -> list[str]:
        command = [str(HVMLITE), "run", str(path), "--protocol", protocol, "-i", str(ird)]
        return [*command, "-a", CMDLINE, "-m", f"{MEMORY_MIB}M", "--accel", "tcg"]

    medians = interleaved(
        {
            "native": partial(timed_boot, boot(KERNEL, "linux64")),
            "linux64": partial(timed_boot, boot(image, "linux64")),
            "pvh": partial(timed_boot, boot(elf, "pvh")),
        },
        rounds * ROUNDS,
    )
    for file in (image, elf):
        file.unlink()
    return [
        Comparison(f"stub: {way}, native linux64", medians[way], medians["native"], LIMIT)
        for way in ("linux64", "pvh")
    ]
