"""The x86/HVM direct boot ABI, versions 0 and 1.

Document: Xen, `docs/misc/pvh.pandoc` and `xen/include/public/arch-x86/hvm/start_info.h`. Address 0
means that a thing is absent. A reader of version 0 may not look past its 40 bytes.
"""

from __future__ import annotations

from enum import IntFlag

from hvmlite.wire import Struct, u32, u64

__all__ = [
    "XEN_HVM_START_MAGIC_VALUE",
    "HvmMemmapTableEntry",
    "HvmModlistEntry",
    "HvmStartInfo",
    "HvmStartInfoV0",
    "StartInfoFlags",
]

XEN_HVM_START_MAGIC_VALUE = 0x336EC578
"""`magic`: "xEn3" with the highest bit of the E set."""


class StartInfoFlags(IntFlag):
    """The SIF bits of `flags`, which Xen's PV start info shares (`xen/include/public/xen.h`)."""

    SIF_PRIVILEGED = 0x01
    SIF_INITDOMAIN = 0x02
    SIF_MULTIBOOT_MOD = 0x04
    SIF_MOD_START_PFN = 0x08
    SIF_VIRT_P2M_4TOOLS = 0x10


class HvmStartInfoV0(Struct, size=40):
    """`struct hvm_start_info` as far as version 0 defines it."""

    magic: int = u32(0x00, XEN_HVM_START_MAGIC_VALUE)
    version: int = u32(0x04)
    flags: int = u32(0x08)
    nr_modules: int = u32(0x0C)
    modlist_paddr: int = u64(0x10)
    cmdline_paddr: int = u64(0x18)
    rsdp_paddr: int = u64(0x20)


class HvmStartInfo(Struct, size=56, c_name="struct hvm_start_info"):
    """`struct hvm_start_info` of version 1."""

    magic: int = u32(0x00, XEN_HVM_START_MAGIC_VALUE)
    version: int = u32(0x04, 1)
    flags: int = u32(0x08)
    nr_modules: int = u32(0x0C)
    modlist_paddr: int = u64(0x10)
    cmdline_paddr: int = u64(0x18)
    rsdp_paddr: int = u64(0x20)
    memmap_paddr: int = u64(0x28)
    memmap_entries: int = u32(0x30)
    reserved: int = u32(0x34)


class HvmModlistEntry(Struct, size=32, c_name="struct hvm_modlist_entry"):
    """One module; `cmdline_paddr` points at a NUL-terminated string or is 0."""

    paddr: int = u64(0x00)
    size: int = u64(0x08)
    cmdline_paddr: int = u64(0x10)
    reserved: int = u64(0x18)


class HvmMemmapTableEntry(Struct, size=24, c_name="struct hvm_memmap_table_entry"):
    """One range of the memory map; `type` is an ACPI address range type."""

    addr: int = u64(0x00)
    size: int = u64(0x08)
    type: int = u32(0x10)
    reserved: int = u32(0x14)
