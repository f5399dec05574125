"""The few guest-physical addresses that are fixed, each with its reason.

Everything else is a :class:`hvmlite.model.Piece` that says what it needs and gets its address from
:mod:`hvmlite.guest.place`.
"""

from __future__ import annotations

from hvmlite.values import Value

__all__ = [
    "ACPI",
    "BASE_MEMORY_END",
    "BDA",
    "BIOS",
    "EBDA",
    "FIRST_FREE",
    "FOUR_GIB",
    "HIGH_MEMORY",
    "IDENTITY_MAP_END",
    "IVT",
    "LEGACY_HOLE",
    "LINUX_OLD",
    "LINUX_PVH",
    "LINUX_SETUP",
    "LINUX_SETUP_OLD",
    "LINUX_ZIMAGE",
    "LOW_MEMORY",
    "MODULES",
    "MULTIBOOT",
    "PAGE",
    "REAL_MODE",
    "VGA",
    "Window",
]


class Window(Value):
    """Addresses from `low` up to, not including, `high`."""

    low: int
    high: int


PAGE = 0x1000
"""Size and alignment of what a guest manages memory in."""

IVT = Window(0, 0x400)
"""The interrupt vectors of real mode, where IDTR is after a reset (SDM volume 3, 21.1.4)."""

BDA = Window(0x400, 0x500)
"""The BIOS data area of a PC."""

FIRST_FREE = 0x1000
"""The first address that a piece gets unless it asks for a lower one by `at`.

Below lie :data:`IVT` and :data:`BDA`. Kernels read the latter (0x40E: segment of the EBDA, 0x413:
KiB of base memory) and must find zeros there where no firmware ran. And address 0 means "absent" in
most boot information (PVH, multiboot).
"""

BASE_MEMORY_END = 0x9F000
"""Where Linux takes base memory to end when the BIOS data area does not say it.

``reserve_bios_regions`` in arch/x86/kernel/ebda.c reserves from here up to 1 MiB.
"""

EBDA = 0x9FC00
"""The extended BIOS data area of a PC: the last KiB of base memory, never RAM in a PC's map."""

BIOS = Window(0x9B000, 0x9D000)
"""The BIOS that real-mode guests and multiboot kernels get (:mod:`hvmlite.guest.bios`).

Near the end of base memory, where INT 12h and the memory map take it away from guests as they do
with a PC's EBDA. Above 0x9A000, up to which kernels before boot protocol 2.02 keep their real-mode
part and its heap (Documentation/arch/x86/boot.rst); three pages below the legacy hole, which are
what :data:`ACPI` needs for the most processors that QEMU has. Two pages: the code, and more than
300 records of a memory map.
"""

REAL_MODE = Window(FIRST_FREE, BIOS.low)
"""Where a real-mode guest and what it is given can lie: base memory as INT 12h tells it."""

LEGACY_HOLE = Window(0xA0000, 0x100000)
"""Video memory, option ROMs and the BIOS of a PC: no RAM, whatever is below them."""

VGA = Window(0xA0000, 0xC0000)
"""The frame buffer of a VGA: the part of the legacy hole that belongs to a PCI device."""

HIGH_MEMORY = 0x100000
"""1 MiB, the first address above the legacy hole. Kernels are not moved below it."""

FOUR_GIB = 1 << 32
"""The end of what 32-bit pointers reach: modules, command line, ACPI 1.0 pointers."""

IDENTITY_MAP_END = 64 << 30
"""Where the page tables of an entry in 64-bit mode end at most.

Tables for so much, in pages of 2 MiB, take 264 KiB and so lie in base memory, where no kernel's
allocator overwrites them. More RAM needs no mapping: only a kernel, its command line and its boot
information must be mapped, and a kernel finds free room below.
"""

LOW_MEMORY = Window(FIRST_FREE, BASE_MEMORY_END)
"""Base memory: the place for boot information, page tables and descriptor tables.

Linux reserves the whole first MiB while it starts (``reserve_real_mode`` in
arch/x86/realmode/init.c), so neither its allocator nor its physical KASLR (which avoids only what
it knows: kernel, initrd, command line, zero page) overwrites what lies here. Every entry mode
reaches it, and so does the first GiB that the PVH entry maps.
"""

LINUX_PVH = Window(FIRST_FREE, 1 << 30)
"""Where Linux's PVH entry reads start info, module list and memory map.

Its page tables for ``xen_prepare_pvh`` map the first GiB only (``pvh_level2_kernel_pgt`` and
``init_top_pgt`` in arch/x86/platform/pvh/head.S); a table above it is a triple fault.
"""

LINUX_SETUP = 0x10000
"""Where the real-mode part of a bzImage is loaded: the first 64 KiB that are one segment.

Modern kernels run at any multiple of 16 (boot.rst, "Running the Kernel"); QEMU takes this one, too.
"""

LINUX_SETUP_OLD = 0x90000
"""Where kernels before boot protocol 2.02, and those that are loaded low, must have it."""

LINUX_ZIMAGE = Window(0x10000, LINUX_SETUP_OLD)
"""Where the protected-mode part of a zImage is loaded, and how far it may reach.

Its setup code moves it down to 0x1000 (``move_kernel_around`` in arch/x86/boot/pm.c, up to Linux
2.6.29), some versions with all that is below the setup code: nothing else can lie there.
"""

LINUX_OLD = Window(LINUX_SETUP_OLD, BIOS.low)
"""Base memory that a zImage, and every kernel before boot protocol 2.05, leaves alone.

Below, from 0x1000 on, such kernels unpack themselves (``LOW_BUFFER_MAX`` in misc.c and
``move_routine_start`` in head.S of arch/i386/boot/compressed, up to Linux 2.6.19).
"""

MODULES = Window(HIGH_MEMORY, FOUR_GIB)
"""Modules: above the first MiB, which Linux keeps for itself, and below 4 GiB because the zero page
that Linux's PVH entry fills has 32-bit fields for them."""

MULTIBOOT = Window(0x10000, FOUR_GIB)
"""Multiboot information: in base memory, above its first 64 KiB, as long as there is room.

GRUB puts it at 0x10000-0xA0000, so that is where kernels have learnt to leave it alone until they
have read it: what they use before lies lower (trampolines for processors, real-mode code). What
does not fit lies above 1 MiB, after kernel and modules.
"""

ACPI = Window(FIRST_FREE, LEGACY_HOLE.low)
"""ACPI tables: at the end of base memory, where the memory map has a boundary anyway.

Below 4 GiB, as 32-bit kernels and the FADT's 32-bit fields need; out of the way of kernels that are
linked or moved to any address above 1 MiB; and up to the legacy hole, because Linux takes nothing
above :data:`BASE_MEMORY_END` for RAM, whatever the map says.
"""
