"""The hash of a file, worked out while other things are done."""

from __future__ import annotations

from threading import Thread

__all__ = ["MOST_HASHED", "Digest"]

MOST_HASHED = 256 << 20
"""Bytes of a file that is hashed. No kernel or UKI comes near; a disk would take minutes."""


class Digest:
    """The SHA-256 of `data`, in a thread of its own: hashing does not hold the interpreter."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._found: str | None = None
        self._error: Exception | None = None
        self._thread = Thread(target=self._work, name="sha256", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            if len(self._data) <= MOST_HASHED:
                from hashlib import sha256

                self._found = sha256(self._data).hexdigest()
        except Exception as error:  # for :meth:`result`; a thread would print it and go on
            self._error = error

    def result(self) -> str | None:
        """Wait for it and return it in hex; None for more than :data:`MOST_HASHED` bytes."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._found
