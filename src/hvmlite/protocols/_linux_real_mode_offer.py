# The 16-bit entry of Linux's boot protocol: is it offered, where does the real-mode part go.
from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.guest import layout
from hvmlite.model import Image, Offer, Reason, Refusal
from hvmlite.protocols._linux_load import Load, code, load, unstated
from hvmlite.protocols._linux_offer import bzimage, kernel_of
from hvmlite.spec.linux import (
    HEADER_JUMP,
    HEADER_START,
    JUMP_END,
    LoadFlags,
    SetupHeader,
    Version,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NAME", "base", "header_end", "high", "offers", "old"]

NAME = "linux16"

_ENDS = (
    (Version.V2_10, "init_size"),
    (Version.V2_09, "setup_data"),
    (Version.V2_07, "hardware_subarch_data"),
    (Version.V2_03, "initrd_addr_max"),
    (Version.V2_02, "cmd_line_ptr"),
    (Version.V2_01, "heap_end_ptr"),
    (Version.V2_00, "ramdisk_size"),
)
# The last field that is written or believed, by version.


def offers(image: Image) -> Offer | Refusal:
    """Look for real-mode setup code: every bzImage and zImage has some.

    :param image: what :mod:`hvmlite.images` made of the file; its payload is not unpacked
    """
    kernel = kernel_of(NAME, image)
    if isinstance(kernel, Refusal):
        return kernel
    header = kernel.header
    if not isinstance(header, SetupHeader):
        needed = "a bzImage or zImage needed: an ELF has no real-mode setup code"
        return Refusal(NAME, (Reason("image format", kernel.format, needed),))
    found = load(kernel, header, layout.FOUR_GIB) if high(header) else _low(kernel)
    reasons = list(_header_reasons(kernel, header))
    made = bzimage(NAME, kernel, header, found, reasons, entry=base(header) + HEADER_JUMP)
    if isinstance(made, Offer):
        fact = ("BIOS", "services by interrupt needed, which hvmlite provides")
        needs = made.needs if high(header) else layout.HIGH_MEMORY + unstated(kernel, header)
        return made.replace(needs=needs, facts=(*made.facts, fact))
    return made


def high(header: SetupHeader) -> bool:
    """Whether the protected-mode part is loaded at 1 MiB or above: a bzImage."""
    return bool(header.loadflags & LoadFlags.LOADED_HIGH)


def old(header: SetupHeader) -> bool:
    """Whether setup code wants to be at 0x90000, with the command line in its own segment."""
    return header.version < Version.V2_02


def base(header: SetupHeader) -> int:
    """Return where the real-mode part is loaded."""
    if old(header) or not high(header):
        return layout.LINUX_SETUP_OLD
    return layout.LINUX_SETUP


def _low(kernel: Image) -> Load | Reason:
    # A zImage: loaded below its setup code, it unpacks itself to 1 MiB.
    size, window = len(code(kernel)), layout.LINUX_ZIMAGE
    if window.low + size > window.high:
        needed = f"at most {window.high - window.low:#x} needed: it is loaded low"
        return Reason("protected-mode code", f"{size:#x} bytes", needed)
    return Load(window.low, size, None)


def _header_reasons(kernel: Image, header: SetupHeader) -> Iterator[Reason]:
    # The header is written where it is: what its version promises must be a part of it.
    name = next(name for version, name in _ENDS if header.version >= version)
    last = SetupHeader.FIELDS[name]
    wanted, end = HEADER_START + last.offset + last.size, header_end(kernel)
    if end < wanted:
        needed = f"{wanted:#x} or more needed for {name}"
        yield Reason("end of the setup header", f"{end:#x}", needed)


def header_end(kernel: Image) -> int:
    """Return where the setup header ends in the image; beyond it is code."""
    return JUMP_END + kernel.data[HEADER_JUMP + 1]
