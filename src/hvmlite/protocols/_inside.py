# What is inside an image: the wrappings that say nothing about how their kernel is entered.
from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hvmlite.model import Image

__all__ = ["unwrap"]

_WRAPPINGS = ("uki", "compressed")


def unwrap(image: Image) -> Image:
    """Return the kernel of a unified kernel image or of a compressed file, else the image itself.

    A bzImage is no wrapping: it has an entry of its own beside that of the kernel in its payload.

    :raises FormatError: what is inside cannot be read
    """
    while image.format in _WRAPPINGS and image.payload is not None:
        image = image.payload.image
    return image
