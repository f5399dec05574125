"""Show everything that `run` would do: the memory map, the processor's state, the boot information.

It takes every option of `run`, so that a line can be tried by changing one word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.cli import _options

if TYPE_CHECKING:
    import argparse

    from hvmlite.cli._answer import Answer

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    _options.add_guest_arguments(parser)
    _options.add_run_arguments(parser)
    _options.add_limit_arguments(parser)
    parser.add_argument("--output", metavar="DIR",
                        help="also write memory image, CPU state and map into DIR")  # fmt: skip


def run(args: argparse.Namespace) -> Answer:
    """Make the plan, and record it if that is wanted."""
    from functools import partial

    from hvmlite import boot
    from hvmlite.cli._answer import Answer
    from hvmlite.cli._progress import progress
    from hvmlite.cli.render import plan as view

    with progress(f"preparing {args.image}", quiet=args.quiet):
        image = boot.open_image(args.image, _options.limits(args))
        plan = boot.plan(image, **_options.guest_keywords(args, image))
        if args.output is not None:
            from hvmlite.engines import record

            record.write(plan, args.output)
    return Answer(partial(view.document, plan, args.image), partial(view.lines, plan, args.image))
