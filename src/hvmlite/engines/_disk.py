"""A look at a disk image before QEMU opens it: it must not name other files of the host."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from hvmlite.errors import RequestError, UnsupportedError
from hvmlite.wire import Struct, raw

if TYPE_CHECKING:
    from hvmlite.model import Disk

__all__ = ["check"]

_MAGIC = b"QFI\xfb"
_SHORT = b"\0\0\0\2"  # the version whose header ends before incompatible_features
_EXTERNAL_DATA = 4  # in the last byte of incompatible_features


class Qcow2Header(Struct, size=80):
    """The fields of docs/interop/qcow2.txt that lead out of the file; big-endian in the file."""

    magic: bytes = raw(0, 4)
    version: bytes = raw(4, 4)
    backing_file_offset: bytes = raw(8, 8)
    incompatible_features: bytes = raw(72, 8)


def check(disk: Disk) -> None:
    """Refuse a disk that cannot be opened, or that would open further files.

    A guest owns its image, and could so read any file of the host's (CVE-2008-2004 and followers).

    :raises RequestError: it cannot be read, or has an unknown format
    :raises UnsupportedError: it is a qcow2 image with a backing file or an external data file
    """
    if disk.format not in ("raw", "qcow2"):
        raise RequestError(
            f"{disk.path}: format {disk.format} found, raw or qcow2 needed", field="disk"
        )
    try:
        # O_NONBLOCK: a FIFO must not be waited for.
        only = disk.read_only or disk.snapshot or disk.cdrom
        flags = (os.O_RDONLY if only else os.O_RDWR) | os.O_CLOEXEC | os.O_NONBLOCK
        fd = os.open(disk.path, flags)
        try:
            mode = os.fstat(fd).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
                raise RequestError(
                    f"{disk.path}: something else found, a file or a block device needed",
                    field="disk",
                )
            start = os.pread(fd, Qcow2Header.SIZE, 0)
        finally:
            os.close(fd)
    except OSError as cause:
        reason = (cause.strerror or str(cause)).lower()
        raise RequestError(f"{disk.path}: cannot be opened: {reason}", field="disk") from cause
    if disk.format == "qcow2":
        _qcow2(disk.path, start.ljust(Qcow2Header.SIZE, b"\0"))


def _qcow2(path: str, start: bytes) -> None:
    header = Qcow2Header.unpack(start, source=path)
    if header.magic != _MAGIC:
        raise RequestError(f"{path}: no qcow2 header found, one needed", field="disk")
    if any(header.backing_file_offset):
        what, feature = "a backing file", "qcow2 backing file"
    elif header.version != _SHORT and header.incompatible_features[-1] & _EXTERNAL_DATA:
        what, feature = "an external data file", "qcow2 external data file"
    else:
        return
    raise UnsupportedError(
        f"{path}: {what} found, all data in one file needed",
        feature=feature,
        hint=f"flatten it: qemu-img convert -O qcow2 {path} FLAT.qcow2",
    )
