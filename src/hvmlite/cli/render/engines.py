"""The engines and what they lack."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from hvmlite.cli._output import escape
from hvmlite.cli.render._text import pairs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hvmlite.cli._answer import Document
    from hvmlite.cli._style import Style
    from hvmlite.model import Availability

__all__ = ["document", "lines"]


def document(engines: Sequence[Availability]) -> Document:
    """Return the engines for ``--json``."""
    return {
        "engines": [
            {
                "engine": engine.engine,
                "ok": engine.ok,
                "version": escape(engine.version),
                "reason": escape(engine.reason),
                "hint": engine.hint and escape(engine.hint),
                "facts": pairs(engine.facts),
            }
            for engine in engines
        ]
    }


def lines(engines: Sequence[Availability], style: Style) -> Iterator[str]:
    """Yield one line for each engine, and below it what is known or missing."""
    name_width = max((len(engine.engine) for engine in engines), default=0)
    for engine in engines:
        mark = ("✓" if engine.ok else "✗") if style.unicode else ("+" if engine.ok else "-")
        colour = "green" if engine.ok else "red"
        said = engine.version if engine.ok else engine.reason
        name = style.paint(engine.engine.ljust(name_width), "bold")
        state = "" if engine.ok else "not available: "
        yield f"{style.paint(mark, colour)} {name}  {state}{escape(said)}".rstrip()
        indent = " " * (name_width + 4)
        below = [(escape(fact), escape(value)) for fact, value in engine.facts]
        if engine.hint:
            below.append(("hint", escape(engine.hint)))
        label_width = max((len(label) for label, _ in below), default=0)
        for label, value in below:
            first = f"{indent}{label.ljust(label_width)}  "
            yield from textwrap.wrap(
                value,
                style.width,
                initial_indent=first,
                subsequent_indent=" " * len(first),
                break_long_words=False,
                break_on_hyphens=False,
            ) or [first.rstrip()]
