"""The engines for people and for programs."""

from __future__ import annotations

import json

from cli import values
from cli.json_tables import complaints
from hvmlite.cli._answer import dumps
from hvmlite.cli._style import Style
from hvmlite.cli.render import engines as view


def test_the_document_is_what_the_page_says():
    document = json.loads(dumps(view.document(values.engines())))
    assert complaints(document, "engines") == []
    assert [engine["ok"] for engine in document["engines"]] == [True, False]


def test_people_see_what_is_missing():
    lines = list(view.lines(values.engines(), Style(width=60)))
    assert lines[0] == "+ qemu  7.2.17"
    assert lines[1] == "        path  /usr/bin/qemu"
    assert lines[-2].startswith("- xen   not available: absent evil")
    assert lines[-1] == "        hint  install xen-utils"
    assert all(line.isprintable() for line in lines)
    assert all(len(line) <= 60 for line in lines[:-2])


def test_no_engine_at_all():
    assert list(view.lines((), Style())) == []
