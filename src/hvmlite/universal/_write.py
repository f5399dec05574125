# Files that are there whole or not at all.
# Importing pathlib takes longer than writing a kernel:
# ruff: noqa: PTH105, PTH108, PTH116, PTH118, PTH119
from __future__ import annotations

import contextlib
import os
import stat

from hvmlite.errors import RequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hvmlite.boot import Path
    from hvmlite.wire import Buffer

__all__ = ["write_files"]

_AT_ONCE = 1 << 20  # bytes: a signal need not wait for a slow disk, and more at once takes longer


def write_files(
    files: Sequence[tuple[Path, Sequence[Buffer]]], *, inputs: Sequence[Path] = ()
) -> None:
    """Write files, each as runs of bytes; if one cannot be written, none of them is there.

    Each gets its name when all are complete: a reader sees the old file or the new one. A file that
    is replaced keeps its permissions, a symbolic link stays one.

    :param inputs: files that must not be replaced
    :raises RequestError: a file cannot be written, is no regular file or one of the inputs, or two
        are the same
    """
    targets = [_target(os.fspath(path), inputs) for path, _ in files]
    for number, target in enumerate(targets):
        if target in targets[:number]:
            raise _refused(target, "named twice, a file for each output needed")
    with contextlib.ExitStack() as stack:
        temporary = [
            stack.enter_context(_written(target, parts))
            for target, (_, parts) in zip(targets, files, strict=True)
        ]
        for target, name in zip(targets, temporary, strict=True):
            with _said(target):
                os.replace(name, target)


def _target(path: str, inputs: Sequence[Path]) -> str:
    if path == "-":
        raise _refused(path, "standard output is for what is said, a file needed", "./-")
    with _said(path):
        target = os.path.realpath(path)
        try:
            status = os.stat(path)  # /dev/stdout may be a pipe, which no real path leads to
        except FileNotFoundError:
            if not os.path.basename(path):  # "", "new/": realpath makes names of these
                raise _refused(path or "''", "no file name, one needed") from None
            return target
        if not stat.S_ISREG(status.st_mode):
            raise _refused(path, "no regular file, one or a new name needed")
    for each in inputs:
        with contextlib.suppress(OSError):
            if os.path.samestat(status, os.stat(each)):
                raise _refused(path, f"the same file as {os.fspath(each)}, another one needed")
    return target


@contextlib.contextmanager
def _written(target: str, parts: Sequence[Buffer]) -> Iterator[str]:
    # The name of a complete file beside the target; if it still has that name later, it goes.
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name[:60]}.{os.urandom(6).hex()}")
    try:
        with _said(target):
            # Created as any file is: the user's umask says who may read it.
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                with contextlib.suppress(FileNotFoundError):
                    os.fchmod(fd, stat.S_IMODE(os.stat(target).st_mode))
                for part in parts:
                    _write(fd, memoryview(part))
            finally:
                os.close(fd)
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _write(fd: int, data: memoryview) -> None:
    while len(data):
        data = data[os.write(fd, data[:_AT_ONCE]) :]


@contextlib.contextmanager
def _said(name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as cause:  # a NUL in the name
        raise RequestError(f"{name!a}: no file name", field="output") from cause
    except OSError as cause:
        reason = (cause.strerror or str(cause)).lower()
        raise _refused(name, f"cannot be written: {reason}") from cause


def _refused(name: str, why: str, instead: str | None = None) -> RequestError:
    hint = instead and f"a file of this name is {instead}"
    return RequestError(f"{name}: {why}", field="output", hint=hint)
