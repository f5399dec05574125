"""zstd frames (RFC 8878), decoded into place."""

from __future__ import annotations

from hvmlite.errors import FormatError, LimitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.images._limits import Limits
    from hvmlite.images._output import Output

__all__ = ["zstd"]

_SINGLE_SEGMENT = 0x20
_CHECKSUM = 0x04
_FOUR_BYTE_SIZE = 0x80  # Frame_Content_Size_flag 2
_MAGIC_SIZE = 4
_RLE_BLOCK, _RESERVED_BLOCK = 1, 3
_MAX_BLOCKS = 1 << 16  # at the usual 128 KiB each, 8 GiB; tiny ones cost more than their bytes


def zstd(data: memoryview, output: Output, limits: Limits, hint: int | None = None) -> int:
    """Decompress one zstd frame at the start of `data`; return its length.

    :param hint: the size that somebody else states, if the frame does not; it need not be true
    :raises FormatError: it is no zstd frame, or its checksum does not agree
    :raises LimitError: the window is larger than the limit
    """
    import zstandard

    try:
        header_size = zstandard.frame_header_size(data)
        parameters = zstandard.get_frame_parameters(data)
        unknown = parameters.content_size == zstandard.CONTENTSIZE_UNKNOWN
        length = _frame_length(data, header_size, parameters.has_checksum, output.source)
        if parameters.dict_id:
            raise FormatError(
                f"zstd frame needs dictionary {parameters.dict_id}, none was needed",
                source=output.source,
            )
        _check_window(parameters.window_size, limits, output.source)
        frame = data[:length]
        if unknown and hint and hint <= output.limit - output.position:
            start = output.position
            try:
                _decode(_with_size(frame, header_size, hint), output, limits.dictionary)
            except zstandard.ZstdError:
                output.rewind(start)  # the hint was wrong, or the frame is: find out which
            else:
                return length
        _decode(frame, output, limits.dictionary)
    except zstandard.ZstdError as error:
        raise FormatError(f"corrupt zstd data: {error}", source=output.source) from error
    return length


def _decode(frame: memoryview | bytes, output: Output, window: int) -> None:
    import zstandard

    decoder = zstandard.ZstdDecompressor(max_window_size=max(window, 1 << 10))
    with decoder.stream_reader(frame) as reader:
        while output.fill(reader.readinto):
            pass


def _with_size(frame: memoryview, header_size: int, size: int) -> bytes:
    # The kernel's build pipes through zstd, so that the frame does not say its size and a decoder
    # must keep a window beside the output: a second copy. The size that the build appended, put
    # into the frame header, makes it decode straight into place (a quarter of the time less).
    descriptor = (frame[_MAGIC_SIZE] & _CHECKSUM) | _SINGLE_SEGMENT | _FOUR_BYTE_SIZE
    return b"".join(
        (
            frame[:_MAGIC_SIZE],
            bytes((descriptor,)),
            size.to_bytes(4, "little"),
            frame[header_size:],
        )
    )


def _frame_length(data: memoryview, position: int, has_checksum: bool, source: str) -> int:
    # RFC 8878, 3.1.1.2: each block has a 3-byte header: last (1 bit), type (2), size (21).
    for _ in range(_MAX_BLOCKS):
        header = int.from_bytes(data[position : position + 3], "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        if kind == _RESERVED_BLOCK:
            raise FormatError("zstd block of the reserved type", source=source, offset=position)
        end = position + 3 + (1 if kind == _RLE_BLOCK else size)
        if last:
            end += 4 * has_checksum
        if end > len(data):
            raise FormatError(
                f"zstd block ends at {end:#x}, only {len(data):#x} bytes are there",
                source=source,
                offset=position,
                hint="The file is truncated, or its end was overwritten.",
            )
        position = end
        if last:
            return position
    raise LimitError(
        f"zstd frame of more than {_MAX_BLOCKS} blocks, the limit is {_MAX_BLOCKS}",
        limit="blocks",
        allowed=_MAX_BLOCKS,
        source=source,
    )


def _check_window(window: int, limits: Limits, source: str) -> None:
    if window > limits.dictionary:
        raise LimitError(
            f"zstd window of {window} bytes, the limit is {limits.dictionary}",
            limit="dictionary",
            allowed=limits.dictionary,
            source=source,
            hint="Raise the limit on dictionaries if you trust it (--max-dictionary).",
        )
