"""Boot images: told apart by content, read under a budget. Bytes in, values out.

Who made an image is not asked: nothing is verified, no signature and no checksum of a whole file.
A file that was read without complaint is well formed, and that is all.
"""

from __future__ import annotations

from hvmlite.errors import FormatError
from hvmlite.images._compression import preload
from hvmlite.images._limits import Limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from hvmlite.model import Image
    from hvmlite.wire import Buffer

    FORMATS: tuple[ModuleType, ...]

__all__ = ["FORMATS", "Limits", "parse", "preload", "preload_reader"]


def _in_order() -> Iterator[ModuleType]:
    # In the order in which they are tried, each imported when its turn comes.
    from hvmlite.images import bzimage

    yield bzimage  # first: one with an EFI stub is a PE file as well, one with boot code a disk

    from hvmlite.images import compressed, disk, elf, pe, raw, uki

    yield uki  # before pe: a unified kernel image is a PE file with a kernel in it
    yield pe
    yield elf
    yield compressed  # late: its magics are short
    yield raw  # a search, so that every magic goes before
    yield disk  # last: two bytes make a boot sector, and kernels and programs have them too


def __getattr__(name: str) -> object:
    if name == "FORMATS":
        global FORMATS
        FORMATS = tuple(_in_order())
        return FORMATS
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def preload_reader() -> None:
    """Import what reads the ELF file in a payload; there is time while that is unpacked."""
    from hvmlite.images import _elf  # noqa: F401


def parse(data: Buffer, source: str, limits: Limits | None = None) -> Image:
    """Read a boot image of any format that is known, by its content.

    :param data: the whole file; segments of the result are slices of it, never copies
    :param source: the name of the file, for messages
    :param limits: budgets for decompression
    :raises FormatError: it is none of them, or one that is broken; says what it looks like
    """
    view = memoryview(data).toreadonly()
    for member in _in_order():
        if member.recognises(view):
            image: Image = member.parse(view, source, limits or Limits())
            return image
    from hvmlite.images import _looks

    raise FormatError(
        f"looks like {_looks.like(view)}, a bzImage, a UKI, an ELF file or a disk was needed",
        source=source,
    )
