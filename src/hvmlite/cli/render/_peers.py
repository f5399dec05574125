# What other loaders would do with an image: first in a report, since somebody asked for it.
from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.cli._output import escape
from hvmlite.cli.render._text import pairs, reasons, table
from hvmlite.peers import requirements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hvmlite.cli._answer import Document
    from hvmlite.cli._style import Style
    from hvmlite.model import Verdict

__all__ = ["document", "lines"]


def document(verdict: Verdict) -> Document:
    """Return the verdict for ``--json``, with all that the peer asks of images."""
    return {
        "peer": verdict.peer,
        "version": verdict.version,
        "starts": verdict.starts,
        "ways": list(verdict.ways),
        "reasons": reasons(verdict.reasons),
        "warnings": [escape(warning) for warning in verdict.warnings],
        "facts": pairs(verdict.facts),
        "requirements": [
            {
                "way": rule.way,
                "what": rule.what,
                "needed": rule.needed,
                "says": rule.says,
                "source": rule.source,
            }
            for rule in requirements(verdict.peer)
        ],
    }


def lines(verdicts: tuple[Verdict, ...], style: Style) -> Iterator[str]:
    """Yield the verdicts for people."""
    width = max(len(verdict.peer) for verdict in verdicts)
    pad = " " * (width + 2)
    for verdict in verdicts:
        colour = "green" if verdict.starts else "red"
        what = f"starts it by {', '.join(verdict.ways)}" if verdict.starts else "does not start it"
        name = style.paint(verdict.peer.ljust(width), "bold", colour)
        yield f"{name}  {what} ({verdict.version})"
        for warning in verdict.warnings:
            yield f"{pad}  {style.paint('but', 'yellow')} {escape(warning)}"
        for reason in verdict.reasons:
            yield f"{pad}  {escape(str(reason))}"
            if reason.hint:
                yield f"{pad}    {style.paint(escape(reason.hint), 'dim')}"
        shown = [(escape(name), escape(value)) for name, value in verdict.facts]
        yield from (style.paint(line, "dim") for line in table(shown, indent=width + 6))
