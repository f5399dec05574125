"""INT n in real-address mode, by which all of a BIOS's services are called (SDM volume 3, 20.1.4).

:func:`_unicorn_interrupts.deliver` does the same for everything that is not as usual, ten times as
slowly: it makes two copies of the processor's whole state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.spec.x86 import CR0, RFLAGS

if TYPE_CHECKING:
    from hvmlite.engines._unicorn_memory import PhysicalMemory
    from hvmlite.engines._unicorn_state import State

__all__ = ["call"]

_PE = int(CR0.PE)
_CLEARED = int(RFLAGS.TF | RFLAGS.IF | RFLAGS.AC | RFLAGS.RF)
_CS, _SS = 1, 2
_BIG, _CODE_OR_DOWN = 1 << 22, 3 << 10  # of a segment's flags: D/B, and expand-down of data
_EXPAND_DOWN = 1 << 10
_FRAME = 6


def call(state: State, memory: PhysicalMemory, vector: int) -> int | None:
    """Go to the handler from where :meth:`State.look` was; returns RIP in its frame.

    None, and nothing is done, where there is anything to consider: another mode, an interrupt table
    that is too short, a stack that is no usual one or is too full.
    """
    record = state.record
    if record.cr[0] & _PE or 4 * vector + 3 > record.idt.limit:
        return None
    cs, ss = record.segs[_CS], record.segs[_SS]
    rsp, base = record.regs[4], ss.base
    sp = rsp & 0xFFFF
    usual = not ss.flags & _BIG and ss.flags & _CODE_OR_DOWN != _EXPAND_DOWN
    if not (usual and _FRAME <= sp <= ss.limit + 1 and base + sp <= 1 << 32):
        return None
    entry = memory.read(record.idt.base + 4 * vector & 0xFFFF_FFFF, 4)
    rip = record.eip & 0xFFFF
    frame = rip | (cs.selector & 0xFFFF) << 16 | (state.flags & 0xFFFF) << 32
    memory.write(base + sp - _FRAME, frame.to_bytes(_FRAME, "little"))
    record.regs[4] = rsp - _FRAME
    record.eip = int.from_bytes(entry[:2], "little")
    cs.selector = int.from_bytes(entry[2:], "little")
    cs.base = cs.selector << 4
    record.eflags &= ~_CLEARED
    state.go_on()
    return int(rip)
