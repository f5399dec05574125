"""A sign of life for work that takes more than a second, on terminals only."""

from __future__ import annotations

import contextlib
import sys
import threading
import time

from hvmlite.cli._output import escape, is_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["progress"]

_PATIENCE = 1.0  # seconds


@contextlib.contextmanager
def progress(what: str | Callable[[], str], *, quiet: bool = False) -> Iterator[None]:
    """Say what is being done, and for how long now, while the block runs.

    :param what: the words, or what gives those of the moment
    """
    if quiet or not is_terminal(sys.stderr):
        yield
        return
    done = threading.Event()
    words = what if callable(what) else lambda: what
    thread = threading.Thread(target=_show, args=(words, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _show(words: Callable[[], str], done: threading.Event) -> None:
    start = time.monotonic()
    wait = _PATIENCE
    with contextlib.suppress(OSError):
        while not done.wait(wait):
            wait = 0.5
            what = escape(words())
            sys.stderr.write(f"\r\x1b[Khvmlite: {what}, {time.monotonic() - start:.0f} s")
            sys.stderr.flush()
        if wait != _PATIENCE:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
