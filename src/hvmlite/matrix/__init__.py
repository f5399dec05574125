"""THE SAME IMAGE THROUGH EVERY DOOR: each entry ABI on each engine, compared as the guest saw it.

:func:`run_matrix` is the way in. What it gives back is in :mod:`hvmlite.matrix.result`.
"""

from __future__ import annotations

from hvmlite.matrix.result import (
    Baseline,
    Cell,
    Difference,
    GuestKind,
    Matrix,
    Row,
    Trouble,
    Verdict,
)
from hvmlite.matrix.run import run_matrix

__all__ = [
    "Baseline",
    "Cell",
    "Difference",
    "GuestKind",
    "Matrix",
    "Row",
    "Trouble",
    "Verdict",
    "run_matrix",
]
