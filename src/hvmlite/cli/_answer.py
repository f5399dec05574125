"""What a verb returns: a result that can be shown to people or to programs."""

from __future__ import annotations

from hvmlite.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hvmlite.cli._style import Style

__all__ = ["SCHEMA", "Answer", "Document", "dumps"]

SCHEMA = 1
"""Version of all documents in docs/json.md: a member that changes or goes away raises it."""

Document = dict[str, object]


class Answer(Value):
    """A verb's result: `document` for ``--json``, `lines` for people, and the exit status.

    `lines` go to stdout and get the style that it can bear.
    """

    document: Callable[[], Document]
    lines: Callable[[Style], Iterable[str]]
    status: int = 0


def dumps(document: Document) -> str:
    """Return the document as one JSON object, in ASCII and without a control character inside."""
    import json  # only now: most readers are people

    text = json.dumps({"schema": SCHEMA, **document}, indent=2)
    return text.replace("\x7f", "\\u007f") + "\n"
