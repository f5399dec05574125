"""docs/json.md itself: its tables are read, and a document that differs is seen."""

from __future__ import annotations

import json
import re

import pytest

from cli.json_tables import PAGE, complaints, tables
from hvmlite import cli
from hvmlite.cli._answer import SCHEMA


def test_every_verb_has_a_table():
    verbs = [name for name, _, _ in cli.VERBS]
    assert list(tables()) == ["Errors", *verbs]
    assert f"now **{SCHEMA}**" in PAGE.read_text()


GOOD = {"schema": 1, "error": {"kind": "Bug", "message": "x", "hint": None}}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"schema": "1"}, "schema is '1', integer is documented"),
        ({"schema": True}, "schema is True, integer is documented"),
        ({"more": 1}, "more is not documented"),
        ({"error": None}, "error is null, object is documented"),
        ({"error": {"kind": "x", "message": "y"}}, "error.hint is missing"),
        ({"error": {**GOOD["error"], "x": 1}}, "error.x is not documented"),
    ],
)
def test_a_difference_is_seen(change, complaint):
    assert complaints(GOOD, "Errors") == []
    assert complaints(GOOD | change, "Errors") == [complaint]


def test_lists_are_looked_into():
    document = {"schema": 1, "engines": [{"facts": [{"name": 1, "value": "x"}]}]}
    found = complaints(document, "engines")
    assert "engines[].ok is missing" in found
    assert "engines[].facts[].name is 1, string is documented" in found


def once(members: list[tuple[str, object]]) -> dict[str, object]:
    """An object whose members have different names: json.loads() keeps the last of several."""
    names = [name for name, _ in members]
    assert len(names) == len(set(names)), names
    return dict(members)


def test_the_pages_examples_are_valid():
    text = PAGE.read_text().partition("## Examples")[2]
    examples = re.findall(r"### (\w+).*?```json\n(.*?)```", text, re.DOTALL)
    assert {name for name, _ in examples} == set(tables())
    for name, example in examples:
        assert complaints(json.loads(example, object_pairs_hook=once), name) == [], name
