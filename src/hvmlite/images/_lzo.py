"""The lzop container around LZO1X blocks.

Source: the container as lzop 1.04 writes it and ``lib/decompress_unlzo.c`` of Linux reads it:
big-endian numbers, a header with a file name, then blocks until one of size 0.
"""

from __future__ import annotations

from enum import IntFlag

from hvmlite.errors import FormatError, LimitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.images._limits import Limits
    from hvmlite.images._output import Output

__all__ = ["lzo"]

_MAGIC = bytes.fromhex("894c5a4f000d0a1a0a")
_BLOCK = 256 << 10  # lzop's block size, and the largest that the kernel takes
_MAX_BLOCKS = 1 << 14  # 4 GiB
_LONG_HEADER = 0x0940  # version from which level and the upper half of mtime are there


class _Flags(IntFlag):
    ADLER32_D = 1 << 0  # D: of the decompressed bytes
    ADLER32_C = 1 << 1  # C: of the compressed bytes
    EXTRA_FIELD = 1 << 6
    CRC32_D = 1 << 8
    CRC32_C = 1 << 9
    MULTIPART = 1 << 10
    FILTER = 1 << 11


_UNREADABLE = _Flags.EXTRA_FIELD | _Flags.MULTIPART | _Flags.FILTER


class _Reader:
    def __init__(self, data: memoryview, source: str, position: int) -> None:
        self.data = data
        self.source = source
        self.position = position

    def take(self, count: int) -> memoryview:
        left = len(self.data) - self.position
        if count > left:
            raise FormatError(
                f"lzop needs {count} bytes, {left} are left",
                source=self.source,
                offset=self.position,
                hint="The file is truncated, or its end was overwritten.",
            )
        self.position += count
        return self.data[self.position - count : self.position]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")


def lzo(data: memoryview, output: Output, limits: Limits) -> int:
    """Decompress one lzop file at the start of `data`; return its length.

    :raises FormatError: it is no lzop file, or a block is corrupt
    """
    reader = _Reader(data, output.source, len(_MAGIC))
    flags = _header(reader)
    for _ in range(_MAX_BLOCKS):
        size = reader.number(4)
        if size == 0:
            return reader.position
        _block(reader, flags, size, output)
    raise LimitError(
        f"more than {_MAX_BLOCKS} lzop blocks, the limit is {_MAX_BLOCKS}",
        limit="blocks",
        allowed=_MAX_BLOCKS,
        source=output.source,
    )


def _header(reader: _Reader) -> _Flags:
    version = reader.number(2)
    reader.take(2)  # version of the library
    long = version >= _LONG_HEADER
    reader.take(2 if long else 0)  # version needed to extract
    method = reader.number(1)
    reader.take(1 if long else 0)  # level
    flags = _Flags(reader.number(4))
    if method not in (1, 2, 3):  # LZO1X-1, LZO1X-1(15), LZO1X-999: one decoder for all
        raise FormatError(f"lzop method {method}, 1 to 3 was needed", source=reader.source)
    if flags & _UNREADABLE:
        what = (flags & _UNREADABLE).name
        raise FormatError(f"lzop flags {what}, none of these was needed", source=reader.source)
    reader.take(12 if long else 8)  # mode, mtime
    reader.take(reader.number(1))  # file name
    reader.take(4)  # checksum of the header
    return flags


def _block(reader: _Reader, flags: _Flags, size: int, output: Output) -> None:
    where = reader.position - 4
    packed = reader.number(4)
    if not 0 < packed <= size <= _BLOCK:
        raise FormatError(
            f"lzop block of {packed} bytes for {size}, at most {_BLOCK} for {_BLOCK} was needed",
            source=reader.source,
            offset=where,
        )
    sums = {f: reader.number(4) for f in (_Flags.ADLER32_D, _Flags.CRC32_D) if flags & f}
    if packed < size:
        reader.take(4 * ((flags & _Flags.ADLER32_C) != 0) + 4 * ((flags & _Flags.CRC32_C) != 0))
    block: memoryview | bytes = reader.take(packed)
    if packed < size:
        block = _decompress(block, size, reader.source, where)
    _check(block, sums, reader.source, where)
    output.write(block)


def _decompress(block: memoryview | bytes, size: int, source: str, where: int) -> bytes:
    from lzallright import LZOCompressor, LZOError

    try:
        result: bytes = LZOCompressor.decompress(block, size)
    except LZOError as error:
        error.args = error.args[:1]  # the second, if any, is the whole output
        raise FormatError(f"corrupt lzo block: {error}", source=source, offset=where) from error
    if len(result) != size:
        raise FormatError(
            f"lzo block holds {len(result)} bytes, {size} were needed", source=source, offset=where
        )
    return result


def _check(block: memoryview | bytes, sums: dict[_Flags, int], source: str, where: int) -> None:
    from zlib import adler32, crc32

    for flag, stated in sums.items():
        found = adler32(block) if flag is _Flags.ADLER32_D else crc32(block)
        if found != stated:
            raise FormatError(
                f"lzop block has checksum {found:#010x}, {stated:#010x} was needed",
                source=source,
                offset=where,
            )
