"""Reads the tables of docs/json.md, which are the schema, and holds documents against them."""

from __future__ import annotations

import itertools
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "json.md"

_TYPES = {
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "any": lambda v: True,
}
_STAR = ("cs", "ds", "es", "fs", "gs", "ss", "tr", "ldtr")
_INNER = ("segments", "notes", "parts", "facts", "warnings")


def tables(page: Path = PAGE) -> dict[str, dict[str, str]]:
    """Section -> member path -> type, as the page says it."""
    found: dict[str, dict[str, str]] = {}
    title = ""
    for line in page.read_text().splitlines():
        if line.startswith("## "):
            title = line[3:].strip()
        elif line.startswith("| ") and not line.startswith("| member |"):
            members, kind, _ = (cell.strip() for cell in line.strip("|").split("|", 2))
            for member, star in itertools.product(members.split(", "), _STAR):
                found.setdefault(title, {})[member.replace("*", star)] = kind
    inner = found["inspect"]
    for name, kind in list(inner.items()):  # "with the members ... from above"
        if name.split("[")[0] in _INNER:
            inner.setdefault(f"payload.image.{name}", kind)
    return found


def complaints(document: object, section: str) -> list[str]:
    """Every way in which a document and its table differ, in both directions."""
    table = tables()[section]
    return list(_walk(document, "", table))


def _walk(value, path, table):
    if isinstance(value, dict):
        prefix = f"{path}." if path else ""
        names = {p.removeprefix(prefix) for p in table if p.startswith(prefix)}
        wanted = {name for name in names if name and "." not in name and "[" not in name}
        yield from (f"{prefix}{name} is missing" for name in sorted(wanted - value.keys()))
        for name, member in value.items():
            yield from _member(member, f"{prefix}{name}", table)
    elif isinstance(value, list):
        for element in value:
            if f"{path}[]" in table or not isinstance(element, dict):
                yield from _member(element, f"{path}[]", table)
            else:
                yield from _walk(element, f"{path}[]", table)


def _member(value, path, table):
    kind = table.get(path)
    if kind is None:
        yield f"{path} is not documented"
    elif value is None:
        if kind != "any" and not kind.endswith("?"):
            yield f"{path} is null, {kind} is documented"
    elif not _TYPES[kind.rstrip("?")](value):
        yield f"{path} is {value!r}, {kind} is documented"
    elif kind != "any":
        yield from _walk(value, path, table)
