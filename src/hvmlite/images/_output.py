"""The one buffer that a payload is decompressed into: it grows in place and is never copied."""

from __future__ import annotations

import contextlib
import mmap

from hvmlite.errors import FormatError, LimitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from hvmlite.wire import Buffer

__all__ = ["Output"]

_FIRST = 1 << 20
_CHUNK = 4 << 20
_HUGE_PAGE = 2 << 20


class Output:
    """A growing anonymous mapping of at most `limit` bytes.

    A mapping has what a bytearray has not: no page of it is touched before it is written, it grows
    and shrinks by mremap, and it can have huge pages (a tenth of the time of unpacking a kernel).

    :param limit: the cap in bytes; going beyond raises LimitError for the budget "output"
    :param source: what is decompressed, for messages
    :param hint: how many bytes to expect, if that is known; never trusted
    :param head: what the result must begin with, checked as soon as that much is there, so that a
        bomb of something else does not cost its whole size
    """

    def __init__(
        self, limit: int, source: str, *, hint: int | None = None, head: bytes = b""
    ) -> None:
        self.limit = limit
        self.source = source
        self.position = 0
        self._head = head
        # One byte more than is allowed or expected, so that its being written shows the excess.
        self._size = min(limit, _FIRST if hint is None else hint) + 1
        self._map = mmap.mmap(-1, self._size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._use_huge_pages()

    @property
    def wanted(self) -> int:
        """How many bytes a decoder should be asked for at once: enough to show an excess."""
        return min(_CHUNK, self.limit + 1 - self.position)

    def write(self, data: Buffer) -> None:
        """Append a copy of `data`.

        :raises LimitError: the cap is exceeded; what fits was written
        """
        taken = min(len(data), self.limit + 1 - self.position)
        while self._size - self.position < taken:
            self._grow()
        self._map[self.position : self.position + taken] = memoryview(data)[:taken]
        self._advance(taken)

    def fill(self, readinto: Callable[[memoryview], int]) -> int:
        """Let `readinto` write into the free end, and return how many bytes it wrote.

        :raises LimitError: the cap is exceeded
        """
        if self.position == self._size:
            self._grow()
        with memoryview(self._map) as whole, whole[self.position :] as free:
            count = readinto(free)
        self._advance(count)
        return count

    def rewind(self, position: int) -> None:
        """Forget what was written from `position` on."""
        self.position = position

    def start(self, count: int) -> bytes:
        """Return a copy of the first `count` bytes, or of those that there are."""
        return self._map[: min(count, self.position)]

    def finish(self) -> memoryview:
        """Give back the unused end and return the result, read-only; nothing can follow."""
        if not self.position:
            return memoryview(b"")
        self._map.resize(self.position)
        return memoryview(self._map).toreadonly()

    def _advance(self, count: int) -> None:
        before, self.position = self.position, self.position + count
        need = len(self._head)
        if before < need <= self.position and self.start(need) != self._head:
            raise FormatError(
                f"begins with {self.start(need).hex(' ')} once decompressed,"
                f" {self._head.hex(' ')} was needed",
                source=self.source,
            )
        if self.position > self.limit:
            raise LimitError(
                f"more than {self.limit} bytes once decompressed, the limit is {self.limit}",
                limit="output",
                allowed=self.limit,
                source=self.source,
                hint="Raise the limit on decompressed bytes if you trust it (--max-unpacked).",
            )

    def _grow(self) -> None:
        self._size = min(self.limit + 1, self._size * 2)
        self._map.resize(self._size)
        self._use_huge_pages()

    def _use_huge_pages(self) -> None:
        if self._size >= _HUGE_PAGE:
            with contextlib.suppress(OSError):  # a kernel without them
                self._map.madvise(mmap.MADV_HUGEPAGE)
