"""An ELF file compressed as a whole: vmlinux.gz, vmlinux.xz, vmlinux.zst and their like."""

from __future__ import annotations

from functools import partial

from hvmlite.errors import FormatError
from hvmlite.images import _looks
from hvmlite.images._compression import detect, peek
from hvmlite.images._payload import unpack
from hvmlite.model import Image, Payload
from hvmlite.spec.elf import ELFMAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.images._limits import Limits
    from hvmlite.wire import Buffer

__all__ = ["NAME", "parse", "recognises"]

NAME = "compressed"
_PEEK = 1024


def recognises(data: Buffer) -> bool:
    """Return whether `data` begins with the magic of a known compression."""
    return detect(data) is not None


def parse(data: Buffer, source: str, limits: Limits) -> Image:
    """Look into the compressed file; all of it is decompressed when its payload is first used.

    :param source: the name of the file, for messages
    :raises FormatError: it holds no ELF file, or not even its start can be decompressed
    """
    view = memoryview(data).toreadonly()
    name = detect(view)
    assert name is not None
    head = peek(name, view, _PEEK, limits=limits, source=source)
    if not head.startswith(ELFMAG):
        raise FormatError(
            f"{name} data that holds {_looks.like(memoryview(head))}, an ELF file was needed",
            source=source,
        )
    inner = f"{source}:payload"
    payload = Payload(name, 0, len(view), "header", partial(unpack, name, view, inner, limits))
    return Image(
        format=NAME,
        source=source,
        data=view,
        payload=payload,
        facts=(("payload", f"{name}, {len(view)} bytes"),),
    )
