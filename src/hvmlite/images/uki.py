"""Unified kernel images (UKI): UEFI programs that hold a kernel, its initrd and its command line.

Document: UAPI.5, "Unified Kernel Image". Only the container is taken apart here; what of it a start
uses is for :mod:`hvmlite.boot` to say. Nothing is verified: neither a signature nor a measurement.
"""

from __future__ import annotations

from functools import partial

from hvmlite.errors import FormatError
from hvmlite.images._looks import is_pe
from hvmlite.model import Image, Payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.images._limits import Limits
    from hvmlite.images._pe import Pe
    from hvmlite.model import Part
    from hvmlite.wire import Buffer

__all__ = [
    "KERNEL",
    "NAME",
    "chosen",
    "default_profile",
    "parse",
    "payload",
    "profiles",
    "recognises",
]

NAME = "uki"
KERNEL = ".linux"
_MAX_SHOWN = 512
_SDMAGIC = b"#### LoaderInfo: "


def recognises(data: Buffer) -> bool:
    """Return whether it is a PE file that holds a kernel, in a section `.linux`."""
    view = memoryview(data)
    if not is_pe(view):
        return False
    from hvmlite.images import _pe

    try:
        return any(section.name == KERNEL for section in _pe.read(view, "").sections)
    except FormatError:
        return False


def parse(data: Buffer, source: str, limits: Limits) -> Image:
    """Read the sections; the kernel is parsed when the payload is first used.

    :param source: the name of the file, for messages
    :raises FormatError: the headers do not agree with the file
    """
    from hvmlite.images import _parts, _pe

    view = memoryview(data).toreadonly()
    found = _pe.read(view, source)
    parts, odd = _parts.parts(view, found.sections)
    warnings = [*found.warnings, *odd]
    kernels = chosen(parts, default_profile(parts)).get(KERNEL)
    if kernels is None:
        warnings.append(f"neither the base nor the first profile has a {KERNEL}")
    return Image(
        format=NAME,
        source=source,
        data=view,
        payload=payload(kernels[0], source, limits) if kernels else None,
        parts=parts,
        pe_headers=lambda: found.headers,
        facts=_facts(view, found, parts),
        warnings=tuple(warnings),
    )


def chosen(parts: tuple[Part, ...], profile: int | None) -> dict[str, tuple[Part, ...]]:
    """Return the parts that count in a profile, by name: its own, and the base's of other names.

    :param profile: None for the base alone
    """
    from hvmlite.images import _parts

    return _parts.chosen(parts, profile)


def profiles(parts: tuple[Part, ...]) -> tuple[tuple[int, str, str], ...]:
    """Return number, ID and title of each profile; the last two may be empty."""
    from hvmlite.images import _parts

    return _parts.profiles(parts)


def default_profile(parts: tuple[Part, ...]) -> int | None:
    """Return the profile that counts if nobody asks for one: the first, if there is any."""
    return 0 if any(part.profile is not None for part in parts) else None


def payload(kernel: Part, source: str, limits: Limits) -> Payload:
    """Return the kernel in a `.linux` as a payload.

    :param source: the name of the file
    """
    from hvmlite.images import _kernel

    work = partial(_kernel.parse, kernel.data, f"{source}:{KERNEL}", limits)
    return Payload("none", kernel.offset, len(kernel.data), "section", work)


def _facts(view: memoryview, found: Pe, parts: tuple[Part, ...]) -> tuple[tuple[str, str], ...]:
    from hvmlite.images import _parts, _pe

    def shown(name: str) -> str:
        return _parts.text(own[name][0])[:_MAX_SHOWN] if name in own else ""

    own = chosen(parts, default_profile(parts))
    facts = _pe.facts(found.headers)
    stub = next((s for s in found.sections if s.name == ".sdmagic"), None)
    if stub is not None:
        words = bytes(view[stub.offset : stub.offset + min(stub.size, _MAX_SHOWN)])
        name = words.removeprefix(_SDMAGIC).rstrip(b"\0 #").decode("ascii", "backslashreplace")
        facts.append(("stub", name))
    if ".osrel" in own:
        system = _parts.variables(own[".osrel"][0])
        facts.append(("os", system.get("PRETTY_NAME", system.get("NAME", "not named"))))
    facts += [
        (title, shown(name))
        for title, name in (("kernel release", ".uname"), ("command line", ".cmdline"))
        if name in own
    ]
    for number, name, title in _parts.profiles(parts):
        facts.append((f"profile {number}", f"{name} ({title})" if title else name))
    return tuple(facts)
