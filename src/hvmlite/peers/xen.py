"""Xen's domain builder (libxenguest with libelf): unprivileged PVH and PV guests, as `xl` makes.

Source: Xen 4.17 to 4.19, ``tools/libs/guest/xg_dom_bzimageloader.c``, ``xg_dom_elfloader.c``,
``xg_dom_hvmloader.c``, ``xg_dom_core.c``, ``xen/common/libelf``. `type = "pvh"` or `"pv"` in the
guest's configuration says which way is taken. A dom0 is built by the hypervisor, with the same
libelf. HVM guests boot disks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.errors import FormatError
from hvmlite.model import Reason, Requirement, Verdict
from hvmlite.peers import _elf, _xen_notes
from hvmlite.peers._xen_notes import MASK
from hvmlite.peers._xz import dictionary
from hvmlite.spec import elf, linux
from hvmlite.spec.xen import ElfNote

if TYPE_CHECKING:
    from hvmlite.model import Image
    from hvmlite.peers._xen_notes import GuestNotes

__all__ = ["NAME", "REQUIREMENTS", "VERSION", "verdict"]

NAME = "xen"
VERSION = "4.17 to 4.19"

_BZIMAGE = "tools/libs/guest/xg_dom_bzimageloader.c: xc_dom_probe_bzimage_kernel"
_NOTES = "xen/common/libelf/libelf-dominfo.c: elf_xen_note_check"
_ADDRESSES = "xen/common/libelf/libelf-dominfo.c: elf_xen_addr_calc_check"
_PARSE = "tools/libs/guest/xg_dom_elfloader.c: xc_dom_parse_elf_kernel"
MAX_LZMA = 256 << 20
"""LZMA_BLOCK_SIZE, the memory that liblzma may take."""
OLD_MAX_LZMA = 128 << 20
"""What it was before December 2024 (commit e6472d4668, in 4.20 and later 4.17 to 4.19)."""
MAX_UNPACKED = 1 << 30
"""XC_DOM_DECOMPRESS_MAX."""

REQUIREMENTS = {
    "kind": Requirement(
        "any",
        "image",
        'ELF, "HdrS" at 0x202, or either in gzip needed',
        "tools/libs/guest/xg_dom_core.c: xc_dom_find_loader, xc_dom_kernel_file",
        "no loader found",
    ),
    "protocol": Requirement(
        "any", "boot protocol", "2.08 or later needed", _BZIMAGE, "boot protocol too old"
    ),
    "payload": Requirement(
        "any",
        "payload",
        "payload_offset and payload_length within the file needed",
        _BZIMAGE,
        "payload offset overflow",
    ),
    "compression": Requirement(
        "any",
        "compression",
        "gzip bzip2 lzma xz lzo lz4 (legacy frames), zstd (since 4.15) or a plain ELF needed",
        _BZIMAGE,
        "unknown compression format",
    ),
    "dictionary": Requirement(
        "any",
        "xz dictionary",
        "less than 256 MiB needed (before December 2024 less than 128)",
        "tools/libs/guest/xg_dom_bzimageloader.c: LZMA_BLOCK_SIZE",
        "Memory usage limit reached",
    ),
    "unpacked": Requirement(
        "any",
        "payload",
        "an ELF file of the size that its last four bytes state needed",
        "tools/libs/guest/xg_dom_bzimageloader.c: xc_try_*_decode",
        "unable to",
    ),
    "features": Requirement(
        "any",
        "FEATURES note",
        "no required feature (!) but those that libelf knows needed: "
        + " ".join(sorted(_xen_notes.FEATURES)),
        "xen/common/libelf/libelf-dominfo.c: elf_xen_parse_features",
    ),
    "dom0": Requirement(
        "any",
        "FEATURES note",
        "no required feature dom0 needed",
        _PARSE,
        "Kernel does not support unprivileged (DomU) operation",
    ),
    "phys entry": Requirement(
        "pvh",
        "PHYS32_ENTRY note",
        "a note named Xen of type 18, packed by 4, in a PT_NOTE segment or, where no segment has a"
        " Xen note, in an SHT_NOTE section needed",
        _NOTES,
        "Will only load images built for the generic loader or Linux images",
    ),
    "phys range": Requirement(
        "pvh",
        "PHYS32_ENTRY note",
        "an address from the lowest p_paddr to the highest end needed",
        _ADDRESSES,
        "ELF start or entries are out of bounds",
    ),
    "machine": Requirement(
        "pv",
        "ELF machine",
        "3 (i386) or 62 (x86-64) needed",
        "tools/libs/guest/xg_dom_elfloader.c: xc_dom_guest_type",
        "unknown image type",
    ),
    "loader": Requirement(
        "pv",
        "LOADER or GUEST_OS note",
        'a LOADER that begins with "generic" or a GUEST_OS that begins with "linux" needed',
        _NOTES,
        "Will only load images built for the generic loader or Linux images",
    ),
    "version": Requirement(
        "pv",
        "XEN_VERSION note",
        'a text that begins with "xen-3.0" needed',
        _NOTES,
        "Xen will only load images built for Xen v3.0",
    ),
    "offset": Requirement(
        "any",
        "PADDR_OFFSET note",
        "a VIRT_BASE note as well needed (later versions: for PV only)",
        _ADDRESSES,
        "ELF_PADDR_OFFSET set, VIRT_BASE unset",
    ),
    "virt range": Requirement(
        "pv",
        "ENTRY note",
        "a virtual address within the loaded segments needed, and none of them below VIRT_BASE",
        _ADDRESSES,
        "ELF start or entries are out of bounds",
    ),
    "p2m": Requirement(
        "any",
        "INIT_P2M note",
        "an address outside the loaded segments needed",
        _ADDRESSES,
        "P->M table base is out of bounds",
    ),
    "pae": Requirement(
        "pv",
        "PAE_MODE note",
        '"yes" or "bimodal" in a kernel for i386 needed',
        "tools/libs/guest/xg_dom_elfloader.c: xc_dom_guest_type",
        "guest type xen-3.0-x86_32 not supported by xen kernel, sorry",
    ),
}
"""By the names that this module uses; the order is that in which Xen looks."""

_OPTIONAL = ("bzip2", "lzma", "xz", "lzo", "zstd")
"""Each is a library that the tools were built with or not: Debian's have neither bzip2 nor lzo."""


