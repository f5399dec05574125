"""Boot images: told apart by content, read under a budget. Bytes in, values out.

Who made an image is not asked: nothing is verified, no signature and no checksum of a whole file.
A file that was read without complaint is well formed, and that is all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.errors import FormatError
from hvmlite.images import _looks, bzimage, compressed, disk, elf, pe, raw, uki
from hvmlite.images._compression import preload
from hvmlite.images._limits import Limits

if TYPE_CHECKING:
    from hvmlite.model import Image
    from hvmlite.wire import Buffer

__all__ = ["FORMATS", "Limits", "parse", "preload"]

# bzimage first: a kernel with an EFI stub is a PE file as well, and one with boot code a disk.
# uki before pe: a unified kernel image is a PE file with a kernel in it.
# compressed late: its magics are short. raw after it: a search, so that every magic goes before.
# disk last: two bytes make a boot sector, and kernels and programs have them too.
FORMATS = (bzimage, uki, pe, elf, compressed, raw, disk)
"""The formats, in the order in which they are tried; see :func:`parse`."""


def parse(data: Buffer, source: str, limits: Limits | None = None) -> Image:
    """Read a boot image of any format that is known, by its content.

    :param data: the whole file; segments of the result are slices of it, never copies
    :param source: the name of the file, for messages
    :param limits: budgets for decompression
    :raises FormatError: it is none of them, or one that is broken; says what it looks like
    """
    view = memoryview(data).toreadonly()
    for member in FORMATS:
        if member.recognises(view):
            image: Image = member.parse(view, source, limits or Limits())
            return image
    raise FormatError(
        f"looks like {_looks.like(view)}, a bzImage, a UKI, an ELF file or a disk was needed",
        source=source,
    )
