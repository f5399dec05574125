# Encoders and decoders that are imported when they are first used: who only asks for offers, as
# `inspect` does, does without half of the room.
from __future__ import annotations

import sys
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["later"]


def later(member: str, **homes: str) -> Callable[[str], object]:
    """Return the `__getattr__` of the module `member`.

    :param homes: for each name "module.name" where it is, the module without `hvmlite.protocols`
    """

    def find(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {member!r} has no attribute {name!r}")
        module, _, original = homes[name].partition(".")
        value: object = getattr(import_module(f"hvmlite.protocols.{module}"), original)
        setattr(sys.modules[member], name, value)
        return value

    return find
