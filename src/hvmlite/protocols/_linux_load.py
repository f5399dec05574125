# Where the protected-mode part of a bzImage goes, and how much memory it wants there.
from __future__ import annotations

from hvmlite.guest import layout
from hvmlite.model import Reason, Relocation
from hvmlite.spec.linux import SECTOR, SETUP_SECTS_DEFAULT, SetupHeader, Version
from hvmlite.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.model import Image

__all__ = ["Load", "code", "load", "setup_size", "unstated"]

_RUNS_BELOW = 4 << 20
"""Kernels before 2.10 do not say where they run: between 1 and 4 MiB (CONFIG_PHYSICAL_START)."""
_RATIO = 3
"""A kernel before 2.08 does not say how large its payload becomes: GRUB, too, takes three times."""
_SIZE_WORD = 4


class Load(Value):
    """The address, the bytes to keep free there, where else it may go.

    The bytes are those that the kernel needs before it can read its memory map: it unpacks itself
    in them.
    """

    at: int
    size: int
    relocation: Relocation | None

    @property
    def end(self) -> int:
        """The first address after it."""
        return self.at + self.size


def setup_size(header: SetupHeader) -> int:
    """Return how many bytes boot sector and setup have; the protected-mode part follows."""
    return ((header.setup_sects or SETUP_SECTS_DEFAULT) + 1) * SECTOR


def code(image: Image) -> memoryview:
    """Return the protected-mode part. Signatures behind it are loaded with it, as by QEMU."""
    assert isinstance(image.header, SetupHeader)
    return image.data[setup_size(image.header) :]


def load(image: Image, header: SetupHeader, limit: int) -> Load | Reason:
    """Work out where the kernel is loaded (boot.rst, "Loading The Rest of The Kernel").

    A kernel that is relocatable runs where it is loaded if that is a multiple of its alignment and
    not below `pref_address`: there it is put. One that is not is loaded at 1 MiB, moves itself to
    `pref_address`, and needs the memory there.

    :param limit: the first address that it may not occupy
    """
    modern = header.version >= Version.V2_10
    relocatable = header.version >= Version.V2_05 and header.relocatable_kernel != 0
    align = header.kernel_alignment
    if relocatable and not _power_of_two(align):
        return Reason("kernel_alignment", f"{align:#x}", "a power of two needed: it is relocatable")
    runs = at = layout.HIGH_MEMORY
    if modern and header.pref_address:
        runs = header.pref_address
    if runs < layout.HIGH_MEMORY:
        return Reason("pref_address", f"{runs:#x}", "1 MiB or more needed")
    if relocatable:
        runs = at = -(-runs // align) * align
    wanted = runs + ((header.init_size if modern else 0) or unstated(image, header))
    size = max(len(code(image)), wanted - at)
    if at + size > limit:
        return Reason(
            "pref_address and init_size" if modern else "size of the kernel",
            f"memory up to {at + size:#x}",
            f"an end at or below {limit:#x} needed",
        )
    if not relocatable:
        return Load(at, size, None)
    least = align
    if modern and 0 < header.min_alignment < 32:
        least = min(1 << header.min_alignment, align)
    return Load(at, size, Relocation(align, at, limit - 1, least=least))


def _power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def unstated(image: Image, header: SetupHeader) -> int:
    """Return what a kernel without init_size may need.

    That is the unpacked kernel and as much again for its bss and the packed copy, behind the
    highest place where such kernels were made to run.
    """
    unpacked = _RATIO * len(code(image))
    payload = image.payload
    if payload is not None and payload.found == "header" and header.payload_length > _SIZE_WORD:
        end = payload.offset + payload.length
        stated = int.from_bytes(image.data[end - _SIZE_WORD : end], "little")
        unpacked = max(unpacked, stated)
    return _RUNS_BELOW + 2 * unpacked
