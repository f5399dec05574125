# What a UEFI program states in its headers, and why it cannot be entered without firmware.
from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.errors import FormatError
from hvmlite.model import Image, Reason, Refusal
from hvmlite.protocols._inside import unwrap
from hvmlite.spec import pe
from hvmlite.spec.linux import SetupHeader, Version, XLoadFlags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hvmlite.model import PeHeaders

__all__ = ["refusal"]

_PLATFORMS = (pe.Machine.AMD64, pe.Machine.I386)
_LINUX: dict[int, str] = {pe.Machine.AMD64: "linux64", pe.Machine.I386: "linux32"}
_ON_A_DISK = (
    "copy it to a FAT partition as EFI/BOOT/BOOTX64.EFI and start that disk with --firmware ovmf"
)


def refusal(name: str, image: Image) -> Refusal:
    """Return why `image` cannot be entered as a UEFI program, with all that its headers say."""
    if image.disk is not None:
        needed = "an EFI system partition, a FAT file system or an El Torito entry for EFI needed"
        found = "none of those that firmware looks into"
        return Refusal(name, (Reason("boot program", found, needed),))
    if image.pe_headers is None:
        found = bytes(image.data[:2]).hex(" ") or "nothing"
        needed = "4d 5a (MZ) and a PE header needed"
        hint = "CONFIG_EFI_STUB makes a bzImage one" if image.format == "bzimage" else None
        return Refusal(name, (Reason("first bytes", found, needed, hint),))
    try:
        headers = image.pe_headers()
    except FormatError as error:
        needed = "headers that agree with the file needed"
        return Refusal(name, (Reason("PE headers", str(error), needed, error.hint),))
    facts = [*_facts(headers), *_linux(image)]
    return Refusal(name, tuple(_reasons(image, headers)), tuple(facts))


def _reasons(image: Image, headers: PeHeaders) -> Iterator[Reason]:
    if headers.machine not in _PLATFORMS:
        yield Reason("PE machine", _machine(headers.machine), "x86-64 or i386 needed")
    if headers.subsystem != pe.Subsystem.EFI_APPLICATION:
        yield Reason("PE subsystem", _subsystem(headers), "10 (EFI application) needed")
    yield Reason(
        "UEFI firmware",
        "none: it starts disks only",
        f"its services needed at the entry point, RVA {headers.entry:#x}",
        _advice(image, headers),
    )


def _advice(image: Image, headers: PeHeaders) -> str | None:
    # OVMF is for x86-64: it starts no i386 program, and nobody starts one of another kind.
    ways = []
    direct = _LINUX.get(headers.machine)
    if direct and (image.format == "uki" or isinstance(image.header, SetupHeader)):
        ways.append(f"without firmware: --protocol {direct}")
    application = headers.subsystem == pe.Subsystem.EFI_APPLICATION
    if headers.machine == pe.Machine.AMD64 and application:
        ways.append(_ON_A_DISK)
    return "; else ".join(ways) or None


def _facts(headers: PeHeaders) -> Iterator[tuple[str, str]]:
    yield "machine", f"{_machine(headers.machine)}, PE32{'+' if headers.bits == 64 else ''}"
    yield "subsystem", _subsystem(headers)
    yield "entry point", f"RVA {headers.entry:#x} of {headers.size_of_image:#x}"
    nx = headers.dll_characteristics & pe.DllCharacteristics.NX_COMPAT
    yield "NX compatible", "yes" if nx else "no"
    for machine, entry in headers.compat:
        yield "mixed mode", f"entry for {_machine(machine)} firmware at RVA {entry:#x}"


def _machine(machine: int) -> str:
    return pe.MACHINE_NAMES.get(machine, f"{machine:#x}")


def _subsystem(headers: PeHeaders) -> str:
    return f"{headers.subsystem} ({pe.SUBSYSTEM_NAMES.get(headers.subsystem, 'unknown')})"


def _linux(image: Image) -> Iterator[tuple[str, str]]:
    # Of a UKI: of the kernel in it, which has headers of its own.
    try:
        kernel = unwrap(image)
        headers = kernel.pe_headers() if kernel.pe_headers is not None else None
    except FormatError as error:
        yield "kernel", str(error)
        return
    if not isinstance(kernel.header, SetupHeader):
        return
    if kernel is not image and headers is not None:
        yield "kernel's machine", _machine(headers.machine)
        for machine, entry in headers.compat:
            yield "kernel's mixed mode", f"entry for {_machine(machine)} at RVA {entry:#x}"
    if headers is not None:
        yield "EFI stub features", _features(*headers.image_version)
    yield "handover", _handover(kernel.header)


def _features(major: int, minor: int) -> str:
    # Linux, include/linux/pe.h: 1.0 added initrds by LoadFile2; from 3.0 on the number is a mask.
    named = f"image version {major}.{minor}"
    if major == 0:
        return f"{named}: none stated"
    if major < 3:
        return f"{named}: initrd by LoadFile2"
    bits = [
        ("initrd by LoadFile2", pe.LinuxFeature.INITRD_LOADFILE2),
        ("initrd= on any volume", pe.LinuxFeature.INITRD_PATH_ANY_VOLUME),
    ]
    return f"{named}: {', '.join(text for text, bit in bits if major & bit) or 'unknown'}"


def _handover(header: SetupHeader) -> str:
    # boot.rst, "EFI Handover Protocol"; the entry of 64-bit kernels is 0x200 further.
    if header.version < Version.V2_11 or not header.handover_offset:
        return "no entry (deprecated)"
    flags = XLoadFlags(header.xloadflags) if header.version >= Version.V2_12 else XLoadFlags(0)
    entries = []
    if flags & XLoadFlags.XLF_EFI_HANDOVER_64:
        entries.append(f"64-bit at load address + {header.handover_offset + 0x200:#x}")
    if flags & XLoadFlags.XLF_EFI_HANDOVER_32:
        entries.append(f"32-bit at load address + {header.handover_offset:#x}")
    return (", ".join(entries) or "no entry by xloadflags") + " (deprecated)"
