"""The sections of unified kernel images (UKI) and their addons: UAPI.5, "Unified Kernel Image".

Sections before the first `.profile` are the base; each `.profile` begins a profile, from
number 0 on.
"""

from __future__ import annotations

import re

from hvmlite.model import Part
from hvmlite.spec.pe import UKI_SECTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from hvmlite.images._pe import PeSection

__all__ = ["chosen", "parts", "profiles", "text", "variables"]

_SEVERAL = frozenset({".dtb", ".dtbauto", ".efifw"})
_MAX_TEXT = 64 << 10
_MAX_VARIABLES = 4 << 10  # of a file of assignments; Debian's os-release has 286 bytes
_MAX_PROFILES = 256  # as many as systemd-stub counts (UNIFIED_PROFILES_MAX)
_MAX_WARNINGS = 8
_ESCAPED = re.compile(r'\\(["$`\\])')


def parts(
    data: memoryview, sections: Iterable[PeSection]
) -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """Return the parts in the file's order, and what is odd about them."""
    found: list[Part] = []
    warnings: list[str] = []
    profile: int | None = None
    seen: set[tuple[str, int | None]] = set()
    for section in sections:
        if section.name not in UKI_SECTIONS:
            continue
        if section.name == ".profile":
            profile = 0 if profile is None else profile + 1
            if profile == _MAX_PROFILES:
                # First, so that no other warning pushes it out: all that follows is left out.
                warnings.insert(0, f"more than {_MAX_PROFILES} profiles: the others are left out")
                break
        elif not section.size:
            warnings.append(f"section {section.name} is empty, and ignored")
            continue
        where = (section.name, profile)
        if where in seen and section.name not in _SEVERAL:
            warnings.append(f"a second {section.name} in {_profile(profile)}: the first one counts")
            continue
        seen.add(where)
        content = data[section.offset : section.offset + section.size]
        found.append(Part(section.name, section.offset, content, profile))
    return tuple(found), tuple(warnings[:_MAX_WARNINGS])


def _profile(number: int | None) -> str:
    return "the base" if number is None else f"profile {number}"


def chosen(found: Iterable[Part], profile: int | None) -> dict[str, tuple[Part, ...]]:
    """Return the parts that count in a profile, by name: its own, and the base's of other names.

    :param profile: None for a file without profiles
    """
    base: dict[str, tuple[Part, ...]] = {}
    own: dict[str, tuple[Part, ...]] = {}
    for part in found:
        if part.profile is None:
            base[part.name] = (*base.get(part.name, ()), part)
        elif part.profile == profile:
            own[part.name] = (*own.get(part.name, ()), part)
    return {**base, **own}


def profiles(found: Iterable[Part]) -> tuple[tuple[int, str, str], ...]:
    """Return number, ID and title of each profile; the last two may be empty."""
    named = []
    for part in found:
        if part.name == ".profile" and part.profile is not None:
            given = variables(part)
            named.append((part.profile, given.get("ID", ""), given.get("TITLE", "")))
    return tuple(named)


def text(part: Part, most: int = _MAX_TEXT) -> str:
    """Return a part that is text, up to its first NUL, and `most` bytes of it."""
    raw = bytes(part.data[:most]).split(b"\0", 1)[0]
    return raw.decode("utf-8", "backslashreplace").strip()


def variables(part: Part) -> dict[str, str]:
    """Return the assignments in an os-release file or a `.profile`; quotes are taken off."""
    found: dict[str, str] = {}
    for line in text(part, _MAX_VARIABLES).splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            found.setdefault(name, _unquoted(value))
    return found


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        quote, value = value[0], value[1:-1]
        if quote == '"':
            value = _ESCAPED.sub(r"\1", value)
    return value
