"""x86 system structures and register bits: Intel SDM volume 3, chapters 2 to 5 and 8 (2024)."""

from __future__ import annotations

from enum import IntEnum, IntFlag

from hvmlite.wire import Struct, u8, u16, u32, u64

__all__ = [
    "CR0",
    "CR4",
    "EFER",
    "MSR",
    "PTE",
    "RFLAGS",
    "CodeData",
    "PseudoDescriptor32",
    "PseudoDescriptor64",
    "SegmentDescriptor",
    "SystemDescriptor64",
    "SystemType",
]


class CR0(IntFlag):
    """Control register 0 (2.5)."""

    PE = 1 << 0
    MP = 1 << 1
    EM = 1 << 2
    TS = 1 << 3
    ET = 1 << 4
    NE = 1 << 5
    WP = 1 << 16
    AM = 1 << 18
    NW = 1 << 29
    CD = 1 << 30
    PG = 1 << 31


class CR4(IntFlag):
    """Control register 4 (2.5)."""

    VME = 1 << 0
    PVI = 1 << 1
    TSD = 1 << 2
    DE = 1 << 3
    PSE = 1 << 4
    PAE = 1 << 5
    MCE = 1 << 6
    PGE = 1 << 7
    PCE = 1 << 8
    OSFXSR = 1 << 9
    OSXMMEXCPT = 1 << 10
    UMIP = 1 << 11
    LA57 = 1 << 12
    VMXE = 1 << 13
    SMXE = 1 << 14
    FSGSBASE = 1 << 16
    PCIDE = 1 << 17
    OSXSAVE = 1 << 18
    KL = 1 << 19
    SMEP = 1 << 20
    SMAP = 1 << 21
    PKE = 1 << 22
    CET = 1 << 23
    PKS = 1 << 24
    UINTR = 1 << 25


class EFER(IntFlag):
    """IA32_EFER (2.2.1), and SVME, LMSLE and FFXSR of the AMD64 manual (volume 2, 3.1.7)."""

    SCE = 1 << 0
    LME = 1 << 8
    LMA = 1 << 10
    NXE = 1 << 11
    SVME = 1 << 12
    LMSLE = 1 << 13
    FFXSR = 1 << 14


class MSR(IntEnum):
    """Model-specific registers with a part in starting a processor (volume 4)."""

    APIC_BASE = 0x1B
    MTRR_DEF_TYPE = 0x2FF
    EFER = 0xC0000080
    FS_BASE = 0xC0000100
    GS_BASE = 0xC0000101
    KERNEL_GS_BASE = 0xC0000102


class RFLAGS(IntFlag):
    """RFLAGS (2.3; volume 1, 3.4.3). FIXED is the bit that always reads 1."""

    CF = 1 << 0
    FIXED = 1 << 1
    PF = 1 << 2
    AF = 1 << 4
    ZF = 1 << 6
    SF = 1 << 7
    TF = 1 << 8
    IF = 1 << 9
    DF = 1 << 10
    OF = 1 << 11
    NT = 1 << 14
    RF = 1 << 16
    VM = 1 << 17
    AC = 1 << 18
    VIF = 1 << 19
    VIP = 1 << 20
    ID = 1 << 21


class PTE(IntFlag):
    """Bits of a paging-structure entry (4.5). PS marks a page in a directory or pointer table."""

    P = 1 << 0
    RW = 1 << 1
    US = 1 << 2
    PWT = 1 << 3
    PCD = 1 << 4
    A = 1 << 5
    D = 1 << 6
    PS = 1 << 7
    G = 1 << 8
    XD = 1 << 63


class CodeData(IntFlag):
    """Type bits of a code or data segment (3.4.5.1). W and E are R and C where CODE is set."""

    A = 1
    W = 2
    R = 2
    E = 4
    C = 4
    CODE = 8


class SystemType(IntEnum):
    """Types of a system segment (3.5). TSS is a 32-bit one, or a 64-bit one in IA-32e mode."""

    TSS16_AVAILABLE = 1
    LDT = 2
    TSS16_BUSY = 3
    TSS_AVAILABLE = 9
    TSS_BUSY = 11


class SegmentDescriptor(Struct, size=8):
    """A descriptor in a table (3.4.5), with Linux's names (``struct desc_struct``).

    `access` is type, S, DPL and P; `flags` is limit 19:16, AVL, L, D/B and G.
    """

    limit0: int = u16(0)
    base0: int = u16(2)
    base1: int = u8(4)
    access: int = u8(5)
    flags: int = u8(6)
    base2: int = u8(7)


class SystemDescriptor64(Struct, size=16):
    """An LDT or TSS descriptor in IA-32e mode (8.2.3): two places of a table."""

    limit0: int = u16(0)
    base0: int = u16(2)
    base1: int = u8(4)
    access: int = u8(5)
    flags: int = u8(6)
    base2: int = u8(7)
    base3: int = u32(8)


class PseudoDescriptor32(Struct, size=6):
    """What LGDT and LIDT read outside 64-bit mode (3.5.1)."""

    limit: int = u16(0)
    base: int = u32(2)


class PseudoDescriptor64(Struct, size=10):
    """What LGDT and LIDT read in 64-bit mode (3.5.1)."""

    limit: int = u16(0)
    base: int = u64(2)
