"""What the headers of a PE file state: of a UEFI program, or of a Linux kernel that is one too."""

from __future__ import annotations

from hvmlite.values import Value

__all__ = ["PeHeaders"]


class PeHeaders(Value):
    """The fields that UEFI firmware and boot loaders look at.

    :param machine: `Machine` of the COFF header
    :param bits: 32 for PE32, 64 for PE32+
    :param entry: relative virtual address of the entry point
    :param image_version: major and minor; Linux says by it what its EFI stub can do
    :param compat: (machine, entry) of a Linux kernel's `.compat` section, for firmware of another
        width ("mixed mode")
    """

    machine: int
    bits: int
    subsystem: int
    entry: int
    size_of_image: int
    dll_characteristics: int = 0
    image_version: tuple[int, int] = (0, 0)
    compat: tuple[tuple[int, int], ...] = ()
