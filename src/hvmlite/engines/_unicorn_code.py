"""The few instructions that the emulator has to know by their bytes (SDM volume 2, chapter 2)."""

from __future__ import annotations

from hvmlite.model import Mode

__all__ = ["LONGEST", "is_hlt", "repeat_mask"]

LONGEST = 15
"""Bytes of the longest instruction."""
_HLT = 0xF4
_ADDRESS_SIZE, _REX = 0x67, 0x40
_PREFIXES = {0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, _ADDRESS_SIZE, 0xF0, 0xF2, 0xF3}
_STRING = {0x6C, 0x6D, 0x6E, 0x6F, 0xA4, 0xA5, 0xA6, 0xA7, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xAF}


def is_hlt(code: bytes, mode: Mode) -> bool:
    """Return whether `code`, at least one byte, is HLT and nothing else."""
    return code[-1] == _HLT and all(_is_prefix(byte, mode) for byte in code[:-1])


def repeat_mask(code: bytes, mode: Mode) -> int:
    """Return the bits of RCX that count, where `code` is a string instruction with REP; else 0."""
    repeated = other_size = False
    for byte in code:
        if byte in (0xF2, 0xF3):
            repeated = True
        elif byte == _ADDRESS_SIZE:
            other_size = True
        elif not _is_prefix(byte, mode):
            if not repeated or byte not in _STRING:
                return 0
            break
    else:
        return 0
    if mode is Mode.LONG:
        return 0xFFFF_FFFF if other_size else 0xFFFF_FFFF_FFFF_FFFF
    wide = mode in (Mode.PROTECTED32, Mode.COMPATIBILITY)
    return 0xFFFF_FFFF if wide != other_size else 0xFFFF


def _is_prefix(byte: int, mode: Mode) -> bool:
    return byte in _PREFIXES or (mode is Mode.LONG and byte & 0xF0 == _REX)
