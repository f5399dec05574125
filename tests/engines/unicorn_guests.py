"""Guests of the emulator: an instruction or two, loaded into the one that a file has."""

from __future__ import annotations

from engines import raw_guests as raw
from hvmlite.engines._unicorn_emulator import Emulator
from hvmlite.model import CpuState

NOP, HLT, INC_EBX = b"\x90", b"\xf4", b"\xff\xc3"
MASK = (1 << 64) - 1


def loaded(emulator: Emulator, code: bytes, cpu: CpuState = raw.FLAT32, **keywords) -> Emulator:
    emulator.load(raw.plan(code, cpu), **keywords)
    return emulator
