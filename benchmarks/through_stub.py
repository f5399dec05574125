"""A kernel started through the stub against the same kernel entered natively.

Both by its 64-bit entry, on the same engine and the same machine without firmware. What the stub
costs is a few thousand instructions and a larger file to read, a hundredth of a start or less:
hence more rounds than elsewhere.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from _measure import Comparison, interleaved
from _setting import BUILD, KERNEL, ours, timed_boot
from hvmlite import universal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMIT = 1.02
ROUNDS = 3
"""Times those of the other benchmarks."""


def through_stub(ird: Path, rounds: int) -> list[Comparison]:
    """From our process's start to the guest's `reboot -f`."""
    image, elf = BUILD / "universal", BUILD / "universal.elf"
    made = universal.wrap(KERNEL)
    universal.write_files([(image, made.image), (elf, made.elf)])

    def boot(path: Path, protocol: str) -> Callable[[], float]:
        return partial(timed_boot, ours(path, ird, "--protocol", protocol))

    medians = interleaved(
        {
            "native": boot(KERNEL, "linux64"),
            "linux64": boot(image, "linux64"),
            "pvh": boot(elf, "pvh"),
        },
        rounds * ROUNDS,
    )
    for file in (image, elf):
        file.unlink()
    return [
        Comparison(f"stub: {way}, native linux64", medians[way], medians["native"], LIMIT)
        for way in ("linux64", "pvh")
    ]
