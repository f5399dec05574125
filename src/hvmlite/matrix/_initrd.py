# The initrd of a Linux guest: what the user gave, and behind it our reporter as /init.
from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from hvmlite import boot
from hvmlite.blobs import read
from hvmlite.guest.initrd import archives
from hvmlite.matrix import _cpio
from hvmlite.matrix.result import GuestKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hvmlite.boot import Path

__all__ = ["PAYLOAD", "make", "reporter"]

_BLOBS = {GuestKind.LINUX_AMD64: "report-amd64", GuestKind.LINUX_I386: "report-i386"}

# Files whose sums the guest reports: empty, odd, longer than a page, longer than 64 KiB.
_PAYLOAD = {
    f"/payload/{size}": hashlib.shake_128(b"hvmlite matrix").digest(size)
    for size in (0, 1, 4097, 65537)
}
PAYLOAD = {path: hashlib.sha256(data).hexdigest() for path, data in _PAYLOAD.items()}


def reporter(guest: GuestKind) -> bytes:
    # The program that a guest of this kind runs as its /init. UnsupportedError: it was not built.
    return read(_BLOBS[guest])


def make(initrds: Sequence[Path], init: bytes) -> int:
    # Returns the descriptor of an anonymous file. Of files that have one name the last one stays.
    fd = os.memfd_create("hvmlite initrd", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as whole:
            given = [boot.map_file(path, "initrd") for path in initrds]
            whole.writelines(archives([*given, _archive(init)]))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _archive(init: bytes) -> bytes:
    return _cpio.archive(
        _cpio.directory("dev"),
        _cpio.device("dev/console", 5, 1),  # the kernel opens it for init
        _cpio.device("dev/ttyS0", 4, 64),
        _cpio.directory("proc"),
        _cpio.directory("sys"),
        _cpio.directory("payload"),
        *(_cpio.file(path.lstrip("/"), data) for path, data in _PAYLOAD.items()),
        _cpio.file("init", init, 0o755),
    )
