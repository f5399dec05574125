"""LZ4 legacy frames: what the kernel's build makes (``lz4 -l``).

Source: LZ4 Frame Format Description, "Legacy frame": a magic, then blocks with a 32-bit size each,
no end mark and no checksum.
"""

from __future__ import annotations

from hvmlite.errors import FormatError, LimitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.images._limits import Limits
    from hvmlite.images._output import Output

__all__ = ["lz4_legacy"]

_MAGIC = bytes.fromhex("02214c18")
_BLOCK = 8 << 20  # decompressed size of each block but the last
_BLOCK_BOUND = _BLOCK + _BLOCK // 255 + 16  # LZ4_COMPRESSBOUND
_MAX_BLOCKS = 1 << 14  # 128 GiB


def lz4_legacy(data: memoryview, output: Output, limits: Limits) -> int:
    """Decompress the legacy frames at the start of `data`; return their length.

    They end with `data`, or with a word that is the number of bytes that came out (which the
    kernel's build appends). As in the kernel, another magic between two blocks is skipped.

    :raises FormatError: there is something else, or a block is corrupt
    """
    position = len(_MAGIC)
    for _ in range(_MAX_BLOCKS):
        left = len(data) - position
        word = bytes(data[position : position + 4])
        size = int.from_bytes(word, "little")
        if left in (0, 4):  # 4: a size word, right or wrong, is the caller's affair
            return position
        if word == _MAGIC:
            position += 4
            continue
        if not 0 < size <= min(_BLOCK_BOUND, left - 4):
            if size == output.position and left > 4:
                return position
            raise FormatError(
                f"lz4 block of {size} bytes, {max(0, left - 4)} are left",
                source=output.source,
                offset=position,
                hint="The file is truncated, or its end was overwritten.",
            )
        _block(data[position + 4 : position + 4 + size], position, output)
        position += 4 + size
    raise LimitError(
        f"more than {_MAX_BLOCKS} lz4 blocks, the limit is {_MAX_BLOCKS}",
        limit="blocks",
        allowed=_MAX_BLOCKS,
        source=output.source,
    )


def _block(block: memoryview, position: int, output: Output) -> None:
    import lz4.block

    try:
        output.write(lz4.block.decompress(block, uncompressed_size=_BLOCK))
    except lz4.block.LZ4BlockError as error:
        raise FormatError("corrupt lz4 block", source=output.source, offset=position) from error
