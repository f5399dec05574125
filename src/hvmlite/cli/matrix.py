"""Boot each image by every entry ABI that it offers, and compare what the guests saw.

A Linux guest gets a small /init behind the user's initrds, which reports what the kernel was told.
Another one passes if it powers off, reboots or exits with 0, or once --expect is on its console.
Exit status: 0 all passed and are alike; 4 error; 5 a guest failed or saw something else; 6 all that
did not pass gave no answer in time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.cli import _options, _words

if TYPE_CHECKING:
    import argparse

    from hvmlite.cli._answer import Answer
    from hvmlite.matrix import Cell

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add = parser.add_argument
    add("images", metavar="IMAGE", nargs="+", help="a bzImage, a UKI, an ELF kernel or a disk")
    guest = parser.add_argument_group("the guests")
    add = guest.add_argument
    add(
        "-i",
        "--initrd",
        metavar="FILE",
        action="append",
        default=[],
        help="initial RAM disk; several are joined for Linux, modules for others",
    )
    add(
        "-a",
        "--append",
        metavar="CMDLINE",
        help="command line (default: 'console=ttyS0 panic=-1' for Linux, else empty)",
    )
    _options.add_machine_arguments(guest)
    add(
        "--expect",
        metavar="REGEX",
        help="what shows on the console that a guest works which is no Linux",
    )
    _add_matrix_arguments(parser)
    _options.add_limit_arguments(parser)
    parser.usage = "%(prog)s IMAGE... [OPTION]..."


def _add_matrix_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("the matrix").add_argument
    add("--protocol", metavar="NAME", action="append", help="only this boot protocol; repeatable")
    add("--engine", metavar="NAME", action="append", help="only this engine; repeatable")
    add(
        "-j",
        "--jobs",
        metavar="N",
        type=_words.count,
        help="guests that run at a time (default: one for each processor)",
    )
    add(
        "--timeout",
        metavar="SECONDS",
        type=_words.seconds,
        default=60.0,
        help="time for each guest (default: 60)",
    )
    add("--junit", metavar="FILE", help="also write the result as JUnit XML")
    add("-q", "--quiet", action="store_true", help="show no progress")


def run(args: argparse.Namespace) -> Answer:
    """Run all cells."""
    import contextlib
    from functools import partial
    from pathlib import Path

    from hvmlite.cli._answer import Answer
    from hvmlite.cli._progress import progress
    from hvmlite.cli.render import matrix as view
    from hvmlite.matrix import run_matrix

    now = "booting by every way in"

    def tell(image: str, cell: Cell, left: int) -> None:
        nonlocal now
        now = f"{left} to go, {image} by {cell.protocol} {cell.verdict}"

    with contextlib.ExitStack() as stack:
        junit = None
        if args.junit is not None:  # opened before all the work: whether it can be is known then
            junit = stack.enter_context(Path(args.junit).open("wb"))
        with progress(lambda: now, quiet=args.quiet):
            matrix = run_matrix(
                args.images,
                initrds=args.initrd,
                cmdline=args.append,
                memory=args.memory,
                cpus=args.cpus,
                protocols=args.protocol,
                engines=args.engine,
                jobs=args.jobs,
                timeout=args.timeout,
                expect=args.expect,
                limits=_options.limits(args),
                on_cell=tell,
            )
        if junit is not None:
            from hvmlite.cli.render import _junit

            try:
                junit.write(_junit.document(matrix))
                junit.close()
            except OSError as error:
                error.filename = args.junit  # writing does not know the name
                raise
    return Answer(partial(view.document, matrix), partial(view.lines, matrix), view.status(matrix))
