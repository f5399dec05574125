"""The reset ROM: 64 KiB at the top of 4 GiB that start a processor in any architectural state.

Loading a state piece by piece cannot work for every state: TR wants a writable descriptor, the last
instruction must still be mapped by the guest's page tables and lie within its code segment, and
hidden parts cannot be chosen in real mode. But a processor can load all of it at once: RSM, the
return from system management mode, does so from a table in memory. Hence

1. from the reset vector to flat 32-bit mode; there the writes that firmware would have done;
2. a first SMI, whose handler moves the processor's SMBASE from its reset value, in the midst of
   guest RAM, to SMRAM, which is nobody's RAM. What it overwrote is put back;
3. a second SMI, whose handler sets the MSRs, CR2 and CR8 and replaces the saved state by the wanted
   one: RSM enters the guest.

The code is the same for every plan. What is the plan's, the second handler and the state, lies in
SMRAM, a part of the RAM file that no memory map has: so QEMU can be started, and make its machine,
before there is a plan. A guest that looks there all the same finds both (docs/engines.md).

Nothing of the guest's memory is read or changed (but for the few bytes that are put back), and
nothing is left switched on. The other processors wait for their SIPI as usual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.engines import _q35 as q35
from hvmlite.engines._asm import Code
from hvmlite.engines._check import check
from hvmlite.engines._smm import ENTRY_OFFSET, RESET_SMBASE, SAVE_OFFSET, StateSave, save
from hvmlite.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hvmlite.engines._q35 import MemoryWrite, PortWrite
    from hvmlite.model import CpuState

__all__ = ["SIZE", "build", "handover"]

SIZE = 0x10000
_BASE = (1 << 32) - SIZE
_VECTOR = 0xFFF0  # where a processor starts after reset

_GDT = 0x10  # behind the jump that is the first instruction of real mode's part
_MAIN = 0x100
_HANDLER = 0x9000
_KEPT = 0x100  # how much room the first handler may overwrite
_STATE = q35.SMRAM_START + 0x1000  # before that, what the first SMI overwrites is kept

_TPR = 0xFEE0_0080  # local APIC: task priority, CR8 in bits 4-7 (SDM volume 3, 11.8.6)


def build(setup: Iterable[PortWrite | MemoryWrite] = ()) -> bytes:
    """Return the ROM that does the writes `setup` and then what :func:`handover` says."""
    rom = bytearray(SIZE)

    def put(offset: int, data: bytes | bytearray) -> None:
        rom[offset : offset + len(data)] = data

    main, handler = _main(setup)
    put(0, _real())
    put(_MAIN, main)
    put(_HANDLER, handler)
    put(_VECTOR, b"\xe9" + (-(_VECTOR + 3) & 0xFFFF).to_bytes(2, "little"))  # JMP 0
    return bytes(rom)


def handover(cpu: CpuState) -> tuple[tuple[int, bytes], ...]:
    """Return what must be in SMRAM for the ROM to start `cpu`, as (physical address, bytes).

    :raises RequestError: the processor cannot be in this state; `field` names the register
    :raises UnsupportedError: the ROM cannot bring it there; `feature` names the register
    """
    check(cpu)
    if cpu.cr2 >> 32:
        raise UnsupportedError(
            f"cpu cr2: {cpu.cr2:#x} found, 32 bits needed: the ROM sets it in 32-bit mode",
            feature="cr2",
        )
    return (_STATE, save(cpu).pack()), (q35.SMRAM_START + ENTRY_OFFSET, _enter(cpu))


def _real() -> bytes:
    # 16-bit code at offset 0, CS base is still that of reset; then the ROM's own GDT.
    code = Code(0, bits=16)
    code.emit(b"\xeb", bytes([0x40 - 2]))  # JMP over the table
    code.data.extend(bytes(_GDT - len(code.data)))
    code.emit(bytes(8), _descriptor(0x9B), _descriptor(0x93))
    gdtr = code.here
    code.emit((23).to_bytes(2, "little"), (_BASE + _GDT).to_bytes(4, "little"))
    code.data.extend(bytes(0x40 - len(code.data)))
    code.emit(b"\xfa")  # CLI
    # The 32-bit form, with a CS prefix: the 16-bit form loads 24 bits of base only.
    code.emit(b"\x66\x2e\x0f\x01\x16", gdtr.to_bytes(2, "little"))  # LGDT CS:[gdtr]
    code.emit(b"\x0f\x20\xc0\x0c\x01\x0f\x22\xc0")  # CR0.PE = 1
    code.emit(b"\x66\xea", (_BASE + _MAIN).to_bytes(4, "little"), b"\x08\x00")  # JMP 8:main
    return bytes(code.data)


def _descriptor(access: int) -> bytes:
    return b"\xff\xff\0\0\0" + bytes([access, 0xCF, 0])  # flat, 4 GiB, 32-bit


def _main(setup: Iterable[PortWrite | MemoryWrite]) -> tuple[bytes, bytes]:
    # The 32-bit part and, because each names addresses of the other, the first SMI's handler.
    code = Code(_BASE + _MAIN)
    code.emit(b"\x66\xb8\x10\x00\x8e\xd8\x8e\xc0\x8e\xd0")  # DS, ES, SS = 0x10
    _once(code)
    _write(code, setup)

    spare, entry, area = q35.SMRAM_START, RESET_SMBASE + ENTRY_OFFSET, RESET_SMBASE + SAVE_OFFSET
    _write(code, q35.SMRAM_OPEN)
    code.copy(spare, entry, _KEPT)
    code.copy(spare + _KEPT, area, StateSave.SIZE)
    code.copy(entry, _BASE + _HANDLER, _KEPT)
    code.out(q35.SMI_EN, q35.SMI_APMC, 4)
    code.out(q35.APM_CNT, 0)
    code.spin()
    moved = _move(code.here)
    code.copy(entry, spare, _KEPT)
    code.copy(area, spare + _KEPT, StateSave.SIZE)
    _write(code, q35.SMRAM_CLOSE)
    code.out(q35.APM_CNT, 0)
    code.spin()
    return bytes(code.data), moved.ljust(_KEPT, b"\xf4")


def _once(code: Code) -> None:
    # A guest that jumps to the reset vector wants a reset: its memory is not that of the plan now.
    address, bit = q35.SET_UP
    code.out(0xCF8, address, 4)
    code.emit(b"\xba\xfc\x0c\x00\x00\xec\xa8", bytes([bit]))  # IN AL, 0xCFC; TEST AL, bit
    reset = Code(0)
    reset.out(*q35.RESET)
    reset.spin()
    code.emit(b"\x74", bytes([len(reset.data)]), bytes(reset.data))  # JZ past it


def _write(code: Code, writes: Iterable[PortWrite | MemoryWrite]) -> None:
    for write in writes:
        if isinstance(write, q35.MemoryWrite):
            code.store(*write)
        else:
            code.out(*write)


def _move(resume: int) -> bytes:
    # First SMI: SMBASE becomes SMRAM, and the spinning code goes on at `resume`.
    code = Code(RESET_SMBASE + ENTRY_OFFSET, bits=16)
    area = RESET_SMBASE + SAVE_OFFSET
    code.store(area + StateSave.FIELDS["smbase"].offset, q35.SMRAM_START)
    code.store(area + StateSave.FIELDS["rip"].offset, resume)
    code.rsm()
    return bytes(code.data)


def _enter(cpu: CpuState) -> bytes:
    # Second SMI: no further ones, and back to a state that never was.
    code = Code(q35.SMRAM_START + ENTRY_OFFSET, bits=16)
    for index, value in cpu.msrs:
        code.wrmsr(index, value)
    code.mov_cr2(cpu.cr2)
    code.store(_TPR, cpu.cr8 << 4)
    code.copy(q35.SMRAM_START + SAVE_OFFSET, _STATE, StateSave.SIZE)
    code.out(q35.SMI_EN, 0, 4)
    code.rsm()
    return bytes(code.data)
