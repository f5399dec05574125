"""Other PE files: UEFI programs, addons of unified kernel images, Windows programs.

None of them can be started without firmware. Addons hold sections for a UKI, as parts.
"""

from __future__ import annotations

from hvmlite.images._looks import is_pe
from hvmlite.model import Image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.images._limits import Limits
    from hvmlite.wire import Buffer

__all__ = ["NAME", "parse", "recognises"]

NAME = "pe"
_SHOWN = 32


def recognises(data: Buffer) -> bool:
    """Return whether there is "MZ" at the beginning, and "PE" where it points."""
    return is_pe(memoryview(data))


def parse(data: Buffer, source: str, limits: Limits) -> Image:
    """Read the headers and the section table.

    :param source: the name of the file, for messages
    :raises FormatError: they do not agree with the file
    """
    from hvmlite.images import _parts, _pe

    view = memoryview(data).toreadonly()
    found = _pe.read(view, source)
    parts, odd = _parts.parts(view, found.sections)
    names = [section.name for section in found.sections]
    shown = " ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")
    return Image(
        format=NAME,
        source=source,
        data=view,
        parts=parts,
        pe_headers=lambda: found.headers,
        facts=(*_pe.facts(found.headers), ("sections", shown)),
        warnings=(*found.warnings, *odd),
    )
