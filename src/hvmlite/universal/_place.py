# Where the parts of an image lie, in it and in memory.
from __future__ import annotations

from hvmlite.errors import RequestError
from hvmlite.guest.layout import FOUR_GIB, HIGH_MEMORY, PAGE
from hvmlite.spec import universal as u
from hvmlite.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.universal._kernel import Kernel

__all__ = ["Place", "page_up", "place"]

_ELF_AT = u.HEAD_SIZE + u.PROTECTED_ELF


class Place(Value):
    """Offsets are those in the ELF file, addresses those for which its headers ask."""

    cmdline_offset: int
    initrd_offset: int
    kernel_offset: int
    size: int
    """Of the ELF file, a whole number of pages."""
    base: int
    """Where the ELF file lies in memory."""
    end: int
    """The first address behind the image and, if the kernel is in place, behind its memory."""

    @property
    def start(self) -> int:
        """Where _start lies in memory."""
        return self.base + u.ELF_STUB_OFFSET

    @property
    def protected(self) -> int:
        """Where the protected-mode part lies in memory."""
        return self.base - u.PROTECTED_ELF

    @property
    def head(self) -> int:
        """Where the first byte of the bzImage-shaped file lies, if all of it is loaded."""
        return self.base - _ELF_AT


def page_up(value: int, align: int = PAGE) -> int:
    """Round up to a multiple of `align`, a power of two."""
    return -(-value // align) * align


def place(kernel: Kernel, cmdline: bytes, initrd: int) -> Place:
    """Find the place in memory at which the kernel need not be moved.

    Everything else lies below the kernel, so that the memory it needs may reach beyond the file's
    end. A kernel that runs at one address only, with too much to put below that, is moved there by
    the stub: then the image lies behind the memory that the kernel needs.

    :param initrd: its size
    :raises RequestError: it does not fit below 4 GiB, which most loaders do not leave
    """
    cmdline_offset = u.ELF_STUB_OFFSET + u.PAYLOAD_OFFSET
    initrd_offset = page_up(cmdline_offset + len(cmdline))
    kernel_offset = page_up(initrd_offset + initrd)
    size = page_up(kernel_offset + kernel.size)
    lowest = HIGH_MEMORY + _ELF_AT
    if kernel.relocatable:
        address = page_up(max(kernel.address, lowest + kernel_offset), kernel.align)
        base = address - kernel_offset
        end = address + kernel.memory
    elif kernel.address % PAGE == 0 and kernel.address >= lowest + kernel_offset:
        base = kernel.address - kernel_offset
        end = kernel.address + kernel.memory
    else:
        base = page_up(kernel.address + kernel.memory) + _ELF_AT
        end = base + size
    end = page_up(max(end, base + size))
    if end > FOUR_GIB and not initrd:
        raise RequestError(
            f"kernel: {kernel.memory:#x} bytes of memory for a start, which end at {end:#x}, an end"
            f" at or below {FOUR_GIB:#x} needed",
            field="kernel",
        )
    if end > FOUR_GIB:
        raise RequestError(
            f"initrd: {initrd:#x} bytes, with which the image ends at {end:#x} in memory, an end"
            f" at or below {FOUR_GIB:#x} needed",
            field="initrd",
        )
    last = base + initrd_offset + initrd - 1
    if initrd and last > kernel.initrd_max:
        raise RequestError(
            f"initrd: {initrd:#x} bytes, the last one at {last:#x} in memory, at or below"
            f" {kernel.initrd_max:#x} needed by this kernel",
            field="initrd",
        )
    return Place(cmdline_offset, initrd_offset, kernel_offset, size, base, end)
