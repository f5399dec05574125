# Reading back what a guest would be told. All of it may be hostile: whatever points outside RAM,
# wraps or has no end is a FormatError, and budgets bound what is read.
from __future__ import annotations

from hvmlite.errors import FormatError, LimitError
from hvmlite.model import GuestMemory, MemoryRange, MemoryType

__all__ = [
    "MAX_MODULES",
    "MAX_MODULE_BYTES",
    "MAX_RECORDS",
    "Strings",
    "check",
    "memory_range",
    "read",
]

# Far beyond every known guest, and small enough to be read at once.
MAX_MODULES = 4096
MAX_RECORDS = 4096
MAX_MODULE_BYTES = 2 << 30
_MAX_STRING = 64 << 10
_MAX_STRINGS = 1 << 20
_PAGE = 4096


def memory_range(
    number: int, start: int, size: int, type_: int, source: str = "memory map"
) -> MemoryRange:
    """Return record `number` of a memory map."""
    if start + size > 1 << 64:
        raise FormatError(
            f"record {number} is {size:#x} bytes at {start:#x}, an end within 64 bits is needed",
            source=source,
        )
    return MemoryRange(start, start + size, _known(type_))


def _known(type_: int) -> int:
    # The MemoryType of a number, or the number itself.
    try:
        return MemoryType(type_)
    except ValueError:
        return type_


def check(count: int, limit: int, what: str, source: str) -> None:
    """Refuse more than `limit` of something ("records", "module bytes")."""
    if count > limit:
        raise LimitError(
            f"{count} {what}, at most {limit} are read",
            limit=f"{source} records" if what == "records" else what,
            allowed=limit,
            source=source,
        )


def read(memory: GuestMemory, address: int, size: int, source: str) -> bytes:
    """Return `size` bytes at `address`; the error says what `source` they were to be."""
    if address + size > 1 << 64:
        raise FormatError(
            f"{size:#x} bytes at {address:#x}, an end within 64 bits is needed", source=source
        )
    try:
        return memory.read(address, size)
    except FormatError as error:
        error.add_note(f"while reading the {source}")
        raise


class Strings:
    """Reads NUL-terminated strings, with one budget for all of them."""

    def __init__(self, memory: GuestMemory) -> None:
        self._memory = memory
        self._left = _MAX_STRINGS

    def read(self, address: int, source: str) -> bytes:
        """Return the string at `address` without its NUL; empty for address 0, which is absent."""
        if address == 0:
            return b""
        limit = min(_MAX_STRING, self._left)
        text = bytearray()
        while len(text) <= limit:
            chunk = self._chunk(address + len(text), source)
            end = chunk.find(0)
            text += chunk if end < 0 else chunk[:end]
            if end >= 0 and len(text) <= limit:
                self._left -= len(text)
                return bytes(text)
        raise LimitError(
            f"no NUL within {limit:#x} bytes at {address:#x}",
            limit="string bytes",
            allowed=limit,
            source=source,
        )

    def _chunk(self, address: int, source: str) -> bytes:
        # Up to the end of the page; bytes one by one where RAM ends within it.
        try:
            return read(self._memory, address, -address % _PAGE or _PAGE, source)
        except FormatError:
            return read(self._memory, address, 1, source)
