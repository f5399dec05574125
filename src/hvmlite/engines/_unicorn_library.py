"""The library itself: the Python package ``unicorn``, which is the extra ``hvmlite[unicorn]``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hvmlite.errors import EngineUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from unicorn import Uc

__all__ = ["OLDEST", "hole", "library", "rdtsc_hook"]

OLDEST = (2, 1, 2)
"""The oldest version that can be told what RDTSC reads."""
_HINT = "install it: pip install 'hvmlite[unicorn]'"


def library() -> ModuleType:
    """Return the package ``unicorn``, with ``unicorn.x86_const`` imported.

    :raises EngineUnavailable: it is not there, cannot be loaded, or is another version
    """
    try:
        import unicorn
        import unicorn.x86_const
    except ImportError as cause:  # also where its shared library does not fit this machine
        raise EngineUnavailable(
            f"unicorn: {str(cause).lower()}, the package unicorn needed",
            engine="unicorn",
            hint=_HINT,
        ) from cause
    version = tuple(int(part) for part in re.findall(r"\d+", unicorn.__version__)[:3])
    if not OLDEST <= version < (OLDEST[0] + 1,):
        raise EngineUnavailable(
            f"unicorn: version {unicorn.__version__} found, "
            f"{'.'.join(map(str, OLDEST))} or a later {OLDEST[0]} needed",
            engine="unicorn",
            hint=_HINT,
        )
    found: ModuleType = unicorn
    return found


def rdtsc_hook(uc: Uc, read: Callable[[], int]) -> object:
    """Let `read` answer RDTSC and RDTSCP, which would tell the host's clock.

    :returns: what must live as long as `uc`
    """
    # The library has this hook, the package's own method refuses to set it.
    import ctypes

    import unicorn
    from unicorn import x86_const
    from unicorn.unicorn_py3.unicorn import uclib

    def answer(_engine: int, _data: int) -> int:
        value = read()
        uc.reg_write(x86_const.UC_X86_REG_RAX, value & 0xFFFF_FFFF)
        uc.reg_write(x86_const.UC_X86_REG_RDX, value >> 32)
        return 1  # nothing is left to do

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(answer)
    for instruction in (x86_const.UC_X86_INS_RDTSC, x86_const.UC_X86_INS_RDTSCP):
        handle = ctypes.c_size_t()
        status = uclib.uc_hook_add(
            uc._uch, ctypes.byref(handle), unicorn.UC_HOOK_INSN, callback, None,
            ctypes.c_uint64(1), ctypes.c_uint64(0), ctypes.c_int(instruction),
        )  # fmt: skip
        if status != unicorn.UC_ERR_OK:
            raise EngineUnavailable(
                "unicorn: no hook for RDTSC found, one needed for runs that repeat",
                engine="unicorn",
                hint=_HINT,
            )
    return callback


def hole(uc: Uc, start: int, end: int, written: Callable[[int, int], None]) -> object:
    """Map physical addresses without RAM: they read as all ones.

    :param written: called with the address and the size of each write
    :returns: what must live as long as `uc`
    :raises EngineUnavailable: the library refuses it
    """
    # The package's own method wraps each of these calls twice: four times as long for a copy of
    # what is not there.
    import ctypes

    import unicorn
    from unicorn.unicorn_py3.unicorn import uclib

    def read(_engine: int, _offset: int, size: int, _data: int) -> int:
        return (1 << 8 * size) - 1

    def write(_engine: int, offset: int, size: int, _value: int, _data: int) -> None:
        written(start + offset, size)

    word, size, any_ = ctypes.c_uint64, ctypes.c_uint, ctypes.c_void_p
    reads = ctypes.CFUNCTYPE(word, any_, word, size, any_)(read)
    writes = ctypes.CFUNCTYPE(None, any_, word, size, word, any_)(write)
    status = uclib.uc_mmio_map(uc._uch, word(start), word(end - start), reads, None, writes, None)
    if status != unicorn.UC_ERR_OK:
        raise EngineUnavailable(
            f"unicorn: {unicorn.UcError(status)} found, a range without RAM needed",
            engine="unicorn",
            hint=_HINT,
        )
    return reads, writes
