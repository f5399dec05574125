"""Interleaved runs, medians, and one line per comparison."""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Comparison:
    """Ours against a peer or a floor, both in the unit `unit`; `limit` is the ratio allowed."""

    name: str
    ours: float
    theirs: float
    limit: float
    unit: str = "s"

    @property
    def ratio(self) -> float:
        """Ours divided by theirs: below 1 is better than the other side."""
        return self.ours / self.theirs

    @property
    def holds(self) -> bool:
        """Whether the ratio keeps within its limit."""
        return self.ratio <= self.limit

    def __str__(self) -> str:
        verdict = "ok" if self.holds else "TOO SLOW"
        return (
            f"{self.name:<52} {self.ours:8.3f} {self.unit:<3} {self.theirs:8.3f} {self.unit:<3} "
            f"{self.ratio:6.2f}x  (limit {self.limit:.2f}x) {verdict}"
        )


def interleaved(sides: Mapping[str, Callable[[], float]], rounds: int = 7) -> dict[str, float]:
    """Run every side once a round, so that noise meets all alike; return the medians by name.

    Each round begins with another side: what one leaves behind meets all that come after it.
    """
    taken: dict[str, list[float]] = {name: [] for name in sides}
    order = list(sides.items())
    for number in range(rounds):
        for name, side in order:
            if sys.stderr.isatty():
                print(f"\rround {number + 1}/{rounds}: {name:<40}", end="", file=sys.stderr)
            taken[name].append(side())
        order.append(order.pop(0))
    if sys.stderr.isatty():
        print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    return {name: statistics.median(values) for name, values in taken.items()}
