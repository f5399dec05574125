"""ACPI tables: ACPI 6.5 chapters 5 and 15, HPET 1.0a 3.2.4, PCI Firmware 3.3 4.1.2 (MCFG).

Field names are those of ACPICA's actbl*.h, the header that Linux, FreeBSD and Xen share.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from hvmlite.wire import Struct, nested, raw, u8, u16, u32, u64

__all__ = [
    "AccessSize",
    "AddressSpace",
    "Facs",
    "Fadt",
    "FadtBootFlag",
    "FadtFlag",
    "GenericAddress",
    "Hpet",
    "IntiFlag",
    "Madt",
    "MadtFlag",
    "MadtInterruptOverride",
    "MadtIoApic",
    "MadtLapicFlag",
    "MadtLocalApic",
    "MadtLocalApicNmi",
    "MadtLocalX2apic",
    "MadtLocalX2apicNmi",
    "MadtType",
    "McfgAllocation",
    "Rsdp",
    "TableHeader",
]


class AddressSpace(IntEnum):
    """Where a register lies (table 5.1)."""

    SYSTEM_MEMORY = 0
    SYSTEM_IO = 1


class AccessSize(IntEnum):
    """How wide an access to a register is (table 5.1)."""

    UNDEFINED = 0
    BYTE = 1
    WORD = 2
    DWORD = 3
    QWORD = 4


class GenericAddress(Struct, size=12):
    """Generic address structure (5.2.3.2)."""

    space_id: int = u8(0)
    bit_width: int = u8(1)
    bit_offset: int = u8(2)
    access_width: int = u8(3)
    address: int = u64(4)


class Rsdp(Struct, size=36):
    """Root system description pointer, revision 2 (5.2.5.3).

    `checksum` covers the first 20 bytes, `extended_checksum` all.
    """

    signature: bytes = raw(0, 8)
    checksum: int = u8(8)
    oem_id: bytes = raw(9, 6)
    revision: int = u8(15)
    rsdt_physical_address: int = u32(16)
    length: int = u32(20)
    xsdt_physical_address: int = u64(24)
    extended_checksum: int = u8(32)


class TableHeader(Struct, size=36):
    """What every table but RSDP and FACS starts with (5.2.6); all bytes of a table sum to 0."""

    signature: bytes = raw(0, 4)
    length: int = u32(4)
    revision: int = u8(8)
    checksum: int = u8(9)
    oem_id: bytes = raw(10, 6)
    oem_table_id: bytes = raw(16, 8)
    oem_revision: int = u32(24)
    asl_compiler_id: bytes = raw(28, 4)
    asl_compiler_revision: int = u32(32)


class FadtFlag(IntFlag):
    """Fixed feature flags (table 5.10)."""

    WBINVD = 1 << 0
    WBINVD_FLUSH = 1 << 1
    PROC_C1 = 1 << 2
    P_LVL2_UP = 1 << 3
    PWR_BUTTON = 1 << 4
    """There is no power button in the fixed registers."""
    SLP_BUTTON = 1 << 5
    """There is no sleep button in the fixed registers."""
    FIX_RTC = 1 << 6
    """The RTC's wake status is not in the fixed registers."""
    RTC_S4 = 1 << 7
    TMR_VAL_EXT = 1 << 8
    DCK_CAP = 1 << 9
    RESET_REG_SUP = 1 << 10
    SEALED_CASE = 1 << 11
    HEADLESS = 1 << 12
    CPU_SW_SLP = 1 << 13
    PCI_EXP_WAK = 1 << 14
    USE_PLATFORM_CLOCK = 1 << 15
    HW_REDUCED_ACPI = 1 << 20
    LOW_POWER_S0_IDLE_CAPABLE = 1 << 21


class FadtBootFlag(IntFlag):
    """IAPC_BOOT_ARCH: what a PC has, or no longer has (table 5.11)."""

    LEGACY_DEVICES = 1 << 0
    I8042 = 1 << 1
    NO_VGA = 1 << 2
    NO_MSI = 1 << 3
    NO_ASPM = 1 << 4
    NO_CMOS_RTC = 1 << 5


class Fadt(Struct, size=276):
    """Fixed ACPI description table, revision 6 (5.2.9)."""

    header: TableHeader = nested(0, TableHeader)
    facs: int = u32(36)
    dsdt: int = u32(40)
    preferred_profile: int = u8(45)
    sci_interrupt: int = u16(46)
    smi_command: int = u32(48)
    acpi_enable: int = u8(52)
    acpi_disable: int = u8(53)
    s4_bios_request: int = u8(54)
    pstate_control: int = u8(55)
    pm1a_event_block: int = u32(56)
    pm1b_event_block: int = u32(60)
    pm1a_control_block: int = u32(64)
    pm1b_control_block: int = u32(68)
    pm2_control_block: int = u32(72)
    pm_timer_block: int = u32(76)
    gpe0_block: int = u32(80)
    gpe1_block: int = u32(84)
    pm1_event_length: int = u8(88)
    pm1_control_length: int = u8(89)
    pm2_control_length: int = u8(90)
    pm_timer_length: int = u8(91)
    gpe0_block_length: int = u8(92)
    gpe1_block_length: int = u8(93)
    gpe1_base: int = u8(94)
    cst_control: int = u8(95)
    c2_latency: int = u16(96)
    c3_latency: int = u16(98)
    flush_size: int = u16(100)
    flush_stride: int = u16(102)
    duty_offset: int = u8(104)
    duty_width: int = u8(105)
    day_alarm: int = u8(106)
    month_alarm: int = u8(107)
    century: int = u8(108)
    boot_flags: int = u16(109)
    flags: int = u32(112)
    reset_register: GenericAddress = nested(116, GenericAddress)
    reset_value: int = u8(128)
    arm_boot_flags: int = u16(129)
    minor_revision: int = u8(131)
    xfacs: int = u64(132)
    xdsdt: int = u64(140)
    xpm1a_event_block: GenericAddress = nested(148, GenericAddress)
    xpm1b_event_block: GenericAddress = nested(160, GenericAddress)
    xpm1a_control_block: GenericAddress = nested(172, GenericAddress)
    xpm1b_control_block: GenericAddress = nested(184, GenericAddress)
    xpm2_control_block: GenericAddress = nested(196, GenericAddress)
    xpm_timer_block: GenericAddress = nested(208, GenericAddress)
    xgpe0_block: GenericAddress = nested(220, GenericAddress)
    xgpe1_block: GenericAddress = nested(232, GenericAddress)
    sleep_control: GenericAddress = nested(244, GenericAddress)
    sleep_status: GenericAddress = nested(256, GenericAddress)
    hypervisor_id: bytes = raw(268, 8)