def verdict(image: Image) -> Verdict:
    """Say which guest types Xen would build from the image."""
    facts: list[tuple[str, str]] = []
    kernel = _kernel(image, facts)
    if isinstance(kernel, Reason):
        return Verdict(NAME, VERSION, (), (kernel,), (), tuple(facts))
    ehdr = _elf.header(kernel.data)
    if ehdr is None:
        return Verdict(NAME, VERSION, (), (REQUIREMENTS["kind"].unmet(kernel.format),))
    notes = _xen_notes.read(kernel.data, ehdr)
    facts.append(("Xen notes", notes.where or "none"))
    closed = {"pvh": _pvh(kernel, notes), "pv": _pv(kernel, notes)}
    if ehdr.e_ident[elf.EI_CLASS] == elf.ELFCLASS32 and closed["pvh"]:
        text = "an ELF32 without valid notes is taken for firmware and entered at e_entry"
        facts.append(('with type = "pvh"', text))
    common = [*_features(notes), *_offset(notes)]
    ways = tuple(way for way, reasons in closed.items() if not reasons and not common)
    reasons = [*common, *(reason for found in closed.values() for reason in found)]
    warnings = _build_options(image)
    if "pv" in ways and ehdr.e_machine == elf.EM_386:
        warnings.append("as a PV guest it needs a hypervisor that was built with CONFIG_PV32")
    return Verdict(NAME, VERSION, ways, tuple(reasons), tuple(warnings), tuple(facts))


def _kernel(image: Image, facts: list[tuple[str, str]]) -> Image | Reason:
    # What is handed to libelf: the file, what is in its gzip, or the payload of a bzImage.
    try:
        if image.format == "compressed" and image.payload is not None:
            if image.payload.compression != "gzip":
                hint = "Of whole files Xen unpacks gzip alone: unpack the file first."
                return REQUIREMENTS["kind"].unmet(image.payload.compression, hint)
            image = image.payload.image
        if not isinstance(image.header, linux.SetupHeader):
            if image.format == "elf":
                return image
            hint = "xl starts a disk or an UEFI program as an HVM guest."
            return REQUIREMENTS["kind"].unmet(image.format, hint)
        return _payload(image, image.header, facts)
    except FormatError as error:
        return REQUIREMENTS["unpacked"].unmet(str(error), error.hint)


def _payload(
    image: Image, header: linux.SetupHeader, facts: list[tuple[str, str]]
) -> Image | Reason:
    if header.version < linux.Version.V2_08:
        found = f"{header.version >> 8}.{header.version & 0xFF:02}"
        return REQUIREMENTS["protocol"].unmet(found)
    # A setup_sects of 0 means 0 here and not 4.
    offset = (header.setup_sects + 1) * linux.SECTOR + header.payload_offset
    end = offset + header.payload_length
    if offset >= len(image.data) or end > len(image.data):
        return REQUIREMENTS["payload"].unmet(f"{offset:#x}-{end:#x} of {len(image.data):#x} bytes")
    payload = image.payload
    if payload is None or payload.found != "header" or payload.offset != offset:
        begin = bytes(image.data[offset : offset + 8]).hex(" ")
        return REQUIREMENTS["compression"].unmet(f"a payload that begins with {begin or 'nothing'}")
    data = image.data[offset:end]
    size = dictionary(payload.compression, data) or 0
    if size:
        facts.append((f"{payload.compression} dictionary", f"{size >> 20} MiB"))
    if size >= MAX_LZMA:
        hint = "Build the kernel with another compression."
        return REQUIREMENTS["dictionary"].unmet(f"{size >> 20} MiB", hint)
    kernel = payload.image
    if payload.compression == "none":  # another loader of Xen's takes what this one has cut out
        return kernel
    stated = int.from_bytes(bytes(data[-4:]), "little")
    if stated != len(kernel.data) or stated > MAX_UNPACKED:
        return REQUIREMENTS["unpacked"].unmet(f"{len(kernel.data)} bytes, {stated} stated")
    return kernel


