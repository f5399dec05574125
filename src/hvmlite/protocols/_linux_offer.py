# The Linux boot protocol: which entries a kernel has, and if not, why.
from __future__ import annotations

from hvmlite.errors import FormatError
from hvmlite.guest import layout
from hvmlite.model import Image, Offer, Reason, Refusal, Relocation
from hvmlite.protocols import _linux
from hvmlite.protocols._inside import machine_reasons, unwrap
from hvmlite.protocols._linux_load import Load, code, load
from hvmlite.spec.elf import EM_386, EM_X86_64, MACHINE_NAMES
from hvmlite.spec.linux import (
    CMDLINE_SIZE_DEFAULT,
    ENTRY64,
    LoadFlags,
    SetupHeader,
    Version,
    XLoadFlags,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LINUX32", "LINUX64", "above_4g", "bzimage", "kernel_of", "offers32", "offers64"]

LINUX64 = "linux64"
LINUX32 = "linux32"

_PMD = 0x200000
"""Kernels move by multiples of this, or hang (``__startup_64`` in arch/x86/kernel/head64.c)."""


def offers64(image: Image) -> Offer | Refusal:
    """Look for the 64-bit entry: of a bzImage 0x200 after its load address, of an ELF64 e_entry.

    :param image: what :mod:`hvmlite.images` made of the file; its payload is not unpacked
    """
    kernel = kernel_of(LINUX64, image)
    if isinstance(kernel, Refusal):
        return kernel
    if kernel.format == "elf":
        return _elf(LINUX64, kernel, EM_X86_64)
    header = _header(kernel)
    limit = layout.IDENTITY_MAP_END if above_4g(header) else layout.FOUR_GIB
    found = load(kernel, header, limit)
    reasons = [*_too_old(header, Version.V2_12), *_loaded_low(header)]
    if header.version >= Version.V2_12 and not header.xloadflags & XLoadFlags.XLF_KERNEL_64:
        needed = "XLF_KERNEL_64 (0x1) needed: the kernel has no 64-bit entry"
        reasons.append(Reason("xloadflags", f"{header.xloadflags:#x}", needed))
    return bzimage(LINUX64, kernel, header, found, reasons, offset=ENTRY64)


def offers32(image: Image) -> Offer | Refusal:
    """Look for the 32-bit entry: of a bzImage its load address, of an ELF32 e_entry.

    :param image: what :mod:`hvmlite.images` made of the file; its payload is not unpacked
    """
    kernel = kernel_of(LINUX32, image)
    if isinstance(kernel, Refusal):
        return kernel
    if kernel.format == "elf":
        return _elf(LINUX32, kernel, EM_386)
    header = _header(kernel)
    found = load(kernel, header, layout.FOUR_GIB)
    # Before 2.02 the command line is handed over in the real-mode segment only.
    reasons = [*_too_old(header, Version.V2_02), *_loaded_low(header)]
    if not header.code32_start:
        # iPXE: a kernel for real mode, with something behind it that is no code at its beginning.
        needed = "the address of a 32-bit entry needed: it has only a 16-bit one"
        reasons.append(Reason("code32_start", "0x0", needed))
    return bzimage(LINUX32, kernel, header, found, reasons)


def above_4g(header: object) -> bool:
    """Whether a kernel may be told of addresses above 4 GiB by its 64-bit entry (2.12)."""
    return (
        isinstance(header, SetupHeader)
        and header.version >= Version.V2_12
        and bool(header.xloadflags & XLoadFlags.XLF_CAN_BE_LOADED_ABOVE_4G)
    )


def kernel_of(name: str, image: Image) -> Image | Refusal:
    """Return what is entered: a bzImage or an ELF, unwrapped."""
    try:
        kernel = unwrap(image)
    except FormatError as error:
        needed = "a kernel that can be unpacked needed"
        return Refusal(name, (Reason("payload", str(error), needed, error.hint),))
    if kernel.format == "elf" or isinstance(kernel.header, SetupHeader):
        return kernel
    needed = "a bzImage, or the ELF of a Linux kernel, needed"
    return Refusal(name, (Reason("image format", kernel.format, needed),))


def _header(kernel: Image) -> SetupHeader:
    assert isinstance(kernel.header, SetupHeader)
    return kernel.header


def _too_old(header: SetupHeader, least: Version) -> Iterator[Reason]:
    if header.version < least:
        yield Reason("protocol version", _dotted(header.version), f"{_dotted(least)} needed")


def _dotted(version: int) -> str:
    return f"{version >> 8}.{version & 0xFF:02}"


def _loaded_low(header: SetupHeader) -> Iterator[Reason]:
    if not header.loadflags & LoadFlags.LOADED_HIGH:
        needed = "LOADED_HIGH (0x1) needed: a zImage is entered in real mode only"
        yield Reason("loadflags", f"{header.loadflags:#x}", needed)


def bzimage(
    name: str,
    kernel: Image,
    header: SetupHeader,
    found: Load | Reason,
    reasons: list[Reason],
    *,
    offset: int = 0,
    entry: int | None = None,
) -> Offer | Refusal:
    """Return the offer of a bzImage that is loaded as `found` says, or all reasons against it.

    :param offset: where the protected-mode part is entered
    :param entry: the entry, where that is another part
    """
    size = len(code(kernel))
    if size <= offset:
        reasons.append(
            Reason("protected-mode code", f"{size:#x} bytes", f"more than {offset:#x} needed")
        )
    if isinstance(found, Reason):
        reasons.append(found)
    if reasons or isinstance(found, Reason):
        return Refusal(name, tuple(reasons))
    facts = [("set aside", f"{found.at:#x}-{found.end:#x}")]
    if found.relocation and found.relocation.least < found.relocation.align:
        facts.append(("least alignment", f"{found.relocation.least:#x}"))
    limit = CMDLINE_SIZE_DEFAULT
    if header.version >= Version.V2_06:
        limit = _linux.cmdline_limit(header)
    return Offer(
        protocol=name,
        entry=found.at + offset if entry is None else entry,
        image=kernel,
        nested=False,
        needs=found.end,
        relocation=found.relocation,
        cmdline_limit=limit,
        facts=tuple(facts),
    )


def _elf(name: str, kernel: Image, machine: int) -> Offer | Refusal:
    segments = [segment for segment in kernel.segments if segment.memsz]
    reasons = list(_elf_reasons(kernel, machine))
    if reasons or kernel.entry is None:
        return Refusal(name, tuple(reasons))
    relocation = None
    if machine == EM_X86_64:
        # Its first instructions find out where they are and correct its page tables by that.
        align = max(_PMD, *(segment.align for segment in segments))
        first = min(segment.paddr for segment in segments)
        relocation = Relocation(align, first, layout.FOUR_GIB - 1)
    return Offer(
        protocol=name,
        entry=kernel.entry,
        image=kernel,
        nested=False,
        needs=max(segment.end for segment in segments),
        relocation=relocation,
        cmdline_limit=_linux.cmdline_limit(None),
    )


def _elf_reasons(kernel: Image, machine: int) -> Iterator[Reason]:
    bits = 64 if machine == EM_X86_64 else 32
    needed = f"{machine} ({MACHINE_NAMES[machine]}) needed: no other ELF has a {bits}-bit entry"
    if wrong := machine_reasons(kernel, (machine,), needed):
        yield from wrong
        return
    if not _linux.is_linux(kernel):
        found = f"no such note among {len(kernel.notes)}"
        yield Reason("Linux", found, "a note of Linux, or Xen's GUEST_OS linux, needed")
    segments = [segment for segment in kernel.segments if segment.memsz]
    if not segments:
        yield Reason("PT_LOAD segments", "none that occupies memory", "at least one needed")
        return
    end = max(segment.end for segment in segments)
    if end > layout.FOUR_GIB:
        yield Reason("PT_LOAD segments", f"an end at {end:#x}", "an end within 4 GiB needed")
    entry = -1 if kernel.entry is None else kernel.entry
    if not any(s.paddr <= entry < s.paddr + len(s.data) for s in segments):
        ranges = ", ".join(f"{s.paddr:#x}-{s.paddr + len(s.data):#x}" for s in segments)
        needed = "a physical address in the bytes of a loaded segment needed"
        yield Reason("e_entry", f"{entry:#x} outside {ranges}", needed)
