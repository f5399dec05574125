"""What the terminal (or pipe, or file) that is written to can show."""

from __future__ import annotations

import contextlib
import os

from hvmlite.cli._output import is_terminal
from hvmlite.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

__all__ = ["Style"]

_CODES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35,
          "cyan": 36}  # fmt: skip
_COERCED = ("C.UTF-8", "C.utf8", "UTF-8")


class Style(Value):
    """Whether colours and line-drawing characters are welcome, and how wide a line may be."""

    colour: bool = False
    unicode: bool = False
    width: int = 80

    @classmethod
    def of(cls, stream: TextIO | None, environ: Mapping[str, str] = os.environ) -> Style:
        """Return the style for a stream: colour on terminals only, and never with NO_COLOR."""
        terminal = is_terminal(stream)
        plain = bool(environ.get("NO_COLOR")) or environ.get("TERM", "dumb") == "dumb"
        encoding = getattr(stream, "encoding", None) or ""
        utf8 = encoding.lower().replace("-", "") == "utf8" and _locale_is_utf8(environ)
        width = 80
        if terminal and stream is not None:
            with contextlib.suppress(OSError):
                width = os.get_terminal_size(stream.fileno()).columns or 80
        return cls(colour=terminal and not plain, unicode=utf8, width=min(max(width, 40), 120))

    def paint(self, text: str, *names: str) -> str:
        """Return the text in these colours, if the stream has any."""
        if not self.colour or not text or not names:
            return text
        return f"\x1b[{';'.join(str(_CODES[name]) for name in names)}m{text}\x1b[0m"


def _locale_is_utf8(environ: Mapping[str, str]) -> bool:
    # In the C locale Python says UTF-8 all the same (PEP 538 and 540) and even sets LC_CTYPE for
    # it: what the user asked for is what counts.
    ctype = environ.get("LC_CTYPE", "")
    names = (environ.get("LC_ALL"), "" if ctype in _COERCED else ctype, environ.get("LANG"))
    name = next((name for name in names if name), "C")  # like de_DE.UTF-8@euro
    return name.lower().replace("-", "").partition("@")[0].endswith("utf8")
