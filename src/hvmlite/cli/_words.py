"""The words that options take: sizes, files with options behind a comma, counts, times, ports."""

from __future__ import annotations

import argparse
import math

from hvmlite.cli._output import escape

__all__ = ["count", "disk", "module", "port", "seconds", "size"]

_UNITS = {"": 20, "K": 10, "M": 20, "G": 30, "T": 40}
_DISK_FORMATS = ("raw", "qcow2")
_DISK_ACCESS = ("ro", "rw", "snapshot", "cdrom")


def size(text: str) -> int:
    """Return the bytes that a size means: K, M, G and T are powers of 1024, no suffix means MiB.

    :raises argparse.ArgumentTypeError: it is no size, not above zero, or beyond 52 address bits
    """
    number = text.removesuffix("iB")
    unit = number[-1:].upper()
    digits, unit = (number[:-1], unit) if unit in "KMGT" else (number, "")
    if not (digits.isascii() and digits.isdigit()) or (number != text and not unit):
        raise _wrong(text, "no size", "needed a number with K, M, G or T (MiB without)")
    bits = digits.lstrip("0")
    if not bits or len(bits) > 16 or int(bits) << _UNITS[unit] > 1 << 52:
        raise _wrong(text, "size out of range", "needed 1 byte to 4 PiB")
    return int(bits) << _UNITS[unit]


def module(text: str) -> tuple[str, str]:
    """Return path and command line of ``PATH[,CMDLINE]``; ``,,`` is a comma in the path."""
    path, cmdline = _path(text)
    return path, cmdline or ""


def disk(text: str) -> tuple[str, str, str]:
    """Return path, format and access of ``FILE[,format=raw|qcow2][,ro|rw|snapshot|cdrom]``.

    :raises argparse.ArgumentTypeError: a word after the file name has no meaning here
    """
    path, rest = _path(text)
    kind, access = "raw", "ro"
    for word in [] if rest is None else rest.split(","):
        key, _, value = word.partition("=")
        if word in _DISK_ACCESS:
            access = word
        elif key == "format" and value in _DISK_FORMATS:
            kind = value
        else:
            raise _wrong(
                word, "unknown disk option", f"needed format=raw|qcow2 or {'|'.join(_DISK_ACCESS)}"
            )
    return path, kind, access


def count(text: str) -> int:
    """Return a whole number above zero."""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise _wrong(text, "no count", "needed a whole number from 1")
    return int(text)


def seconds(text: str) -> float:
    """Return a time above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1e9:  # false for NaN too
        raise _wrong(text, "no time", "needed seconds above 0")
    return value


def port(text: str) -> int:
    """Return a TCP port."""
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 0 < int(text) < 1 << 16):
        raise _wrong(text, "no TCP port", "needed 1 to 65535")
    return int(text)


def _path(text: str) -> tuple[str, str | None]:
    # As in QEMU's options: ",," is a comma of the name, the first single one ends it.
    head, *tail = text.replace(",,", "\0").split(",", 1)
    path = head.replace("\0", ",")
    if not path:
        raise _wrong(text, "no file name", "needed one before the first comma")
    return path, tail[0].replace("\0", ",,") if tail else None


def _wrong(text: str, found: str, needed: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"'{escape(text)}': {found}, {needed}")
