"""gzip, bzip2, xz and lzma: decoders of the standard library that are fed piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hvmlite.errors import FormatError, LimitError

if TYPE_CHECKING:
    from hvmlite.images._limits import Limits
    from hvmlite.images._output import Output
    from hvmlite.wire import Buffer

__all__ = ["bzip2", "gzip", "lzma", "xz"]

_FEED = 256 << 10
_DECODER_SLACK = 1 << 20  # what liblzma counts besides the dictionary


class _Decoder(Protocol):
    # What bz2.BZ2Decompressor and lzma.LZMADecompressor have in common.
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: Buffer, max_length: int = -1) -> bytes: ...


class _Gunzip:
    # zlib's object keeps unread input itself; this gives it the face of the other two.
    def __init__(self) -> None:
        import zlib

        self._inner = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)  # 16: a gzip header and CRC

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: Buffer, max_length: int = -1) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail or data, max_length)


def _pump(decoder: _Decoder, data: memoryview, output: Output) -> int:
    # Small pieces of input: what a decoder did not use of them it copies.
    position = 0
    while not decoder.eof:
        piece = data[:0]
        if decoder.needs_input:
            piece = data[position : position + _FEED]
            position += len(piece)
        out = decoder.decompress(piece, output.wanted)
        if not out and not piece and not decoder.eof:
            raise FormatError(
                f"the stream ends after {len(data)} bytes, its end mark was needed",
                source=output.source,
                hint="The file is truncated, or its end was overwritten.",
            )
        output.write(out)
    return position - len(decoder.unused_data)


def gzip(data: memoryview, output: Output, limits: Limits) -> int:
    """Decompress one gzip member at the start of `data`; return its length.

    :raises FormatError: it is no gzip member, or its CRC or size does not agree
    """
    import zlib

    try:
        return _pump(_Gunzip(), data, output)
    except zlib.error as error:
        raise FormatError(f"corrupt gzip data: {error}", source=output.source) from error


def bzip2(data: memoryview, output: Output, limits: Limits) -> int:
    """Decompress one bzip2 stream at the start of `data`; return its length.

    :raises FormatError: it is no bzip2 stream, or a CRC does not agree
    """
    import bz2

    try:
        return _pump(bz2.BZ2Decompressor(), data, output)
    except (OSError, ValueError) as error:
        raise FormatError("corrupt bzip2 data", source=output.source) from error


def xz(data: memoryview, output: Output, limits: Limits) -> int:
    """Decompress one xz stream at the start of `data`; return its length.

    :raises FormatError: it is no xz stream, or a check does not agree
    :raises LimitError: a dictionary is larger than the limit
    """
    from lzma import FORMAT_XZ

    return _lzma(FORMAT_XZ, "xz", data, output, limits)


def lzma(data: memoryview, output: Output, limits: Limits) -> int:
    """Decompress one .lzma ("alone") stream at the start of `data`; return its length.

    :raises FormatError: it is no such stream
    :raises LimitError: the dictionary is larger than the limit
    """
    from lzma import FORMAT_ALONE

    return _lzma(FORMAT_ALONE, "lzma", data, output, limits)


def _lzma(container: int, name: str, data: memoryview, output: Output, limits: Limits) -> int:
    from lzma import LZMADecompressor, LZMAError

    memory = limits.dictionary + _DECODER_SLACK
    try:
        return _pump(LZMADecompressor(format=container, memlimit=memory), data, output)
    except LZMAError as error:
        if "limit" in str(error):  # LZMA_MEMLIMIT_ERROR has no class of its own
            raise LimitError(
                f"{name} dictionary of more than {limits.dictionary} bytes,"
                f" the limit is {limits.dictionary}",
                limit="dictionary",
                allowed=limits.dictionary,
                source=output.source,
                hint="Raise the limit on dictionaries if you trust it (--max-dictionary).",
            ) from error
        raise FormatError(f"corrupt {name} data: {error}", source=output.source) from error
