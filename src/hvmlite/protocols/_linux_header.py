# The setup header as a loader fills it in, in the zero page or in the image's own real-mode part.
# In both it begins at 0x1f1, so that all offsets here are those of the zero page.
from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.model import Fixup, Ref
from hvmlite.protocols._linux_handed import COMMAND_LINE, INITRD, initrd_size
from hvmlite.spec.linux import (
    BOOT_FLAG,
    HDRS,
    HEADER_START,
    TYPE_OF_LOADER_UNDEFINED,
    LoadFlags,
    SetupHeader,
    Version,
)
from hvmlite.wire import patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hvmlite.model import BootInfo, Offer, Piece

__all__ = ["filled_in", "fixups", "header_of", "seal"]

_ABSENT = SetupHeader(
    boot_flag=BOOT_FLAG,
    header=HDRS,
    version=Version.V2_12,
    loadflags=LoadFlags.LOADED_HIGH,
    initrd_addr_max=0x7FFFFFFF,
)
# What stands for the header that an ELF has not. 2.12 is the first version with all fields that are
# written here, and what Linux writes for itself when it is entered by PVH. The end of the initrd is
# that of every x86 kernel's header since 2.6.25.


def header_of(offer: Offer) -> SetupHeader:
    """Return the image's own header, or for an ELF what stands for it."""
    header = offer.image.header
    if isinstance(header, SetupHeader):
        return header
    align = offer.relocation.align if offer.relocation else 0
    return _ABSENT.replace(kernel_alignment=min(align, 1 << 31))


def filled_in(header: SetupHeader, info: BootInfo) -> SetupHeader:
    """Return the header with all that a loader must or may write, but for addresses.

    Flags that are the kernel's own to set are cleared. No number is assigned to us, which 0xff
    says: Linux ignores its initrd if `type_of_loader` is 0.
    """
    own = LoadFlags.KEEP_SEGMENTS | LoadFlags.KASLR_FLAG | LoadFlags.CAN_USE_HEAP
    values = {
        "type_of_loader": TYPE_OF_LOADER_UNDEFINED,
        "ext_loader_type": 0,
        "ext_loader_ver": 0,
        "loadflags": header.loadflags & ~own,
        "ramdisk_image": 0,
        "ramdisk_size": initrd_size(info) & 0xFFFFFFFF,
        "setup_data": 0,
    }
    if header.version >= Version.V2_07:
        values["hardware_subarch"] = info.hardware_subarch
        values["hardware_subarch_data"] = info.hardware_subarch_data
    return header.replace(**values)


def fixups(
    kernel: Piece | None, info: BootInfo, nodes: str | None, *, line: bool = True
) -> Iterator[Fixup]:
    """Yield the addresses that are written into the header.

    The kernel's and the initrd's are cut to the 32 bits of their fields. Of the initrd's the zero
    page has the upper half elsewhere; a kernel lies higher only if it is entered in 64-bit mode,
    and then nobody reads the field.

    :param kernel: what is entered in protected mode; None if the header says that already
    :param nodes: the piece that is the first of the setup_data list
    :param line: whether the command line is a piece (2.02)
    """
    if kernel is not None:
        yield _address("code32_start", kernel.name, 0)
    if line:
        yield _address("cmd_line_ptr", COMMAND_LINE)
    if initrd_size(info):
        yield _address("ramdisk_image", INITRD, 0)
    if nodes is not None:
        yield _address("setup_data", nodes)


def _address(field: str, piece: str, shift: int | None = None) -> Fixup:
    at = SetupHeader.FIELDS[field]
    return Fixup(HEADER_START + at.offset, at.size, Ref(piece), shift)


def seal(offer: Offer) -> Callable[[bytearray], None] | None:
    """Return what writes down the alignment of the place that the kernel got, if it is less.

    Otherwise it would move itself to the next multiple of its own (boot.rst, kernel_alignment).
    """
    header = header_of(offer)
    if offer.relocation is None or not offer.relocation.least or header.version < Version.V2_10:
        return None

    def write(data: bytearray) -> None:
        align, start = header.kernel_alignment, SetupHeader.unpack(data, HEADER_START).code32_start
        while start % align:
            align //= 2
        field = SetupHeader.FIELDS["kernel_alignment"]
        patch(data, HEADER_START + field.offset, field.size, align)

    return write
