"""A firmware on the emulator: its functions are code that is entered as a program's calls enter it.

At each call the processor must be as the UEFI specification 2.10 has it (2.3.2 IA-32, 2.3.4 x64):
the firmware's own mode, tables, segments and stack, aligned, interrupts as they were. Behind each
call everything that the calling convention leaves to the callee holds garbage: registers, the
arguments' place, and the stack below.
"""

from __future__ import annotations

import ctypes
import struct

from unicorn import UC_HOOK_CODE, x86_const
from unicorn.unicorn_py3.unicorn import uclib

from stub import efi_tables as t
from stub.efi_services import INT, LONG, RIGHT_AFTER_FAILED_EXIT, SIGNATURES, Exited

ROM_SIZE = 0x2000
LASTING, RETURN, EXCEPTION = 0x1000, 0xF00, 0xF80
"""In its code: where runtime services begin; where a program returns to; where exceptions go."""
_CODE = (0x00, 0xE00), (LASTING, LASTING + 0x200)
"""What a program may enter; a run ends where a program returns."""
ROM = (
    (b"\xc3" + bytes(t.SLOT - 1)) * (0xE00 // t.SLOT)
    + b"\xf4" * 0x200
    + ((b"\xc3" + bytes(t.SLOT - 1)) * (0x200 // t.SLOT)).ljust(0x1000, b"\xf4")
)
"""Every function is a return: what it does, Python has done before."""
_IF = 1 << 9
_STATUS_FLAGS = 0x8D5
_BELOW = 0x180
_WRITTEN = ("EFLAGS", "RAX", "RCX", "RDX", "R8", "R9", "R10", "R11")
_HALVES = ("RBX", "RBP", "RSI", "RDI", "R12", "R13", "R14", "R15")
"""Of 32-bit code only lower halves of registers are anybody's; behind it the rest is undefined."""
_KEPT = (3, 5, 6, 7)
_UPPER = 0xFFFFFFFF << 32
_RCX, _RDX, _RSP, _R8, _R9 = 1, 2, 4, 8, 9


def functions(rom):
    """Where each is."""
    return t.slots(rom, t.FUNCTIONS) | t.slots(rom + LASTING, t.RUNTIME_SERVICES)


def code(rom):
    return tuple((rom + start, rom + end) for start, end in _CODE)


class Firmware:
    """It serves whatever runs on one emulator.

    :param rom: where its code is
    """

    def __init__(self, emulator, rom):
        self._emulator = emulator
        engine = emulator._engine
        self._state, self._uc = engine.state, engine._uc
        self._names = {at: name for name, at in functions(rom).items()}
        for start, end in code(rom):
            self._uc.hook_add(UC_HOOK_CODE, self._called, None, start, end - 1)
        names = _WRITTEN + _HALVES
        self._values = (ctypes.c_uint64 * len(names))()
        self._pointers = (ctypes.c_void_p * len(names))()
        base = ctypes.addressof(self._values)
        self._pointers[:] = [base + 8 * n for n in range(len(names))]
        numbers = [getattr(x86_const, f"UC_X86_REG_{name}") for name in names]
        self._numbers = (ctypes.c_int * len(names))(*numbers)

    def start(self, services, cpu, stack, chance, faults=None):
        """After the emulator has loaded memory and the processor.

        :param stack: the range of it
        :param faults: errors by the number of the call that fails with them
        """
        self.services, self._stack, self._chance = services, stack, chance
        self._wide = services.width == 8
        self._faults = faults or {}
        self.calls = []
        """The names of the functions that were called, in order."""
        self.failed = []
        """Those that were made to fail, and how."""
        self._junk = services.told.garbage
        self._state.look()
        self._before = self._tables()
        self._interrupts = cpu.rflags & _IF
        self.on_leave = lambda: None

    def _tables(self):
        # Segments, descriptor tables, control registers; an LTR cannot be taken back, nor CR2.
        record = self._state.record
        at, kind = ctypes.addressof(record), type(record)
        tables = ctypes.string_at(at + kind.gdt.offset, 2 * kind.gdt.size)
        segments = ctypes.string_at(at + kind.segs.offset, kind.gdt.size * (8 if self._wide else 6))
        return segments, tables, record.cr[0], record.cr[3], record.cr[4], self._state._efer.value

    def check_state(self):
        """The processor is as it was when the program was entered."""
        assert self._tables() == self._before
        record = self._state.record
        assert record.df == 1, "DF is set"
        assert record.eflags & _IF == self._interrupts, hex(record.eflags)

    def _called(self, _uc, address, _size, _data):
        name = self._names[address]
        self._state.look()
        self.check_state()
        record, services = self._state.record, self.services
        regs = record.regs
        rsp = regs[_RSP] if self._wide else regs[_RSP] & 0xFFFFFFFF
        assert name in SIGNATURES, f"{name}: none that is needed"
        lasting = name in t.RUNTIME_SERVICES
        assert lasting or not services.gone, f"{name} after boot services"
        assert not services.leaving or name in RIGHT_AFTER_FAILED_EXIT, f"{name} while leaving"
        self.calls.append(name)
        arguments, top = self._arguments(SIGNATURES[name], regs, rsp)
        low, high = self._stack
        # 2.3.2, 2.3.4: aligned to 16 at the call; room for what is called.
        assert (rsp + self.services.width) % 16 == 0, f"{name}: stack at {rsp:#x}"
        assert low + 0x1000 <= rsp, f"{name}: stack at {rsp:#x}"
        assert top <= high, f"{name}: stack at {rsp:#x}"
        number = len(self.calls) - 1
        if number in self._faults:
            status = self._faults[number]
            self.failed.append((name, status))
        else:
            try:
                status = getattr(services, name)(*arguments)
            except Exited:
                self._uc.emu_stop()
                self._emulator._end(EXITED)
                return
        if name == "ExitBootServices" and not status:
            self.on_leave()
        self._clobber(rsp, top, status)

    def _arguments(self, signature, regs, rsp):
        # And where on the stack they end.
        memory = self._emulator.memory
        if not self._wide:
            words = sum(2 if kind == LONG else 1 for kind in signature)
            data = memory.read(rsp + 4, 4 * words)
            found = []
            for kind in signature:
                size = 8 if kind == LONG else 4
                found.append(int.from_bytes(data[:size], "little"))
                data = data[size:]
            return found, rsp + 4 + 4 * words
        values = [regs[_RCX], regs[_RDX], regs[_R8], regs[_R9]]
        count = max(len(signature), 4)
        more = memory.read(rsp + 40, 8 * (count - 4))
        values += [int.from_bytes(more[n : n + 8], "little") for n in range(0, len(more), 8)]
        found = [
            value & 0xFFFFFFFF if kind == INT else value
            for value, kind in zip(values, signature, strict=False)
        ]
        return found, rsp + 8 + 8 * count

    def _clobber(self, rsp, top, status):
        junk, width, values = self._junk, self.services.width, self._values
        at = self._chance.randrange(len(junk) - 0x400)
        self._emulator.memory.write(rsp - _BELOW, junk[at : at + _BELOW])
        self._emulator.memory.write(rsp + width, junk[at : at + top - rsp - width])
        values[:] = struct.unpack_from(f"<{len(values)}Q", junk, at)
        result = status | bool(status) << 8 * width - 1
        values[0] = 2 | self._interrupts | values[0] & _STATUS_FLAGS
        values[1] = result if self._wide else values[1] & _UPPER | result
        count = len(_WRITTEN)
        if not self._wide:
            count = len(values)
            for number, register in enumerate(_KEPT, len(_WRITTEN)):
                kept = self._state.record.regs[register] & 0xFFFFFFFF
                values[number] = values[number] & _UPPER | kept
        assert uclib.uc_reg_write_batch(self._uc._uch, self._numbers, self._pointers, count) == 0


EXITED = "exited"
"""A run's reason, where Exit was called."""
