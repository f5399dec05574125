"""Exit statuses and the last line of a run."""

from __future__ import annotations

import pytest

from cli.values import EVIL
from hvmlite.boot import Timing
from hvmlite.cli.render import run as view
from hvmlite.model import Ending, Outcome

STATUS = {
    Ending.SHUTDOWN: 0, Ending.RESET: 0, Ending.TRIPLE_FAULT: 5, Ending.PANICKED: 5,
    Ending.TIMEOUT: 6, Ending.INTERRUPTED: 0,
}  # fmt: skip


@pytest.mark.parametrize("kind", [kind for kind in Ending if kind is not Ending.EXITED])
def test_statuses(kind):
    assert view.status(Outcome(kind)) == STATUS[kind]


@pytest.mark.parametrize(("value", "status"), [(0, 0), (1, 5), (255, 5), (None, 5)])
def test_the_status_of_a_guest_that_exits(value, status):
    assert view.status(Outcome(Ending.EXITED, value)) == status


@pytest.mark.parametrize("kind", list(Ending))
def test_every_end_has_a_line(kind):
    line = view.line(Outcome(kind, 3, EVIL), Timing(0.1499, 2.0, 2.15))
    assert line.endswith(" after 2.00 s, prepared in 0.15 s")
    assert line.isprintable()
    assert "with status 3" in line
