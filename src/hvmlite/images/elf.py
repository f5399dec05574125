"""ELF files: an unpacked vmlinux, a unikernel, a test guest."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.images._limits import Limits
    from hvmlite.model import Image
    from hvmlite.wire import Buffer

__all__ = ["NAME", "parse", "recognises"]

NAME = "elf"
_MAGIC = b"\x7fELF"


def recognises(data: Buffer) -> bool:
    """Return whether `data` begins as an ELF file does."""
    return bytes(data[:4]) == _MAGIC


def parse(data: Buffer, source: str, limits: Limits) -> Image:
    """Read an ELF32 or ELF64 file of any little-endian machine.

    :param source: the name of the file, for messages
    :raises FormatError: a header, a segment or a note does not agree with the file
    """
    from hvmlite.images import _elf  # not before: a compressed kernel is unpacked meanwhile

    return _elf.parse(data, source)
