"""WHAT RUNS IT: engines take a plan from anywhere and turn it into a running guest.

An engine is a module with what :class:`Engine` says. To add one, add a file and a line below.
"""

from __future__ import annotations

from hvmlite.engines import _terminal as terminal
from hvmlite.engines import qemu, record, unicorn
from hvmlite.engines._console import Console
from hvmlite.engines._session import Engine, Session

__all__ = ["ENGINES", "Console", "Engine", "Session", "terminal"]

ENGINES: tuple[Engine, ...] = (qemu, unicorn, record)
"""In order of preference."""
