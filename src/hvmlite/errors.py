"""Every error that hvmlite raises on purpose: one tree, one file.

A message says where, what was found and what was needed: lower case, no final dot, addresses in
hexadecimal. Advice stands apart, in :attr:`HvmliteError.hint`. A guest's end is never an error but
an :class:`hvmlite.model.Outcome`; only losing the engine is (:class:`EngineLost`).
"""

from __future__ import annotations

__all__ = [
    "EngineError",
    "EngineLost",
    "EngineUnavailable",
    "FormatError",
    "HvmliteError",
    "LimitError",
    "PlacementError",
    "RequestError",
    "UnsupportedError",
]


class HvmliteError(Exception):
    """The root of the tree; never raised itself.

    :param message: `<where>: <what was found>, <what was needed>`
    :param hint: advice for the user, a sentence of its own
    """

    exit_status = 4
    """What the command line returns for it: 4 our error, 3 not available here."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class FormatError(HvmliteError):
    """The bytes break their own format.

    :param source: the file or part that was read
    :param offset: where in it, in bytes, if that is known
    """

    def __init__(
        self, message: str, *, source: str = "", offset: int | None = None, hint: str | None = None
    ) -> None:
        self.source = source
        self.offset = offset
        where = source if offset is None else f"{source}+{offset:#x}"
        super().__init__(f"{where}: {message}" if where else message, hint=hint)


class LimitError(FormatError):
    """A budget was hit while reading; `limit` is the name of the budget and `allowed` its size."""

    def __init__(
        self, message: str, *, limit: str, allowed: int, source: str = "", hint: str | None = None
    ) -> None:
        self.limit = limit
        self.allowed = allowed
        super().__init__(message, source=source, hint=hint)


class UnsupportedError(HvmliteError):
    """The bytes are fine, but hvmlite cannot do `feature`."""

    def __init__(self, message: str, *, feature: str, hint: str | None = None) -> None:
        self.feature = feature
        super().__init__(message, hint=hint)


class RequestError(HvmliteError):
    """You asked for something that cannot be said or done; `field` names what was asked."""

    def __init__(self, message: str, *, field: str, hint: str | None = None) -> None:
        self.field = field
        super().__init__(message, hint=hint)


class PlacementError(HvmliteError):
    """A piece cannot be laid out in guest memory.

    :param piece: the human name of the piece
    :param need: bytes that it needs
    :param limit: the highest address it may end at (exclusive), if there is one
    """

    def __init__(
        self,
        message: str,
        *,
        piece: str,
        need: int,
        limit: int | None = None,
        hint: str | None = None,
    ) -> None:
        self.piece = piece
        self.need = need
        self.limit = limit
        super().__init__(message, hint=hint)


class EngineError(HvmliteError):
    """Something about the engine `engine`, not about the guest."""

    def __init__(self, message: str, *, engine: str, hint: str | None = None) -> None:
        self.engine = engine
        super().__init__(message, hint=hint)


class EngineUnavailable(EngineError):
    """The engine cannot run here: absent, forbidden or too old; the message says which."""

    exit_status = 3


class EngineLost(EngineError):
    """The engine itself died or stopped answering: no verdict about the guest."""
