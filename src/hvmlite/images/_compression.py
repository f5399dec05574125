"""The compressions that a kernel's payload can have: told apart by magic, undone under a budget."""

from __future__ import annotations

from importlib import import_module

from hvmlite.errors import FormatError, LimitError
from hvmlite.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from hvmlite.images._limits import Limits
    from hvmlite.images._output import Output
    from hvmlite.wire import Buffer

__all__ = ["MAGICS", "Unpacked", "decompress", "detect", "peek", "preload"]

MAGICS = {
    "gzip": b"\x1f\x8b\x08",
    "bzip2": b"BZh",
    "lzma": b"\x5d\x00\x00",  # properties of every preset; a dictionary of whole 64 KiB
    "xz": b"\xfd7zXZ\x00",
    "lzo": b"\x89LZO\0\r\n\x1a\n",
    "lz4": b"\x02\x21\x4c\x18",  # the legacy format
    "zstd": b"\x28\xb5\x2f\xfd",
}
"""What a stream begins with (Linux ``lib/decompress.c``), by name."""

_DECODERS = {  # module and function, imported when there is something to unpack
    "gzip": ("_streams", "gzip"),
    "bzip2": ("_streams", "bzip2"),
    "lzma": ("_streams", "lzma"),
    "xz": ("_streams", "xz"),
    "lzo": ("_lzo", "lzo"),
    "lz4": ("_lz4", "lz4_legacy"),
    "zstd": ("_zstd", "zstd"),
}
_LIBRARIES = {
    "gzip": "zlib",
    "bzip2": "bz2",
    "lzma": "lzma",
    "xz": "lzma",
    "lzo": "lzallright",
    "lz4": "lz4.block",
    "zstd": "zstandard",
}
# Seconds per byte of the slow decoders, compared with each other (1 MiB of xz takes some 80 ms).
_SLOWNESS = {"bzip2": 2, "lzma": 1, "xz": 1}
_MAX_STREAMS = 1 << 10
# Input that a peek into gzip may take: a stream of empty blocks alone gives nothing to look at, and
# many candidates of a search can share one. Real ones give their first bytes within some hundred.
_PEEK_INPUT = 256 << 10


class Unpacked(Value):
    """What came out, and how many bytes of the input it took."""

    data: memoryview
    used: int


def detect(data: Buffer) -> str | None:
    """Return the name of the compression that `data` begins with, if any."""
    start = bytes(data[:9])
    return next((name for name, magic in MAGICS.items() if start.startswith(magic)), None)


def preload(name: str) -> None:
    """Import what :func:`decompress` will use; it takes some milliseconds at a time that matters.

    :param name: a name of :data:`MAGICS`, or "none"
    """
    if name in _LIBRARIES:
        import_module(_LIBRARIES[name])
        import_module("hvmlite.images._output")
        _decoder(name)


def decompress(
    name: str,
    data: memoryview,
    *,
    limits: Limits,
    source: str,
    hint: int | None = None,
    head: bytes = b"",
    concatenated: bool = False,
) -> Unpacked:
    """Decompress what `data` begins with; whatever follows it is left alone.

    :param name: a key of :data:`MAGICS`
    :param hint: how many bytes to expect; a wrong number costs time only
    :param head: what the result must begin with
    :param concatenated: go on with further streams of the same kind, as the command-line tools do
        and the kernel does not
    :raises FormatError: the data is corrupt, or the result does not begin with `head`
    :raises LimitError: a budget was hit; it has its name
    """
    from hvmlite.images._output import Output

    output = Output(limits.output, source, hint=hint, head=head)
    used = _decode(name, data, output, limits, hint)
    streams = 1
    while concatenated and bytes(data[used : used + 9]).startswith(MAGICS[name]):
        streams += 1
        if streams > _MAX_STREAMS:
            raise LimitError(
                f"more than {_MAX_STREAMS} {name} streams, the limit is {_MAX_STREAMS}",
                limit="streams",
                allowed=_MAX_STREAMS,
                source=source,
            )
        used += _decode(name, data[used:], output, limits, None)
    return Unpacked(output.finish(), used)


def peek(name: str, data: memoryview, count: int, *, limits: Limits, source: str) -> bytes:
    """Decompress the first `count` bytes only, or those that there are.

    :raises FormatError: not even that can be decompressed
    """
    from hvmlite.images._output import Output

    output = Output(count, source)
    if name == "gzip":
        data = data[:_PEEK_INPUT]
    try:
        _decode(name, data, output, limits, None)
    except LimitError as error:
        if error.limit != "output":
            raise
    except FormatError:
        if not output.position:
            raise
    return output.start(count)


def _decode(name: str, data: memoryview, output: Output, limits: Limits, hint: int | None) -> int:
    allowed = limits.slow_input // _SLOWNESS[name] if name in _SLOWNESS else len(data)
    if len(data) > allowed:
        raise LimitError(
            f"{len(data)} bytes of {name} data, the limit is {allowed}",
            limit="slow_input",
            allowed=allowed,
            source=output.source,
            hint="Raise the limit on slow input if you trust it (Limits.slow_input).",
        )
    decoder = _decoder(name)
    if name == "zstd":  # the only one that is helped by a hint
        return decoder(data, output, limits, hint)
    return decoder(data, output, limits)


def _decoder(name: str) -> Callable[..., int]:
    module, function = _DECODERS[name]
    found: Callable[..., int] = getattr(import_module(f"hvmlite.images.{module}"), function)
    return found
