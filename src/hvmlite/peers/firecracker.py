"""Firecracker on x86: ELF64 by PVH or the 64-bit Linux entry, bzImage by the latter.

Source: Firecracker main of August 2026 (1.17; commit cc535f035f38),
``src/vmm/src/arch/x86_64/mod.rs`` (`load_kernel`); PVH since 1.12 (pull 5048), bzImage since July
2026 (pull 6037); before that the error was "Invalid Elf magic number".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.model import Reason, Requirement, Verdict
from hvmlite.peers import _elf, _linux_loader
from hvmlite.spec import linux

if TYPE_CHECKING:
    from hvmlite.model import Image

__all__ = ["NAME", "REQUIREMENTS", "VERSION", "verdict"]

NAME = "firecracker"
VERSION = "1.12 and later; bzImage since July 2026"

_LOAD_KERNEL = "src/vmm/src/arch/x86_64/mod.rs: load_kernel"
REQUIREMENTS = {
    **_linux_loader.ELF,
    **_linux_loader.BZIMAGE,
    "64-bit entry": Requirement(
        "bzimage",
        "xloadflags",
        "boot protocol 2.12 or later and XLF_KERNEL_64 (0x1) needed",
        _LOAD_KERNEL,
        "BzImageMissing64BitEntry",
    ),
}
"""By the names that the code uses; the order is that in which it looks. `elf` and `bzimage` are the
two loaders: an ELF file is never tried as a bzImage."""


def verdict(image: Image) -> Verdict:
    """Say whether Firecracker would start the image, and by which entry."""
    if _elf.is_elf(image.data):
        return _load_elf(image)
    header = _linux_loader.bzimage(image)
    if isinstance(header, Reason):
        return Verdict(NAME, VERSION, (), (header,))
    wide = header.xloadflags & linux.XLoadFlags.XLF_KERNEL_64
    if header.version < linux.Version.V2_12 or not wide:
        found = f"{header.version:#x} and {header.xloadflags:#x}"
        return Verdict(NAME, VERSION, (), (REQUIREMENTS["64-bit entry"].unmet(found),))
    warning = "Firecracker of before July 2026 takes ELF alone (Invalid Elf magic number)"
    entry = header.code32_start + linux.ENTRY64
    return Verdict(NAME, VERSION, ("linux64",), (), (warning,), (("entry", f"{entry:#x}"),))


def _load_elf(image: Image) -> Verdict:
    loaded = _linux_loader.load_elf(image)
    if isinstance(loaded, Reason):
        return Verdict(NAME, VERSION, (), (loaded,))
    if loaded.pvh_entry is not None:
        facts = (*loaded.facts, ("entry", f"{loaded.pvh_entry:#x}"))
        return Verdict(NAME, VERSION, ("pvh",), (), loaded.warnings, facts)
    # Without the note every ELF is entered as Linux, whatever it is.
    warnings = list(loaded.warnings)
    missed = _elf.entry_notes(image)
    if missed:
        warnings.append(
            f"the PHYS32_ENTRY note in {missed[0]} does not count: the last PT_NOTE does"
        )
    if not any(note.name == linux.NOTE_NAME for note in image.notes):
        warnings.append("it is entered as Linux is, at e_entry in 64-bit mode, and may be none")
    facts = (*loaded.facts, ("entry", f"{loaded.entry:#x}"))
    return Verdict(NAME, VERSION, ("linux64",), (), tuple(warnings), facts)
