# PVH: does an image offer the entry, where, and if not, why.
from __future__ import annotations

from itertools import pairwise

from hvmlite.errors import FormatError
from hvmlite.model import Image, LoadSegment, Note, Offer, Reason, Refusal, Relocation
from hvmlite.protocols import _linux
from hvmlite.protocols._inside import machine_reasons, unwrap
from hvmlite.spec.xen import ELFNOTE_NAME, ElfNote

__all__ = ["NAME", "offers"]

NAME = "pvh"

_UNSET = 0xFFFFFFFF
"""An entry of this value is none, to Xen's libelf."""
_PAGE = 0x1000
_DEFAULT_ALIGN = 0x200000
_NOTES_SHOWN = 6
_NOTE = "PHYS32_ENTRY note"
_ENTRY_NEEDED = "a physical address in the bytes of a loaded segment needed"


def offers(image: Image) -> Offer | Refusal:
    """Look for the entry note in an ELF, or in the kernel that a bzImage holds.

    An ELF is 32-bit or 64-bit; both are entered alike. Several entry notes are no contradiction:
    the first valid one counts, the others become facts. A broken PHYS32_RELOC only costs the
    freedom to move the image, since it starts at its linked address all the same.

    :param image: what :mod:`hvmlite.images` made of the file; a payload is unpacked
    """
    packed, kernel = image, image
    try:
        packed = kernel = unwrap(image)
        if not kernel.segments and kernel.payload is not None:
            kernel = kernel.payload.image
    except FormatError as error:
        what = f"payload ({packed.payload.compression})" if packed.payload else "payload"
        reason = Reason(what, str(error), "a kernel that can be unpacked needed", error.hint)
        return Refusal(NAME, (reason,))
    nested = kernel is not image
    if kernel.format != "elf":
        needed = "an ELF, or a bzImage that says where its ELF is, needed"
        return Refusal(NAME, (Reason("image format", kernel.format, needed),))
    segments = tuple(segment for segment in kernel.segments if segment.memsz)
    closed = [*machine_reasons(kernel), *_segment_reasons(segments)]
    entry, bad = _entry(kernel, segments)
    if closed or entry is None:
        return Refusal(NAME, (*closed, *(bad if entry is None else ())))
    linux = nested or _linux.is_linux(kernel)
    relocation, facts = _relocation(kernel, segments)
    facts += tuple(("ignored note", str(reason)) for reason in bad)
    if linux:
        facts += (("start info", "version 1 needed: Linux takes its memory map from nowhere else"),)
    return Offer(
        protocol=NAME,
        entry=entry,
        image=kernel,
        nested=nested,
        needs=max(*(s.end for s in segments), _linux.needs(packed.header)),
        relocation=relocation,
        cmdline_limit=_linux.cmdline_limit(packed.header) if linux else None,
        facts=facts,
    )


def _segment_reasons(segments: tuple[LoadSegment, ...]) -> list[Reason]:
    if not segments:
        return [Reason("PT_LOAD segments", "none that occupies memory", "at least one needed")]
    placed = sorted(segments, key=lambda segment: segment.paddr)
    return [
        Reason(
            "PT_LOAD segments",
            f"{one.paddr:#x}-{one.end:#x} and {other.paddr:#x}-{other.end:#x} overlap",
            "disjoint physical addresses needed",
        )
        for one, other in pairwise(placed)
        if one.end > other.paddr
    ]


def _entry(kernel: Image, segments: tuple[LoadSegment, ...]) -> tuple[int | None, list[Reason]]:
    # The first entry note that can be used, and what is wrong with the others.
    entry, bad = None, []
    notes = [note for note in kernel.notes if note.type == ElfNote.PHYS32_ENTRY]
    for note in notes:
        if note.name != ELFNOTE_NAME:
            continue
        found = _entry_of(note, segments)
        if isinstance(found, Reason):
            bad.append(found)
        elif entry is None:
            entry = found
        elif entry != found:
            what = f"{found:#x} in {note.where}"
            bad.append(Reason(_NOTE, what, f"the first one, {entry:#x}, counts"))
    if entry is None and not bad:
        bad.append(_absent(kernel, notes))
    return entry, bad


def _entry_of(note: Note, segments: tuple[LoadSegment, ...]) -> int | Reason:
    size = len(note.desc)
    if size not in (4, 8):
        found = f"a descriptor of {size} bytes in {note.where}"
        return Reason(_NOTE, found, "4 bytes, or 8, needed")
    value = int.from_bytes(note.desc, "little")
    if value == _UNSET:
        return Reason(_NOTE, f"{value:#x} in {note.where}, which means unset", _ENTRY_NEEDED)
    if value > _UNSET:
        return Reason(_NOTE, f"{value:#x} in {note.where}", "an address below 4 GiB needed")
    if any(s.paddr <= value < s.paddr + len(s.data) for s in segments):
        return value
    return Reason(
        _NOTE, f"entry {value:#x} outside {_ranges(segments) or 'all memory'}", _ENTRY_NEEDED
    )


def _ranges(segments: tuple[LoadSegment, ...]) -> str:
    return ", ".join(f"{s.paddr:#x}-{s.paddr + len(s.data):#x}" for s in segments)


def _absent(kernel: Image, same_type: list[Note]) -> Reason:
    # The nearest thing is what helps: the right number under a wrong name, else Xen's other notes.
    nearest = (
        same_type or [note for note in kernel.notes if note.name == ELFNOTE_NAME] or kernel.notes
    )
    shown = [
        f"{note.name!r} {note.label or note.type} in {note.where} (aligned to {note.align})"
        for note in nearest[:_NOTES_SHOWN]
    ]
    if len(nearest) > _NOTES_SHOWN:
        shown.append("...")
    found = f"not among {len(kernel.notes)} notes" if kernel.notes else "no note at all"
    found += f", nearest: {', '.join(shown)}" if shown else ""
    found += "".join(f"; {warning}" for warning in kernel.warnings)
    hint = "a Linux kernel has it if it is built with CONFIG_PVH"
    return Reason(_NOTE, found, f"name 'Xen' and type {int(ElfNote.PHYS32_ENTRY)} needed", hint)


def _relocation(
    kernel: Image, segments: tuple[LoadSegment, ...]
) -> tuple[Relocation | None, tuple[tuple[str, str], ...]]:
    # The presence of the note is the statement; its three numbers all have a default.
    for note in kernel.notes:
        if note.name == ELFNOTE_NAME and note.type == ElfNote.PHYS32_RELOC:
            break
    else:
        return None, ()
    words = [int.from_bytes(note.desc[i : i + 4], "little") for i in range(0, 12, 4)]
    given = min(len(note.desc) // 4, 3)
    aligns = [s.align for s in segments if s.align >= _PAGE and _power_of_two(s.align)]
    defaults = [max(aligns, default=_DEFAULT_ALIGN), 0, 0xFFFFFFFF]
    align, lowest, highest = words[:given] + defaults[given:]
    length = max(s.end for s in segments) - min(s.paddr for s in segments)
    problem = ""
    if not _power_of_two(align) or align < _PAGE:
        problem = f"alignment {align:#x} is not a power of two of at least {_PAGE:#x}"
    elif -(-lowest // align) * align + length - 1 > highest:
        problem = f"{length:#x} bytes do not fit {lowest:#x}-{highest:#x}"
    if problem:
        return None, (("PHYS32_RELOC", f"ignored: {problem}"),)
    return Relocation(align, lowest, highest), ()


def _power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0
