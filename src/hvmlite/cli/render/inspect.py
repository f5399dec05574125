"""What an image is, its ways in, and why the others are closed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hvmlite.cli._digest import MOST_HASHED
from hvmlite.cli._output import escape
from hvmlite.cli.render._text import address, pairs, reasons, size, table, text
from hvmlite.errors import HvmliteError
from hvmlite.model import Offer, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hvmlite.cli._answer import Document
    from hvmlite.cli._style import Style
    from hvmlite.model import Image, Note, Part, Verdict

__all__ = ["Report"]

_SHOWN = 256  # bytes of a note's descriptor in a document; real ones have 4 to 40
_FLAGS = ((4, "r"), (2, "w"), (1, "x"))


@dataclass(frozen=True, slots=True)
class Report:
    """All that is known about an image; `inner` is its payload's, if that could be unpacked.

    `sha256` is that of the whole file, None for one that is too large to be read for it.
    """

    image: Image
    sha256: str | None
    inner: Image | None
    trouble: str
    offers: tuple[Offer, ...]
    refusals: tuple[Refusal, ...]
    verdicts: tuple[Verdict, ...] = ()

    @classmethod
    def of(
        cls,
        image: Image,
        asked: Sequence[Offer | Refusal],
        sha256: str | None,
        verdicts: Sequence[Verdict] = (),
    ) -> Report:
        """Sort the protocols' answers and open the payload.

        :param sha256: of the whole file, in hex; None if it is too large, see :class:`Digest`
        """
        inner, trouble = None, ""
        if image.payload is not None:
            try:
                inner = image.payload.image
            except HvmliteError as error:  # the refusals say what it means for each protocol
                trouble = str(error)
        return cls(
            image=image,
            sha256=sha256,
            inner=inner,
            trouble=trouble,
            offers=tuple(answer for answer in asked if isinstance(answer, Offer)),
            refusals=tuple(answer for answer in asked if isinstance(answer, Refusal)),
            verdicts=tuple(verdicts),
        )

    def document(self) -> Document:
        """Return the report for ``--json``."""
        payload: Document | None = None
        if self.image.payload is not None:
            payload = {
                "compression": self.image.payload.compression,
                "offset": self.image.payload.offset,
                "length": self.image.payload.length,
                "found": self.image.payload.found,
                "image": self.inner and _image(self.inner),
                "error": escape(self.trouble) or None,
            }
        return {
            "image": escape(self.image.source),
            "size": len(self.image.data),
            "sha256": self.sha256,
            **_image(self.image),
            "payload": payload,
            "offers": [_offer(offer) for offer in self.offers],
            "refusals": [_refusal(refusal) for refusal in self.refusals],
            "peers": self._peers(),
        }

    def _peers(self) -> list[Document]:
        if not self.verdicts:
            return []
        from hvmlite.cli.render import _peers as peers

        return [peers.document(verdict) for verdict in self.verdicts]

    def lines(self, style: Style) -> Iterator[str]:
        """Yield the report for people."""
        if self.verdicts:
            from hvmlite.cli.render import _peers as peers  # only who asks for them pays for them

            yield from peers.lines(self.verdicts, style)
            yield ""
        yield from _head(escape(self.image.source), self.image, style)
        digest = self.sha256 or f"not made: of files up to {size(MOST_HASHED)} only"
        yield from table([*_facts(self.image), ("sha256", digest)])
        yield from self._ways(style)
        if (payload := self.image.payload) is not None:
            yield ""
            if self.inner is not None:
                title = f"payload at {payload.offset:#x} (found by {payload.found})"
                yield from _head(title, self.inner, style)
                yield from table(_facts(self.inner))
            else:
                yield f"{style.paint('payload', 'bold', 'red')}: {escape(self.trouble)}"
        if self.image.parts:
            yield from ("", style.paint("parts", "bold"))
            yield from table([_part_row(part) for part in self.image.parts], "<<>")
        for title, holder in (("notes", self.image), ("notes in the payload", self.inner)):
            if holder is not None and holder.notes:
                yield from ("", style.paint(title, "bold"))
                yield from table([_note_row(note) for note in holder.notes])
        warnings = [*self.image.warnings, *(self.inner.warnings if self.inner else ())]
        if warnings:
            yield from ("", style.paint("warnings", "bold", "yellow"))
            yield from (f"  {escape(warning)}" for warning in warnings)

    def _ways(self, style: Style) -> Iterator[str]:
        yield ""
        if self.offers:
            yield style.paint("ways in", "bold")
        else:
            yield style.paint("no way in", "bold", "red")
        names = [offer.protocol for offer in self.offers]
        names += [refusal.protocol for refusal in self.refusals]
        width = max(map(len, names), default=0)
        for offer in self.offers:
            name = style.paint(offer.protocol.ljust(width), "green")
            for number, line in enumerate(_offer_lines(offer)):
                yield f"  {' ' * width if number else name}  {line}"
        if self.refusals:
            yield ""
            yield style.paint("closed", "bold")
        for refusal in self.refusals:
            name = style.paint(refusal.protocol.ljust(width), "red")
            for number, reason in enumerate(refusal.reasons):
                yield f"  {' ' * width if number else name}  {escape(str(reason))}"
                if reason.hint:
                    yield f"  {' ' * width}    {style.paint(escape(reason.hint), 'dim')}"
            for line in table([(escape(n), escape(v)) for n, v in refusal.facts], indent=width + 6):
                yield style.paint(line, "dim")


def _image(image: Image) -> Document:
    return {
        "format": image.format,
        "entry": image.entry,
        "machine": image.machine,
        "segments": [
            {
                "start": segment.paddr,
                "end": segment.end,
                "vaddr": segment.vaddr,
                "file_size": len(segment.data),
                "flags": _flags(segment.flags),
                "align": segment.align,
            }
            for segment in image.segments
        ],
        "notes": [_note(note) for note in image.notes],
        "parts": [_part(part) for part in image.parts],
        "facts": pairs(image.facts),
        "warnings": [escape(warning) for warning in image.warnings],
    }


def _part(part: Part) -> Document:
    return {
        "name": escape(part.name),
        "profile": part.profile,
        "offset": part.offset,
        "size": len(part.data),
    }


def _note(note: Note) -> Document:
    value = list(note.value) if isinstance(note.value, tuple) else note.value
    return {
        "name": escape(note.name),
        "type": note.type,
        "label": escape(note.label),
        "value": escape(value) if isinstance(value, str) else value,
        "desc": note.desc[:_SHOWN].hex(),
        "desc_size": len(note.desc),
        "where": escape(note.where),
        "offset": note.offset,
        "align": note.align,
    }


def _offer(offer: Offer) -> Document:
    move = offer.relocation
    return {
        "protocol": offer.protocol,
        "entry": offer.entry,
        "nested": offer.nested,
        "needs": offer.needs,
        "cmdline_limit": offer.cmdline_limit,
        "relocation": move
        and {
            "align": move.align,
            "lowest": move.lowest,
            "highest": move.highest,
            "preference": str(move.preference),
        },
        "firmware": offer.firmware,
        "facts": pairs(offer.facts),
    }


def _refusal(refusal: Refusal) -> Document:
    return {
        "protocol": refusal.protocol,
        "reasons": reasons(refusal.reasons),
        "facts": pairs(refusal.facts),
    }


def _head(title: str, image: Image, style: Style) -> Iterator[str]:
    yield f"{style.paint(title, 'bold')}: {image.format}, {size(len(image.data))}"


def _facts(image: Image) -> Iterator[tuple[str, str]]:
    yield from ((escape(name), escape(value)) for name, value in image.facts)
    for number, segment in enumerate(image.segments):
        span = f"{address(segment.paddr)}-{address(segment.end)}  {_flags(segment.flags)}"
        yield "" if number else "segments", f"{span}  {size(segment.memsz)}"


def _flags(flags: int) -> str:
    return "".join(name if flags & bit else "-" for bit, name in _FLAGS)


def _offer_lines(offer: Offer) -> Iterator[str]:
    inside = " in the payload" if offer.nested else ""
    if offer.firmware:
        yield f"started by the machine's firmware, {offer.firmware}"
    else:
        yield f"entry {address(offer.entry)}{inside}, needs {size(offer.needs)} of RAM"
    if offer.cmdline_limit is not None:
        yield f"command line up to {offer.cmdline_limit} bytes"
    if offer.relocation is not None:
        move = offer.relocation
        span = f"{address(move.lowest)}-{address(move.highest)}"
        wish = "" if move.preference == "linked" else f", wants the {move.preference} place"
        yield f"may be moved within {span}, by multiples of {size(move.align)}{wish}"
    yield from (f"{escape(name)}: {escape(value)}" for name, value in offer.facts)


def _part_row(part: Part) -> tuple[str, str, str]:
    profile = "" if part.profile is None else f"profile {part.profile}"
    return escape(part.name), profile, size(len(part.data))


def _note_row(note: Note) -> tuple[str, str, str]:
    label = escape(note.label) or f"type {note.type:#x}"
    if note.value is None:
        rest = "..." if len(note.desc) > 20 else ""
        return escape(note.name), label, f"{note.desc[:20].hex(' ')}{rest}"
    return escape(note.name), label, text(note.value)
