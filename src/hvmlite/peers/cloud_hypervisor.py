"""Cloud Hypervisor on x86 with `--kernel`: ELF64 by PVH, bzImage by the 32-bit Linux entry.

Source: Cloud Hypervisor main of August 2026 (v54), ``vmm/src/vm.rs`` (`load_kernel`); bzImage since
v39 (pull 6200). Firmware (`--firmware`) is not counted; rust-hypervisor-firmware is an ELF with a
PVH entry of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.model import Reason, Requirement, Verdict
from hvmlite.peers import _elf, _linux_loader

if TYPE_CHECKING:
    from hvmlite.model import Image

__all__ = ["NAME", "REQUIREMENTS", "VERSION", "verdict"]

NAME = "cloud-hypervisor"
VERSION = "main of August 2026 (v54)"

REQUIREMENTS = {
    **_linux_loader.ELF,
    "pvh": Requirement(
        "elf",
        "PHYS32_ENTRY note",
        "a note named Xen of type 18 in the last PT_NOTE segment, packed by 4, needed",
        "vmm/src/vm.rs: load_kernel",
        "Kernel lacks PVH header",
    ),
    **_linux_loader.BZIMAGE,
}
"""By the names that the code uses; the order is that in which it looks. `elf` and `bzimage` are the
two loaders: an ELF file is never tried as a bzImage."""


def verdict(image: Image) -> Verdict:
    """Say whether Cloud Hypervisor would start the image, and by which entry."""
    if not _elf.is_elf(image.data):
        header = _linux_loader.bzimage(image)
        if isinstance(header, Reason):
            return Verdict(NAME, VERSION, (), (header,))
        entry = ("entry", f"{header.code32_start:#x}")
        return Verdict(NAME, VERSION, ("linux32",), (), (), (entry,))
    loaded = _linux_loader.load_elf(image)
    if isinstance(loaded, Reason):
        return Verdict(NAME, VERSION, (), (loaded,))
    if loaded.pvh_entry is None:
        return Verdict(NAME, VERSION, (), (_no_note(image),), (), loaded.facts)
    facts = (*loaded.facts, ("entry", f"{loaded.pvh_entry:#x}"))
    return Verdict(NAME, VERSION, ("pvh",), (), loaded.warnings, facts)


def _no_note(image: Image) -> Reason:
    missed = _elf.entry_notes(image)
    if not missed:
        hint = "Build the kernel with CONFIG_PVH." if image.notes else None
        return REQUIREMENTS["pvh"].unmet("none", hint)
    hint = "Discard .note.gnu.property in the linker script, or put all notes into one segment."
    return REQUIREMENTS["pvh"].unmet(f"none; one is in {missed[0]}, which does not count", hint)
