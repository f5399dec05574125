"""Say what an image is, which ways in it offers, and why it does not offer the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.cli import _options

if TYPE_CHECKING:
    import argparse

    from hvmlite.cli._answer import Answer
    from hvmlite.model import Image, Verdict

__all__ = ["add_arguments", "run"]

_WOULD_FAIL = 5  # what `run` returns where the guest fails: a build can stop at it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("image", metavar="IMAGE", help="a bzImage, a UKI, an ELF kernel or a disk")
    parser.add_argument(
        "--for",
        dest="peers",
        metavar="PEER[,PEER]",
        action="append",
        default=[],
        help="whether another loader would start it: qemu, xen, firecracker, cloud-hypervisor,"
        " grub, or all; status 5 if one of them would not",
    )
    _options.add_limit_arguments(parser)


def run(args: argparse.Namespace) -> Answer:
    """Read the image and ask every protocol about it."""
    from hvmlite import boot
    from hvmlite.cli._digest import Digest
    from hvmlite.cli._progress import progress

    with progress(f"reading {args.image}"):
        image = boot.open_image(args.image, _options.limits(args))
        # Both take as long as all the rest, and neither needs the interpreter meanwhile.
        boot.unpack_ahead(image)
        digest = Digest(image.data)
        from hvmlite.cli._answer import Answer
        from hvmlite.cli.render import inspect as view

        found, judged = boot.offers(image), _verdicts(image, args.peers)
        report = view.Report.of(image, found, digest.result(), judged)
    refused = not all(verdict.starts for verdict in report.verdicts)
    return Answer(report.document, report.lines, _WOULD_FAIL if refused else 0)


def _verdicts(image: Image, options: list[str]) -> tuple[Verdict, ...]:
    if not options:
        return ()
    from hvmlite import peers

    names = [name.strip() for option in options for name in option.split(",")]
    return peers.verdicts(image, None if "all" in names else names)
