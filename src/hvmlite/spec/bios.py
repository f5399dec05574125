"""What a PC's BIOS keeps in the first 1.25 KiB of memory: interrupt vectors and its data area.

IBM Personal System/2 and Personal Computer BIOS Interface Technical Reference (1987), section 3;
Ralf Brown's Interrupt List, MEMORY.LST, for what came later.
"""

from __future__ import annotations

from enum import IntFlag

from hvmlite.wire import Struct, array, u8, u16, u32

__all__ = ["INT13", "BiosDataArea", "Equipment", "FarPointer"]

INT13 = b"\xcd\x13"
"""The instruction INT 13h, the BIOS's disk services."""


class FarPointer(Struct, size=4):
    """An interrupt vector of real mode (Intel SDM volume 3, 21.1.4)."""

    offset: int = u16(0)
    segment: int = u16(2)


class Equipment(IntFlag):
    """The equipment word; bits 9-11 hold the number of serial ports."""

    FPU = 1 << 1
    COLOR_80X25 = 1 << 5
    SERIAL_PORT = 1 << 9


class BiosDataArea(Struct, size=0x100):
    """The BIOS data area at 0x400, as far as a machine without drives and keyboard has it."""

    serial_ports: tuple[int, ...] = array(0x00, 2, 4)
    ebda_segment: int = u16(0x0E)
    equipment: int = u16(0x10)
    base_memory_kib: int = u16(0x13)
    keyboard_head: int = u16(0x1A)
    keyboard_tail: int = u16(0x1C)
    video_mode: int = u8(0x49)
    columns: int = u16(0x4A)
    page_size: int = u16(0x4C)
    cursor_shape: int = u16(0x60)
    crtc_port: int = u16(0x63)
    ticks: int = u32(0x6C)
    hard_disks: int = u8(0x75)
    keyboard_start: int = u16(0x80)
    keyboard_end: int = u16(0x82)
    last_row: int = u8(0x84)
    character_height: int = u16(0x85)
