"""Text to the standard streams: what cannot be shown is escaped, a reader may go away."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, TextIO

__all__ = ["abandon", "complain", "escape", "is_terminal", "leave", "prepare", "write"]


def escape(text: str | bytes) -> str:
    r"""Return text that is safe on a terminal and stays on one line.

    Control characters (C0, DEL, C1), line separators, bidirectional overrides and everything else
    that Unicode calls not printable become ``\xNN`` or ``\uNNNN``, and so do bytes that are not
    UTF-8. Names in files and strings of guests reach the user only through here (XSA-198 was
    such a string).
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape_one(ord(c)) for c in text)


def _escape_one(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # os.fsdecode's stand-in for a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def prepare() -> None:
    """Let no character that a stream's encoding lacks end the program, and leave no stream closed.

    The next file to be opened would have the number of a closed one: guest RAM might be descriptor
    1, where the guest's console goes.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def write(text: str) -> int:
    """Write to stdout and return 0; that its reader has gone is not our failure.

    :raises OSError: it cannot be written, for example because the disk is full
    """
    if not text or sys.stdout is None:  # None: started with a closed descriptor, nobody listens
        return 0
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        abandon(sys.stdout)
    except OSError as error:
        abandon(sys.stdout)
        raise OSError(error.errno, error.strerror, "stdout") from error
    return 0


def complain(text: str) -> None:
    """Write whole lines to stderr; there is nobody to tell if that fails."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:
        abandon(sys.stderr)


def leave(status: int) -> NoReturn:
    """End the process at once; everything was flushed when it was written."""
    os._exit(status)


def abandon(stream: TextIO) -> None:
    """Point a broken stream to nowhere, or Python complains once more while it ends."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except OSError:
        pass


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person is at the other end."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False
