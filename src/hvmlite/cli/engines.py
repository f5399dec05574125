"""Say which engines can run a guest here, and what is missing for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from hvmlite.cli._answer import Answer

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options: it has none of its own."""


def run(args: argparse.Namespace) -> Answer:
    """Probe all engines."""
    from functools import partial

    from hvmlite import boot
    from hvmlite.cli._answer import Answer
    from hvmlite.cli.render import engines as view

    found = boot.available_engines()
    return Answer(partial(view.document, found), partial(view.lines, found))
