# Files of the user's: mapped, and refused in one line where that cannot be.
from __future__ import annotations

import os

from hvmlite import model
from hvmlite.errors import RequestError

__all__ = ["Path", "map_file", "module"]

Path = str | os.PathLike[str]


def module(path: Path, cmdline: str, number: int) -> model.Module:
    """Return a file as the module of this number; the first one is called an initrd."""
    name = "initrd" if number == 0 else f"module {number}"
    return model.Module(map_file(path, name), os.fsencode(cmdline), name)


def map_file(path: Path, field: str) -> memoryview:
    """Return a file's content, mapped and not read: what is copied to the guest is copied once.

    :param field: what the file is, for the error
    :raises RequestError: it cannot be read, or is no regular file
    """
    import mmap
    import stat

    try:
        # O_NONBLOCK: a FIFO must be refused, not waited for.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise RequestError(
                    f"{os.fspath(path)}: {_file_type(status.st_mode)}, a regular file needed",
                    field=field,
                )
            if status.st_size == 0:
                return memoryview(b"")
            return memoryview(mmap.mmap(fd, 0, access=mmap.ACCESS_READ))
        finally:
            os.close(fd)
    except ValueError as cause:  # a NUL in the name
        raise RequestError(f"{os.fspath(path)!a}: no file name", field=field) from cause
    except OSError as cause:
        reason = (cause.strerror or str(cause)).lower()
        raise RequestError(f"{os.fspath(path)}: cannot be read: {reason}", field=field) from cause


def _file_type(mode: int) -> str:
    import stat

    names = ((stat.S_ISDIR, "directory"), (stat.S_ISFIFO, "FIFO"), (stat.S_ISBLK, "block device"))
    return next((name for test, name in names if test(mode)), "special file")