class Facs(Struct, size=64):
    """Firmware ACPI control structure, version 2 (5.2.10); it has no checksum."""

    signature: bytes = raw(0, 4)
    length: int = u32(4)
    hardware_signature: int = u32(8)
    firmware_waking_vector: int = u32(12)
    global_lock: int = u32(16)
    flags: int = u32(20)
    xfirmware_waking_vector: int = u64(24)
    version: int = u8(32)
    ospm_flags: int = u32(36)


class MadtFlag(IntFlag):
    """Multiple APIC flags (table 5.20): there are also two 8259 that must be masked."""

    PCAT_COMPAT = 1 << 0


class MadtType(IntEnum):
    """Interrupt controller structures (table 5.21)."""

    LOCAL_APIC = 0
    IO_APIC = 1
    INTERRUPT_OVERRIDE = 2
    LOCAL_APIC_NMI = 4
    LOCAL_X2APIC = 9
    LOCAL_X2APIC_NMI = 10


class MadtLapicFlag(IntFlag):
    """Local APIC flags (table 5.23)."""

    ENABLED = 1 << 0
    ONLINE_CAPABLE = 1 << 1


class IntiFlag(IntFlag):
    """Polarity and trigger mode (table 5.26); 0 means "as the bus does it"."""

    ACTIVE_HIGH = 1
    ACTIVE_LOW = 3
    EDGE = 1 << 2
    LEVEL = 3 << 2


class Madt(Struct, size=44):
    """Multiple APIC description table (5.2.12); structures with type and length follow."""

    header: TableHeader = nested(0, TableHeader)
    address: int = u32(36)
    flags: int = u32(40)


class MadtLocalApic(Struct, size=8):
    """Processor local APIC (5.2.12.2)."""

    type: int = u8(0, MadtType.LOCAL_APIC)
    length: int = u8(1, 8)
    processor_id: int = u8(2)
    id: int = u8(3)
    lapic_flags: int = u32(4)


class MadtIoApic(Struct, size=12):
    """I/O APIC (5.2.12.3)."""

    type: int = u8(0, MadtType.IO_APIC)
    length: int = u8(1, 12)
    id: int = u8(2)
    address: int = u32(4)
    global_irq_base: int = u32(8)


class MadtInterruptOverride(Struct, size=10):
    """Interrupt source override (5.2.12.5); `bus` 0 is ISA."""

    type: int = u8(0, MadtType.INTERRUPT_OVERRIDE)
    length: int = u8(1, 10)
    bus: int = u8(2)
    source_irq: int = u8(3)
    global_irq: int = u32(4)
    inti_flags: int = u16(8)


class MadtLocalApicNmi(Struct, size=6):
    """Local APIC NMI (5.2.12.7); `processor_id` 0xFF means all."""

    type: int = u8(0, MadtType.LOCAL_APIC_NMI)
    length: int = u8(1, 6)
    processor_id: int = u8(2)
    inti_flags: int = u16(3)
    lint: int = u8(5)


class MadtLocalX2apic(Struct, size=16):
    """Processor local x2APIC (5.2.12.12), for APIC ids from 255."""

    type: int = u8(0, MadtType.LOCAL_X2APIC)
    length: int = u8(1, 16)
    local_apic_id: int = u32(4)
    lapic_flags: int = u32(8)
    uid: int = u32(12)


class MadtLocalX2apicNmi(Struct, size=12):
    """Local x2APIC NMI (5.2.12.13); `uid` 0xFFFFFFFF means all."""

    type: int = u8(0, MadtType.LOCAL_X2APIC_NMI)
    length: int = u8(1, 12)
    inti_flags: int = u16(2)
    uid: int = u32(4)
    lint: int = u8(8)


class Hpet(Struct, size=56):
    """HPET description table (HPET specification 1.0a, 3.2.4)."""

    header: TableHeader = nested(0, TableHeader)
    id: int = u32(36)
    address: GenericAddress = nested(40, GenericAddress)
    sequence: int = u8(52)
    minimum_tick: int = u16(53)
    flags: int = u8(55)


class McfgAllocation(Struct, size=16):
    """One configuration space of the MCFG (PCI Firmware 3.3, table 4-3)."""

    address: int = u64(0)
    pci_segment: int = u16(8)
    start_bus_number: int = u8(10)
    end_bus_number: int = u8(11)
