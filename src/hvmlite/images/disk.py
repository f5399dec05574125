"""Disk and CD-ROM images: what a PC's firmware looks at before it starts something on them.

Partition tables and boot catalogs only: no file system is read. Nothing in here refuses a disk, for
firmware takes what it understands; what is broken becomes a warning.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.images._limits import Limits
    from hvmlite.model import Image
    from hvmlite.wire import Buffer

__all__ = ["NAME", "parse", "recognises"]

NAME = "disk"
# Magics and where they are: a boot sector, a GPT with sectors of 512 and 4096 bytes, ISO 9660, and
# the one container that engines open.
_MAGICS = (
    (510, b"\x55\xaa"),
    (512, b"EFI PART"),
    (4096, b"EFI PART"),
    (0x8001, b"CD001"),
    (0, b"QFI\xfb"),
)


def recognises(data: Buffer) -> bool:
    """Return whether there is a boot sector, a GPT, an ISO 9660 file system or a qcow2 header."""
    return any(bytes(data[at : at + len(magic)]) == magic for at, magic in _MAGICS)


def parse(data: Buffer, source: str, limits: Limits) -> Image:
    """Read the partition tables and the boot catalog.

    :param source: the name of the file, for messages
    """
    from hvmlite.images import _disk

    return _disk.parse(memoryview(data).toreadonly(), source)
