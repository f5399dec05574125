"""Machine code that hvmlite gives to guests, built from the folder ``stub`` when it is packaged.

===============  ====================================================================
name             what it is
===============  ====================================================================
``bios``         BIOS services for real-mode guests, see :mod:`hvmlite.guest.bios`
===============  ====================================================================
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from hvmlite.errors import UnsupportedError

__all__ = ["read"]


@cache
def read(name: str) -> bytes:
    """Return the blob called `name`.

    :raises UnsupportedError: it was not built; `feature` is its name
    """
    try:
        return resources.files(__name__).joinpath(name).read_bytes()
    except OSError as cause:
        raise UnsupportedError(
            f"{name}: this part of hvmlite was not built, its machine code is needed",
            feature=name,
            hint="in the source tree, make -C stub builds it (with make and a C compiler)",
        ) from cause
