"""Unpacks the ELF image inside another image."""

from __future__ import annotations

from hvmlite.errors import FormatError
from hvmlite.images._compression import Unpacked, decompress
from hvmlite.spec.elf import ELFMAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.images._limits import Limits
    from hvmlite.model import Image

__all__ = ["SIZE_WORD", "size_word", "unpack"]

SIZE_WORD = 4


def size_word(data: memoryview) -> int | None:
    """Return what the last 4 bytes of a kernel's payload say: its decompressed size.

    The kernel's build appends it, except for gzip, which has it there itself.
    """
    if len(data) <= SIZE_WORD:
        return None
    return int.from_bytes(data[-SIZE_WORD:], "little")


def unpack(
    compression: str,
    data: memoryview,
    source: str,
    limits: Limits,
    *,
    appended: bool = False,
    exact: bool = True,
) -> Image:
    """Decompress `data` and read the ELF file that comes out.

    A size word that does not agree is a warning: the kernel's own decompressor goes by numbers of
    its own, and every format but one has an end mark. Only with lz4, which has none, the word is
    all that shows a missing block: there it is an error.

    :param compression: "none" or a name of :data:`_compression.MAGICS`
    :param appended: a size word follows the stream, which is one alone, as the kernel expects it;
        otherwise further streams are decompressed too, as the command-line tools do
    :param exact: `data` ends where the payload does, not somewhere behind it
    :raises FormatError: it cannot be decompressed, or what comes out is no ELF file
    :raises LimitError: a budget was hit
    """
    if compression == "none":
        from hvmlite.images import _elf

        return _elf.parse(data, source)
    hint = size_word(data) if appended else None
    result = decompress(
        compression,
        data,
        limits=limits,
        source=source,
        hint=hint,
        head=ELFMAG,
        concatenated=not appended and exact,
    )
    warnings = _oddities(compression, len(data), result, hint, source) if exact else ()
    from hvmlite.images import _elf  # now: it was time enough while the payload was unpacked

    return _elf.parse(result.data, source, warnings)


def _oddities(
    compression: str, length: int, result: Unpacked, hint: int | None, source: str
) -> tuple[str, ...]:
    warnings = []
    if hint is not None and hint != len(result.data):
        message = f"{len(result.data)} bytes once decompressed, {hint} are stated at its end"
        if compression == "lz4":
            raise FormatError(message, source=source, hint="A block is missing, or damaged.")
        warnings.append(message)
    left = length - result.used
    if left not in (0, SIZE_WORD):
        warnings.append(f"{left} bytes after the {compression} stream are ignored")
    return tuple(warnings)
