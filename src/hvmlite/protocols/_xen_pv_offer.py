# Xen PV: would Xen take the image, and what stands in the way here.
from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.errors import FormatError
from hvmlite.model import Image, Reason, Refusal
from hvmlite.protocols import _xen_pv_notes
from hvmlite.protocols._inside import machine_reasons, unwrap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hvmlite.protocols._xen_pv_notes import GuestNotes

__all__ = ["refusal"]

_MASK = (1 << 64) - 1
_HYPERVISOR = Reason(
    "Xen hypervisor",
    "none: there is nobody to take hypercalls",
    "one needed",
    "Linux with CONFIG_XEN_PV has its native entries too; Xen itself starts by multiboot",
)


def refusal(name: str, image: Image) -> Refusal:
    """Return every rule of Xen's that the image breaks, and last that there is no Xen."""
    try:
        kernel = unwrap(image)
        if not kernel.segments and kernel.payload is not None:
            kernel = kernel.payload.image
    except FormatError as error:
        needed = "a kernel that can be unpacked needed"
        return Refusal(name, (Reason("payload", str(error), needed, error.hint),))
    if kernel.format != "elf":
        needed = "an ELF, or a bzImage that says where its ELF is, needed"
        return Refusal(name, (Reason("image format", kernel.format, needed),))
    notes = _xen_pv_notes.read(kernel)
    if not notes.source:
        found = "neither in a segment nor in a section"
        needed = "notes of owner Xen, or a section __xen_guest, needed"
        return Refusal(name, (Reason("Xen's ELF notes", found, needed),))
    facts = [("read from", notes.source), *notes.facts]
    broken = [*_machine(kernel), *_told(notes), *_features(notes.features)]
    if any(segment.memsz for segment in kernel.segments):
        addresses = _Addresses(kernel, notes)
        facts += addresses.facts
        broken += addresses.reasons
    facts.append(("Xen would take it as PV", "no" if broken else "yes"))
    return Refusal(name, (*broken, _HYPERVISOR), tuple(facts))


def _machine(kernel: Image) -> Iterator[Reason]:
    yield from machine_reasons(kernel)
    if not any(segment.memsz for segment in kernel.segments):
        yield Reason("PT_LOAD segments", "none that occupies memory", "at least one needed")


def _told(notes: GuestNotes) -> Iterator[Reason]:
    if not notes.loader.startswith("generic") and not notes.guest_os.startswith("linux"):
        found = f"LOADER {notes.loader!r}, GUEST_OS {notes.guest_os!r}"
        yield Reason("guest's kind", found, "LOADER generic or GUEST_OS linux needed")
    if not notes.xen_version.startswith("xen-3.0"):
        yield Reason("XEN_VERSION", repr(notes.xen_version), "xen-3.0 needed")


def _features(text: str) -> Iterator[Reason]:
    for word in text.split("|"):
        if word.startswith("!") and word[1:] not in _xen_pv_notes.FEATURE_BITS:
            needed = "one that Xen knows needed, since it is required (!)"
            yield Reason("FEATURES", word, needed)


class _Addresses:
    # elf_xen_addr_calc_check: where the kernel lies in virtual memory, and whether that can be.
    def __init__(self, kernel: Image, notes: GuestNotes) -> None:
        low = min(s.paddr for s in kernel.segments if s.memsz)
        high = max(s.end for s in kernel.segments if s.memsz)
        base, offset = notes.virt_base or 0, notes.paddr_offset or 0
        start, end = (low + base - offset) & _MASK, (high + base - offset) & _MASK
        entry = notes.entry if notes.entry is not None else kernel.entry or 0
        span = f"{start:#x}-{end:#x}"
        self.facts = [("virtual addresses", span), ("virtual entry", f"{entry:#x}")]
        if notes.hypercall_page is not None:
            self.facts.append(("hypercall page", f"{notes.hypercall_page:#x}"))
        self.reasons: list[Reason] = []
        if notes.paddr_offset is not None and notes.virt_base is None:
            self.reasons.append(
                Reason("VIRT_BASE", "none, but PADDR_OFFSET is there", "both or neither needed")
            )
        if start > end:
            self.reasons.append(Reason("virtual addresses", span, "an end above the start needed"))
        elif not start <= entry <= end:
            self.reasons.append(Reason("virtual entry", f"{entry:#x}", f"one within {span} needed"))
        if base > start:
            self.reasons.append(Reason("VIRT_BASE", f"{base:#x}", f"at most {start:#x} needed"))
        if notes.init_p2m is not None and start <= notes.init_p2m < end:
            self.reasons.append(
                Reason("INIT_P2M", f"{notes.init_p2m:#x}", f"one outside {span} needed")
            )
