"""The fallback for kernels whose header does not say where the payload is: a search for magics."""

from __future__ import annotations

import re
from itertools import islice

from hvmlite.errors import FormatError
from hvmlite.images._compression import MAGICS, detect, peek
from hvmlite.spec.elf import ELFMAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.images._limits import Limits

__all__ = ["find"]

_MAX_CANDIDATES = 64
_REACH = 16 << 20
"""So far a payload's start is looked for: before it there is only what unpacks it, and a file of
many GiB would take minutes."""
_ANY_MAGIC = re.compile(b"|".join(re.escape(magic) for magic in MAGICS.values()))


def find(data: memoryview, start: int, source: str, limits: Limits) -> tuple[str, int] | None:
    """Return the compression and offset of the first stream from `start` on that holds an ELF file.

    Magics turn up in code by chance, hence each candidate is decompressed far enough to see.
    """
    for match in islice(_ANY_MAGIC.finditer(data[: start + _REACH], start), _MAX_CANDIDATES):
        candidate = data[match.start() :]
        name = detect(candidate)
        assert name is not None
        try:
            head = peek(name, candidate, len(ELFMAG), limits=limits, source=source)
        except FormatError:
            continue
        if head == ELFMAG:
            return name, match.start()
    return None
