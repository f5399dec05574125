"""Say what an image is, which ways in it offers, and why it does not offer the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.cli import _options

if TYPE_CHECKING:
    import argparse

    from hvmlite.cli._answer import Answer

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("image", metavar="IMAGE", help="a bzImage, a UKI, an ELF kernel or a disk")
    _options.add_limit_arguments(parser)


def run(args: argparse.Namespace) -> Answer:
    """Read the image and ask every protocol about it."""
    from hvmlite import boot
    from hvmlite.cli._answer import Answer
    from hvmlite.cli._progress import progress
    from hvmlite.cli.render import inspect as view

    with progress(f"reading {args.image}"):
        image = boot.open_image(args.image, _options.limits(args))
        report = view.Report.of(image, boot.offers(image))
    return Answer(report.document, report.lines)
