"""The options that describe a guest: `run` and `plan` share them."""

from __future__ import annotations

from hvmlite.cli import _words

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from hvmlite.images import Limits
    from hvmlite.model import Image

__all__ = [
    "LINUX_CMDLINE",
    "add_guest_arguments",
    "add_limit_arguments",
    "add_machine_arguments",
    "add_run_arguments",
    "add_uki_arguments",
    "default_cmdline",
    "guest_keywords",
    "is_linux",
    "limits",
]

LINUX_CMDLINE = "console=ttyS0"
"""What a Linux guest gets without -a: on QEMU's serial port it would be mute otherwise."""


def add_guest_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the image and everything that the guest is given."""
    parser.add_argument("image", metavar="IMAGE", help="a bzImage, a UKI, an ELF kernel or a disk")
    guest = parser.add_argument_group("the guest")
    add = guest.add_argument
    add(
        "-i",
        "--initrd",
        metavar="FILE",
        action="append",
        default=[],
        help="initial RAM disk, the first module; repeat it for further modules",
    )
    add(
        "--module",
        metavar="FILE[,CMDLINE]",
        type=_words.module,
        action="append",
        default=[],
        help="a module with its own command line, after the initrds (',,' is a comma in FILE)",
    )
    add(
        "-a",
        "--append",
        metavar="CMDLINE",
        help=f"kernel command line (default: '{LINUX_CMDLINE}' for Linux, a UKI's own, else empty)",
    )
    add_uki_arguments(guest)
    add_machine_arguments(guest)
    _add_disk_argument(guest)
    add(
        "--protocol",
        metavar="NAME",
        help="enter by this boot protocol (default: the first that `hvmlite inspect` lists)",
    )
    add(
        "--firmware",
        choices=("seabios", "ovmf"),
        help="let a PC's firmware start IMAGE as its first disk or CD-ROM",
    )


def add_machine_arguments(guest: argparse._ArgumentGroup) -> None:
    """Add the size of the machine."""
    add = guest.add_argument
    add(
        "-m",
        "--memory",
        metavar="SIZE",
        type=_words.size,
        default=_words.size("512M"),
        help="RAM, with K, M or G as powers of 1024, or in MiB (default: 512M)",
    )
    add("-c", "--cpus", metavar="N", type=_words.count, default=1, help="processors (default: 1)")


def add_uki_arguments(guest: argparse._ArgumentGroup) -> None:
    """Add what of a unified kernel image is taken."""
    add = guest.add_argument
    add(
        "--profile",
        metavar="NAME",
        help="of a UKI: take this profile, by number or ID (default: the first)",
    )
    add(
        "--addon",
        metavar="FILE",
        action="append",
        default=[],
        help="of a UKI: add the command line and the initrds of this addon; repeatable",
    )


def _add_disk_argument(guest: argparse._ArgumentGroup) -> None:
    add = guest.add_argument
    add(
        "--disk",
        metavar="FILE[,...]",
        type=_words.disk,
        action="append",
        default=[],
        help="a disk; more after a comma: format=raw|qcow2 (raw), ro|rw|snapshot|cdrom (ro)",
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how and where the guest is run; `plan` takes these too, so that lines can be reused."""
    engine = parser.add_argument_group("the engine")
    add = engine.add_argument
    add("--engine", metavar="NAME", help="run it on this engine (see `hvmlite engines`)")
    add(
        "--accel",
        choices=("auto", "tcg", "kvm"),
        default="auto",
        help="auto is KVM where the processor really can, else TCG",
    )
    add(
        "--timeout",
        metavar="SECONDS",
        type=_words.seconds,
        help="stop the guest after this time; status 6",
    )
    add(
        "--gdb",
        metavar="PORT",
        type=_words.port,
        help="wait for a debugger on this port of the loopback before the first instruction",
    )
    add("-q", "--quiet", action="store_true", help="say nothing but errors beside the guest")
    parser.set_defaults(extra=())
    parser.usage = "%(prog)s IMAGE [OPTION]... [-- ENGINE_ARGUMENT...]"


def add_limit_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the budgets for reading an image that nobody trusts."""
    limit = parser.add_argument_group("limits for hostile images")
    limit.add_argument(
        "--max-unpacked",
        metavar="SIZE",
        type=_words.size,
        help="most that a payload may unpack to (default: 512M)",
    )
    limit.add_argument(
        "--max-dictionary",
        metavar="SIZE",
        type=_words.size,
        help="largest dictionary of a compressed payload (default: 192M)",
    )


def limits(args: argparse.Namespace) -> Limits | None:
    """Return the reader's budgets, None for the defaults."""
    given = {"output": args.max_unpacked, "dictionary": args.max_dictionary}
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return None
    from hvmlite.images import Limits

    return Limits(**given)


def default_cmdline(image: Image, profile: str | None = None) -> str:
    """Return the command line for a guest that was given none; empty if the image has its own."""
    from hvmlite import boot

    if is_linux(image) and boot.own_cmdline(image, profile) is None:
        return LINUX_CMDLINE
    return ""


def is_linux(image: Image) -> bool:
    """Whether the image is a Linux kernel, or holds one."""
    if image.format in ("bzimage", "uki"):
        return True
    return any(  # the kernel's own notes, or what it tells Xen
        note.name == "Linux" or (note.label == "GUEST_OS" and note.value == "linux")
        for note in image.notes
    )


def guest_keywords(args: argparse.Namespace, image: Image) -> dict[str, Any]:
    """Return what :func:`hvmlite.boot.plan` and :func:`hvmlite.boot.run` have in common."""
    from hvmlite import model

    return {
        "initrds": tuple(args.initrd),
        "modules": tuple(args.module),
        "cmdline": default_cmdline(image, args.profile) if args.append is None else args.append,
        "memory": args.memory,
        "cpus": args.cpus,
        "disks": tuple(
            model.Disk(path, kind, access != "rw", access == "snapshot", access == "cdrom")
            for path, kind, access in args.disk
        ),
        "protocol": args.protocol,
        "firmware": args.firmware,
        "engine": args.engine,
        "profile": args.profile,
        "addons": tuple(args.addon),
        "limits": limits(args),
    }
