"""GRUB 2.06 for BIOS: its commands `linux`, `linux16`, `multiboot` and `multiboot2`.

Source: GRUB 2.06 ``grub-core/loader``: ``i386/linux.c``, ``i386/pc/linux.c``,
``i386/multiboot_mbi.c``, ``multiboot_mbi2.c``, ``multiboot_elfxx.c``. The commands are the user's
choice. Files in gzip, xz and lzop are unpacked when they are opened. UEFI programs (`chainloader`,
and `linux` in the UEFI builds of distributions) are not counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.errors import FormatError
from hvmlite.model import Reason, Requirement, Verdict
from hvmlite.peers import _grub_elf, _grub_multiboot
from hvmlite.spec import linux

if TYPE_CHECKING:
    from hvmlite.model import Image

__all__ = ["NAME", "REQUIREMENTS", "VERSION", "verdict"]

NAME = "grub"
VERSION = "2.06, BIOS"

_LINUX = "grub-core/loader/i386/linux.c: grub_cmd_linux"
_LINUX16 = "grub-core/loader/i386/pc/linux.c: grub_cmd_linux"
_UNPACKED = ("gzip", "xz", "lzo")

REQUIREMENTS = {
    "unpack": Requirement(
        "any",
        "file",
        "no compression but gzip, xz or lzop around the image needed",
        "grub-core/io: gzio.c, xzio.c, lzopio.c",
    ),
    **{
        f"{way} {name}": Requirement(way, what, needed, source, says)
        for way, source in (("linux", _LINUX), ("linux16", _LINUX16))
        for name, what, needed, says in (
            ("size", "file", "0x268 bytes or more needed", "premature end of file"),
            ("magic", "boot signature", "0xaa55 at 0x1fe needed", "invalid magic number"),
            ("setup", "setup sectors", "at most 64 needed", "too many setup sectors"),
        )
    },
    "linux version": Requirement(
        "linux",
        "boot protocol",
        '"HdrS" at 0x202 and version 2.03 or later needed',
        _LINUX,
        "version too old for 32-bit boot",
    ),
    "linux high": Requirement(
        "linux",
        "loadflags",
        "LOADED_HIGH (0x1) needed",
        _LINUX,
        "zImage doesn't support 32-bit boot",
    ),
    "linux header": Requirement(
        "linux",
        "setup header",
        "an end at 0x290 or before needed",
        _LINUX,
        "Linux setup header too big",
    ),
    "linux16 zImage": Requirement(
        "linux16",
        "zImage",
        "at most 0x80000 bytes from 0x10000 on needed, or LOADED_HIGH",
        _LINUX16,
        "too big zImage",
    ),
    **_grub_multiboot.REQUIREMENTS,
    **_grub_elf.REQUIREMENTS,
}
"""By the names that the code uses, command by command."""

_ZIMAGE_END, _ZIMAGE_START = 0x90000, 0x10000
_HEADER_MAX = linux.HEADER_END_MAX
_LEAST = 0x268
"""The size of struct linux_i386_kernel_header, which ends with handover_offset."""


def verdict(image: Image) -> Verdict:
    """Say which of GRUB's commands would load the image."""
    packed = image.payload.compression if image.payload is not None else ""
    facts: list[tuple[str, str]] = []
    if image.format == "compressed" and image.payload is not None:
        if packed not in _UNPACKED:
            return Verdict(NAME, VERSION, (), (REQUIREMENTS["unpack"].unmet(packed),))
        try:
            image = image.payload.image
        except FormatError as error:
            return Verdict(NAME, VERSION, (), (REQUIREMENTS["unpack"].unmet(str(error)),))
        facts.append(("unpacked", packed))
    found: dict[str, list[Reason]] = {
        "linux": _linux(image.data),
        "linux16": _linux16(image.data),
        "multiboot": _grub_multiboot.multiboot1(image.data),
        "multiboot2": _grub_multiboot.multiboot2(image.data),
    }
    ways = tuple(way for way, reasons in found.items() if not reasons)
    reasons = tuple(reason for each in found.values() for reason in each)
    return Verdict(NAME, VERSION, ways, reasons, tuple(_warnings(image, ways)), tuple(facts))


def _header(data: memoryview) -> linux.SetupHeader:
    raw = bytes(data[linux.HEADER_START :][: linux.SetupHeader.SIZE])
    return linux.SetupHeader.unpack(raw.ljust(linux.SetupHeader.SIZE, b"\0"))


def _both(way: str, data: memoryview, header: linux.SetupHeader) -> list[Reason]:
    if len(data) < _LEAST:
        return [REQUIREMENTS[f"{way} size"].unmet(f"{len(data):#x} bytes")]
    if header.boot_flag != linux.BOOT_FLAG:
        return [REQUIREMENTS[f"{way} magic"].unmet(f"{header.boot_flag:#06x}")]
    if header.setup_sects > linux.SETUP_SECTS_MAX:
        return [REQUIREMENTS[f"{way} setup"].unmet(f"{header.setup_sects}")]
    return []


def _linux(data: memoryview) -> list[Reason]:
    header = _header(data)
    if reasons := _both("linux", data, header):
        return reasons
    if header.header != linux.HDRS or header.version < linux.Version.V2_03:
        found = f"{header.version:#x}" if header.header == linux.HDRS else "no HdrS"
        return [REQUIREMENTS["linux version"].unmet(found)]
    if not header.loadflags & linux.LoadFlags.LOADED_HIGH:
        return [REQUIREMENTS["linux high"].unmet(f"{header.loadflags:#x}")]
    end = linux.JUMP_END + (header.jump >> 8)
    if end > _HEADER_MAX:
        return [REQUIREMENTS["linux header"].unmet(f"{end:#x}")]
    return []


def _linux16(data: memoryview) -> list[Reason]:
    header = _header(data)
    if reasons := _both("linux16", data, header):
        return reasons
    high = header.header == linux.HDRS and header.version >= linux.Version.V2_00
    if high and header.loadflags & linux.LoadFlags.LOADED_HIGH:
        return []
    setup = ((header.setup_sects or linux.SETUP_SECTS_DEFAULT) + 1) * linux.SECTOR
    size = max(0, len(data) - setup)
    if _ZIMAGE_START + size > _ZIMAGE_END:
        return [REQUIREMENTS["linux16 zImage"].unmet(f"{size:#x} bytes")]
    return []


def _warnings(image: Image, ways: tuple[str, ...]) -> list[str]:
    warnings = []
    header = _header(image.data)
    if "linux" in ways and not header.code32_start:
        # Seen with ipxe.lkrn: what lies at 1 MiB is no code.
        warnings.append("`linux` hangs: code32_start is 0, there is no 32-bit entry; use `linux16`")
    if "linux16" in ways and header.header != linux.HDRS:
        warnings.append("`linux16` takes every boot sector for a kernel; this may be none")
    if "multiboot" in ways or "multiboot2" in ways:
        warnings += _grub_multiboot.warnings(image.data, ways)
    return warnings
