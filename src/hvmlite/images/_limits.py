"""The budgets of reading: what one file may cost."""

from __future__ import annotations

from hvmlite.values import Value

__all__ = ["Limits"]

_MIB = 1 << 20


class Limits(Value):
    """What unpacking one file may take, in bytes; the LimitError of one that is hit names it."""

    output: int = 512 * _MIB
    """Decompressed bytes. A debug kernel with all drivers built in has some 200 MiB."""
    dictionary: int = 192 * _MIB
    """Dictionary (xz, lzma) or window (zstd). Linux 6.12 and later use 128 MiB for xz and zstd."""
    slow_input: int = 32 * _MIB
    """Compressed bytes for the slow decoders: xz and lzma, and half as many for bzip2. These read 4
    to 20 MB/s, so that without it a malformed file would not be refused within seconds. The largest
    of distributions' kernels have 16 MiB."""