def _features(notes: GuestNotes) -> list[Reason]:
    text = notes.text(ElfNote.FEATURES)
    reasons = [REQUIREMENTS["features"].unmet(f"!{n}") for n in _xen_notes.unknown_features(text)]
    if "!dom0" in text.split("|"):
        reasons.append(REQUIREMENTS["dom0"].unmet("!dom0", "It can only be Xen's dom0."))
    return reasons


def _offset(notes: GuestNotes) -> list[Reason]:
    base, offset = notes.number(ElfNote.VIRT_BASE), notes.number(ElfNote.PADDR_OFFSET)
    if offset is None or base is not None:
        return []
    return [REQUIREMENTS["offset"].unmet(f"{offset:#x} and no VIRT_BASE")]


def _build_options(image: Image) -> list[str]:
    while image.format != "bzimage" and image.payload is not None:
        image = image.payload.image
    payload = image.payload
    if payload is None or payload.compression not in _OPTIONAL:
        return []
    packed = payload.compression
    warnings = [f"Xen's tools unpack {packed} where they were built with its library"]
    data = image.data[payload.offset : payload.offset + payload.length]
    if (dictionary(packed, data) or 0) >= OLD_MAX_LZMA:
        warnings.append("Xen of before December 2024 refuses its dictionary of 128 MiB or more")
    return warnings


def _extent(kernel: Image) -> tuple[int, int]:
    # PT_LOAD segments without any permission are not loaded; without segments low is above high.
    used = [segment for segment in kernel.segments if segment.flags & 7]
    low = min((segment.paddr for segment in used), default=MASK)
    return low, max((segment.end for segment in used), default=0)


def _pvh(kernel: Image, notes: GuestNotes) -> list[Reason]:
    entry = notes.phys_entry
    if entry is None:
        missed = _elf.entry_notes(kernel)
        found = "none"
        hint = None
        if missed:
            found += f"; one is in {missed[0]}, where Xen does not see it"
        elif kernel.notes:
            hint = "Build the kernel with CONFIG_PVH, or CONFIG_XEN_PVH before Linux 5.0."
        return [REQUIREMENTS["phys entry"].unmet(found, hint)]
    low, high = _extent(kernel)
    if not low <= entry <= high:
        return [REQUIREMENTS["phys range"].unmet(f"{entry:#x} outside {low:#x}-{high:#x}")]
    return _p2m(notes, low, high)


def _p2m(notes: GuestNotes, start: int, end: int) -> list[Reason]:
    table = notes.number(ElfNote.INIT_P2M)
    if table is None or not start <= table < end:
        return []
    return [REQUIREMENTS["p2m"].unmet(f"{table:#x} within {start:#x}-{end:#x}")]


def _pv(kernel: Image, notes: GuestNotes) -> list[Reason]:
    reasons = []
    if kernel.machine not in (elf.EM_386, elf.EM_X86_64):
        reasons.append(REQUIREMENTS["machine"].unmet(_elf.machine_name(kernel.machine or 0)))
    loader, system = notes.text(ElfNote.LOADER), notes.text(ElfNote.GUEST_OS)
    if not loader.startswith("generic") and not system.startswith("linux"):
        found = f'"{loader}" and "{system}"' if loader or system else "neither"
        return [*reasons, REQUIREMENTS["loader"].unmet(found)]
    version = notes.text(ElfNote.XEN_VERSION)
    if not version.startswith("xen-3.0"):
        reasons.append(REQUIREMENTS["version"].unmet(f'"{version}"' if version else "none"))
        return reasons
    mode = notes.text(ElfNote.PAE_MODE)
    if kernel.machine == elf.EM_386 and mode != "yes" and "bimodal" not in mode:
        reasons.append(REQUIREMENTS["pae"].unmet(f'"{mode}"' if mode else "none"))
    return [*reasons, *_pv_addresses(kernel, notes)]


def _pv_addresses(kernel: Image, notes: GuestNotes) -> list[Reason]:
    base = notes.number(ElfNote.VIRT_BASE) or 0
    shift = base - (notes.number(ElfNote.PADDR_OFFSET) or 0)
    start, end = ((address + shift) & MASK for address in _extent(kernel))
    entry = notes.number(ElfNote.ENTRY)
    entry = (kernel.entry or 0) if entry is None else entry
    reasons = _p2m(notes, start, end)
    if start > end or not start <= entry <= end or base > start:
        found = f"{entry:#x}, segments {start:#x}-{end:#x}, VIRT_BASE {base:#x}"
        reasons.append(REQUIREMENTS["virt range"].unmet(found))
    return reasons
