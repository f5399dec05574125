"""The kernel inside a unified kernel image: a bzImage, or an ELF file.

Nothing else, above all no further unified image: a section can hold the whole file again.
"""

from __future__ import annotations

from hvmlite.errors import FormatError
from hvmlite.images import _bzimage, _looks
from hvmlite.spec.elf import ELFMAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.images._limits import Limits
    from hvmlite.model import Image

__all__ = ["parse"]


def parse(data: memoryview, source: str, limits: Limits) -> Image:
    """Read the kernel.

    :raises FormatError: it is none of these, or broken
    """
    if _bzimage.recognises(data):
        return _bzimage.parse(data, source, limits)
    if bytes(data[:4]) == ELFMAG:
        from hvmlite.images import _elf

        return _elf.parse(data, source)
    raise FormatError(
        f"looks like {_looks.like(data)}, a bzImage or an ELF file was needed", source=source
    )
