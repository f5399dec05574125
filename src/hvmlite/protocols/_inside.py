# What is inside an image: the wrappings that say nothing about how their kernel is entered, and for
# which processor its kernel is.
from __future__ import annotations

from hvmlite.model import Reason
from hvmlite.spec.elf import EM_386, EM_X86_64, MACHINE_NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.model import Image

__all__ = ["machine_reasons", "unwrap"]

_WRAPPINGS = ("uki", "compressed")


def unwrap(image: Image) -> Image:
    """Return the kernel of a unified kernel image or of a compressed file, else the image itself.

    A bzImage is no wrapping: it has an entry of its own beside that of the kernel in its payload.

    :raises FormatError: what is inside cannot be read
    """
    while image.format in _WRAPPINGS and image.payload is not None:
        image = image.payload.image
    return image


def machine_reasons(
    kernel: Image,
    machines: tuple[int, ...] = (EM_386, EM_X86_64),
    needed: str = "i386 or x86-64 needed",
) -> list[Reason]:
    """Return why an ELF that is for none of `machines` is refused; nothing if it is for one."""
    if kernel.machine in machines:
        return []
    found = "none stated"
    if kernel.machine is not None:
        found = f"{kernel.machine} ({MACHINE_NAMES.get(kernel.machine, 'unknown')})"
    return [Reason("ELF machine", found, needed)]
