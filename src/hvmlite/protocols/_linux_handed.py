# What a Linux kernel is handed by any of its boot protocols: command line, initrd, setup_data.
from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.errors import RequestError
from hvmlite.guest import layout
from hvmlite.guest.initrd import archives
from hvmlite.model import Dropped, Fixup, Kind, Piece, Ref
from hvmlite.spec.linux import SetupData, SetupType, Version

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hvmlite.model import BootInfo, Offer
    from hvmlite.spec.linux import SetupHeader
    from hvmlite.wire import Buffer

__all__ = [
    "COMMAND_LINE",
    "INITRD",
    "command_line",
    "dropped",
    "initrd",
    "initrd_size",
    "next_node",
    "setup_data",
    "window",
]

COMMAND_LINE = "command line"
INITRD = "initrd"

_COPIED = 2048
"""Bytes of command line that the kernel copies, whatever its length is (COMMAND_LINE_SIZE)."""


def window(header: SetupHeader) -> layout.Window:
    """Return where the 32-bit and the 64-bit entry are handed things, the lowest place first.

    A kernel before 2.05 unpacks itself in base memory, all but its end.
    """
    modern = header.version >= Version.V2_05
    return layout.Window(layout.FIRST_FREE if modern else layout.LINUX_OLD.low, layout.FOUR_GIB)


def command_line(offer: Offer, info: BootInfo, where: layout.Window) -> Piece:
    """Return the command line with its NUL, and zeros as far as the kernel copies it."""
    return Piece(
        COMMAND_LINE,
        info.cmdline + b"\0",
        Kind.COMMAND_LINE,
        size=max(_COPIED, (offer.cmdline_limit or 0) + 1),
        align=16,
        low=where.low,
        high=where.high,
    )


def initrd_size(info: BootInfo) -> int:
    """Return the size of all modules as one initrd."""
    return sum(map(len, _archives(info)))


def _archives(info: BootInfo) -> list[Buffer]:
    return archives(module.data for module in info.modules)


def initrd(info: BootInfo, end: int) -> list[Piece]:
    """Return the one ramdisk that Linux has; of several modules, one after the other.

    They are joined only when there is room for them: sizes may be anything.

    :param end: the first address that it may not occupy
    """
    pieces = _archives(info)
    if not pieces:
        return []
    single = len(pieces) == 1
    return [
        Piece(
            INITRD,
            pieces[0] if single else b"",
            Kind.MODULE,
            size=sum(map(len, pieces)),
            align=layout.PAGE,
            low=layout.HIGH_MEMORY,
            high=end,
            top=True,
            late=None if single else lambda _: b"".join(pieces),
        )
    ]


def setup_data(info: BootInfo, where: layout.Window) -> list[Piece]:
    """Return the nodes that were asked for, each with the address of the next.

    They lie in RAM that the memory map calls RAM: the kernel keeps them for itself, and overwrites
    a random seed once it has been used.

    :raises RequestError: a node of a type that says where other memory is
    """
    names = [f"setup_data {number}" for number in range(len(info.setup_data))]
    pieces = []
    for number, node in enumerate(info.setup_data):
        if node.type == SetupType.SETUP_E820_EXT or node.type & SetupType.SETUP_INDIRECT:
            raise RequestError(
                f"setup_data {number}: type {node.type:#x} found, a node with its own data needed: "
                "the memory map and addresses are the loader's to say",
                field="setup_data",
            )
        pieces.append(
            Piece(
                names[number],
                SetupData(type=node.type, len=len(node.data)).pack() + node.data,
                align=8,
                low=where.low,
                high=where.high,
                fixups=next_node(names[number + 1 :]),
            )
        )
    return pieces


def next_node(names: Sequence[str]) -> tuple[Fixup, ...]:
    """Return what makes a node lead to the first of `names`; nothing if it is the last."""
    at = SetupData.FIELDS["next"]
    return tuple(Fixup(at.offset, at.size, Ref(name)) for name in names[:1])


def dropped(info: BootInfo, header: SetupHeader) -> Iterator[Dropped]:
    """Yield what was asked for and cannot be said by any of these protocols."""
    if info.origin is not None:
        yield Dropped("origin", "the zero page has no field for it")
    for number, module in enumerate(info.modules):
        if module.cmdline:
            reason = "Linux has one initrd, and it has no command line of its own"
            yield Dropped(f"modules[{number}].cmdline", reason)
    if info.modules and not initrd_size(info):
        yield Dropped("modules", "an initrd of 0 bytes is none")
    if header.version < Version.V2_07 and info.hardware_subarch | info.hardware_subarch_data:
        yield Dropped("hardware_subarch", "the boot protocol has it from 2.07 on")
    if header.version < Version.V2_09 and info.setup_data:
        yield Dropped("setup_data", "the boot protocol has it from 2.09 on")
