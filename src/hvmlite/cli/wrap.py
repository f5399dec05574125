"""Make one image of a Linux kernel that BIOS, UEFI and every boot loader can start.

KERNEL is a bzImage, a vmlinux or a UKI, and stays as it is inside. What a loader hands over comes
behind the built-in initrd and command line. A file is there whole or not at all; one of the same
name is replaced. docs/universal.md says which loader takes which of the two files.
"""

from __future__ import annotations

from hvmlite.cli import _options

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from hvmlite.cli._answer import Answer

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("kernel", metavar="KERNEL", help="a bzImage, a vmlinux or a UKI")
    output = parser.add_argument_group("what is written")
    add = output.add_argument
    add(
        "-o",
        "--output",
        metavar="FILE",
        required=True,
        help="the image: bzImage, UEFI program, multiboot1, multiboot2 and BIOS boot sector in one",
    )
    add(
        "--elf",
        metavar="FILE",
        help="also the same as an ELF file, for loaders that insist on one (PVH, multiboot2)",
    )
    add(
        "--efi",
        choices=("x64", "ia32"),
        default="x64",
        help="the UEFI firmware that starts it without a boot loader (default: x64)",
    )
    built = parser.add_argument_group("what is built in")
    add = built.add_argument
    add(
        "-i",
        "--initrd",
        metavar="FILE",
        action="append",
        default=[],
        help="initial RAM disk; several are joined",
    )
    add("-a", "--append", metavar="CMDLINE", default="", help="kernel command line (default: none)")
    _options.add_uki_arguments(built)
    add = parser.add_argument_group("messages").add_argument
    add("-q", "--quiet", action="store_true", help="say nothing but errors")
    _options.add_limit_arguments(parser)
    parser.usage = "%(prog)s KERNEL -o FILE [OPTION]..."


def run(args: argparse.Namespace) -> Answer:
    """Write the files."""
    import gc

    collected = gc.isenabled()
    gc.disable()  # nothing is garbage here before all is over, and looking for it takes 10 ms
    try:
        return _run(args)
    finally:
        if collected:
            gc.enable()


def _run(args: argparse.Namespace) -> Answer:
    from functools import partial

    from hvmlite import universal
    from hvmlite.cli._answer import Answer
    from hvmlite.cli._progress import progress
    from hvmlite.cli.render import wrap as view

    with progress(f"wrapping {args.kernel}", quiet=args.quiet):
        made = universal.wrap(
            args.kernel,
            initrds=args.initrd,
            cmdline=args.append,
            limits=_options.limits(args),
            profile=args.profile,
            addons=args.addon,
            efi=args.efi,
        )
        files = [(args.output, made.image)]
        if args.elf is not None:
            files.append((args.elf, made.elf))
        universal.write_files(files, inputs=[args.kernel, *args.initrd, *args.addon])
    told = (made, args.kernel, args.output, args.elf)
    show = (lambda _: ()) if args.quiet else partial(view.lines, *told)
    return Answer(partial(view.document, *told), show)
