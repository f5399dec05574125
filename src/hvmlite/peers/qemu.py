"""QEMU 7.2 with `-kernel`: SeaBIOS and an option ROM start what is recognised here.

Source: QEMU 7.2 ``hw/i386/x86.c`` (`x86_load_linux`, `load_elfboot`), ``hw/i386/multiboot.c``,
``include/hw/elf_ops.h``. UEFI programs, which OVMF starts, are not counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.model import Reason, Requirement, Verdict
from hvmlite.peers import _elf, _multiboot, _qemu_notes
from hvmlite.spec import elf, linux, multiboot1

if TYPE_CHECKING:
    from hvmlite.model import Image

__all__ = ["NAME", "REQUIREMENTS", "VERSION", "verdict"]

NAME = "qemu"
VERSION = "7.2, machine types from 4.0 on"

_LINUX = "hw/i386/x86.c: x86_load_linux"
_MULTIBOOT = "hw/i386/multiboot.c: load_multiboot"
_ELFBOOT = "hw/i386/x86.c: load_elfboot"
_LOAD_ELF = "include/hw/elf_ops.h: load_elf"

REQUIREMENTS = {
    "setup": Requirement(
        "linux16",
        "setup sectors",
        "a setup that ends within the file needed",
        _LINUX,
        "qemu: invalid kernel header",
    ),
    "kind": Requirement(
        "any",
        "image",
        'one of these needed: "HdrS" at 0x202, a multiboot header below 8144, ELF\'s magic at 0',
        _LINUX,
    ),
    "machine": Requirement(
        "multiboot1",
        "ELF machine",
        "any but 62 (x86-64) needed, or address fields in the header (flag 16)",
        _MULTIBOOT,
        "Cannot load x86-64 image, give a 32bit one.",
    ),
    "multiboot elf": Requirement(
        "multiboot1",
        "ELF file",
        "one for i386 whose segments lie within the file needed",
        _LOAD_ELF,
        "Error while loading elf kernel",
    ),
    "load_addr": Requirement(
        "multiboot1",
        "load_addr",
        "at most header_addr needed",
        _MULTIBOOT,
        "invalid load_addr address",
    ),
    "header_addr": Requirement(
        "multiboot1",
        "header_addr",
        "a load_addr that lies within the file needed",
        _MULTIBOOT,
        "invalid header_addr address",
    ),
    "load_end_addr": Requirement(
        "multiboot1",
        "load_end_addr",
        "0 or at least load_addr needed",
        _MULTIBOOT,
        "invalid load_end_addr address",
    ),
    "load size": Requirement(
        "multiboot1",
        "load_end_addr",
        "no more bytes than the file has needed",
        _MULTIBOOT,
        "fread() failed",
    ),
    "4 GiB": Requirement(
        "multiboot1",
        "load_addr",
        "an end within 4 GiB needed",
        _MULTIBOOT,
        "kernel does not fit in address space",
    ),
    "bss_end_addr": Requirement(
        "multiboot1",
        "bss_end_addr",
        "0 or at least the end of what is loaded needed",
        _MULTIBOOT,
        "invalid bss_end_addr address",
    ),
    "e_flags": Requirement(
        "pvh",
        "e_flags",
        "bits 2 and 16 clear needed",
        _ELFBOOT,
        "elfboot unsupported flags =",
    ),
    "elf": Requirement(
        "pvh",
        "ELF file",
        "one for x86-64 or i386 whose segments lie within the file needed",
        _LOAD_ELF,
        "Error while loading elf kernel",
    ),
    "note": Requirement(
        "pvh",
        "PHYS32_ENTRY note",
        "a note of type 18 (of any name) needed, found in a PT_NOTE segment by strides that are"
        " rounded up to p_align, and not 0",
        "include/hw/elf_ops.h: get_elf_note_type; hw/i386/x86.c: read_pvh_start_addr",
        "Error loading uncompressed kernel without PVH ELF Note",
    ),
}
"""By the names that this module uses; the order is that in which QEMU looks."""

_HEADER_END = multiboot1.SEARCH - multiboot1.MultibootHeader.SIZE
_UNKNOWN_FLAGS = 0xFFF8
_DEFAULT_MEMORY = 128 << 20


def verdict(image: Image) -> Verdict:
    """Say what ``qemu-system-x86_64 -kernel`` would do with the file, which it does not unpack."""
    data = image.data
    if _multiboot.word(data, linux.JUMP_END) == linux.HDRS:
        return _linux16(image)
    at = next(
        _multiboot.headers(data, multiboot1.HEADER_MAGIC, words=3, end=_HEADER_END, align=4), None
    )
    if at is not None:
        return _multiboot1(image, at)
    if _elf.is_elf(data):
        return _pvh(image)
    near = _multiboot.nearest(data, multiboot1.HEADER_MAGIC, words=3, align=4)
    hint = "QEMU takes it for a kernel of before boot protocol 2.00 and runs its first bytes."
    if image.format == "compressed":
        hint = "QEMU unpacks nothing: unpack the file first."
    elif image.format in ("uki", "pe"):
        hint = "OVMF starts it from a disk: QEMU's -kernel alone does not."
    elif image.format == "disk":
        hint = "QEMU starts a disk by -drive, not by -kernel."
    return _refused([REQUIREMENTS["kind"].unmet(f"{image.format}{near}", hint)])


def _linux16(image: Image) -> Verdict:
    sectors = (image.data[linux.HEADER_START] or linux.SETUP_SECTS_DEFAULT) + 1
    if sectors * linux.SECTOR > len(image.data):
        found = f"{sectors * linux.SECTOR:#x} bytes of {len(image.data):#x}"
        return _refused([REQUIREMENTS["setup"].unmet(found)])
    facts = [("taken for", "Linux, by HdrS at 0x202: no other header is looked at")]
    if _elf.is_elf(image.data):
        return _started("linux16", facts, ["it is an ELF file, but HdrS comes first"])
    return _started("linux16", facts)


def _multiboot1(image: Image, at: int) -> Verdict:
    flags = _multiboot.word(image.data, at + 4)
    facts = [("multiboot1 header", f"at {at:#x}, flags {flags:#x}: looked for before PVH")]
    if flags & multiboot1.HeaderFlag.AOUT_KLUDGE:
        reason = _address_fields(image.data, at)
        end = 0
    else:
        reason = _multiboot_elf(image.data)
        end = max((segment.end for segment in image.segments), default=0)
    if reason is not None:
        return _refused([reason], facts)
    warnings = _needs(end)
    if flags & multiboot1.HeaderFlag.VIDEO_MODE:
        warnings.append("it asks for a video mode, which QEMU does not set")
    if flags & _UNKNOWN_FLAGS:
        warnings.append(
            f"it asks for what QEMU does not look at: flags {flags & _UNKNOWN_FLAGS:#x}"
        )
    return _started("multiboot1", facts, warnings)


def _multiboot_elf(data: memoryview) -> Reason | None:
    machine = int.from_bytes(bytes(data[18:20]), "little")
    if machine == elf.EM_X86_64:
        hint = "Put address fields into the multiboot header, or leave it out and use PVH."
        return REQUIREMENTS["machine"].unmet(_elf.machine_name(machine), hint)
    return _loadable(data, "multiboot elf")


def _loadable(data: memoryview, rule: str) -> Reason | None:
    # What elf_ops.h needs; hvmlite.images has refused whatever is broken otherwise.
    ehdr = _elf.header(data)
    if ehdr is None:
        return REQUIREMENTS[rule].unmet("no ELF file")
    if ehdr.e_machine not in (elf.EM_386, elf.EM_X86_64):
        return REQUIREMENTS[rule].unmet(f"machine {_elf.machine_name(ehdr.e_machine)}")
    phdrs = _elf.program_headers(data, ehdr)
    if len(phdrs) != ehdr.e_phnum:
        return REQUIREMENTS[rule].unmet(f"{ehdr.e_phnum} program headers beyond the file's end")
    if rule == "multiboot elf" and not _elf.loads(phdrs):
        return REQUIREMENTS[rule].unmet("no PT_LOAD segment")
    return None


def _address_fields(data: memoryview, at: int) -> Reason | None:
    fields = (_multiboot.word(data, at + offset) for offset in (12, 16, 20, 24))
    header_addr, load_addr, load_end, bss_end = fields
    if header_addr < load_addr:
        return REQUIREMENTS["load_addr"].unmet(f"{load_addr:#x} above {header_addr:#x}")
    before = header_addr - load_addr
    if before > at:
        found = f"{before:#x} above load_addr, the header at {at:#x} of the file"
        return REQUIREMENTS["header_addr"].unmet(found)
    if load_end and load_end < load_addr:
        return REQUIREMENTS["load_end_addr"].unmet(f"{load_end:#x} below {load_addr:#x}")
    there = len(data) - (at - before)
    size = load_end - load_addr if load_end else there
    if load_addr + size > 0xFFFFFFFF:
        return REQUIREMENTS["4 GiB"].unmet(f"{size:#x} bytes at {load_addr:#x}")
    if bss_end and bss_end < load_addr + size:
        return REQUIREMENTS["bss_end_addr"].unmet(f"{bss_end:#x} below {load_addr + size:#x}")
    if size > there:
        return REQUIREMENTS["load size"].unmet(f"{size:#x} bytes of {there:#x} are asked for")
    return None


def _pvh(image: Image) -> Verdict:
    data = image.data
    if (reason := _loadable(data, "elf")) is not None:
        return _refused([reason])
    ehdr = _elf.header(data)
    assert ehdr is not None
    if ehdr.e_flags & 0x10004:
        return _refused([REQUIREMENTS["e_flags"].unmet(f"{ehdr.e_flags:#x}")])
    entry, walks = _qemu_notes.find_entry(data, ehdr)
    facts = [(f"PT_NOTE segment {number}", text) for number, text in walks]
    if not entry:
        return _refused([_no_note(image, entry, walks)], facts)
    entry &= 0xFFFFFFFF  # what the firmware configuration device carries
    warnings = _needs(max((segment.end for segment in image.segments), default=0))
    if not any(segment.paddr <= entry < segment.end for segment in image.segments):
        warnings.append(f"the entry {entry:#x} lies in no segment")
    return _started("pvh", [*facts, ("entry", f"{entry:#x}")], warnings)


def _no_note(image: Image, entry: int | None, walks: list[tuple[int, str]]) -> Reason:
    found = "none" if walks else "no PT_NOTE segment"
    if entry == 0:
        found = "a note of type 18 whose number is 0"
    missed = _elf.entry_notes(image)
    near = _multiboot.nearest(image.data, multiboot1.HEADER_MAGIC, words=3, align=4)
    hint = None
    if missed:
        found += f"; one is in {missed[0]}, where QEMU does not see it"
        hint = (
            "Discard .note.gnu.property in the linker script, or assemble with -mx86-used-note=no."
        )
    elif near:
        found += f"{near.replace('nearest:', 'a multiboot1 header lies')}"
    return REQUIREMENTS["note"].unmet(found, hint)


def _needs(end: int) -> list[str]:
    if end <= _DEFAULT_MEMORY:
        return []
    return [f"it needs RAM up to {end:#x}, QEMU's default is {_DEFAULT_MEMORY:#x} (-m)"]


def _started(way: str, facts: list[tuple[str, str]], warnings: list[str] | None = None) -> Verdict:
    return Verdict(NAME, VERSION, (way,), (), tuple(warnings or ()), tuple(facts))


def _refused(reasons: list[Reason], facts: list[tuple[str, str]] | None = None) -> Verdict:
    return Verdict(NAME, VERSION, (), tuple(reasons), (), tuple(facts or ()))
