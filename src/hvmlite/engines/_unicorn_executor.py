"""Unicorn with a machine's memory and ports: executes until there is something to decide."""

from __future__ import annotations

import ctypes
from functools import partial
from typing import TYPE_CHECKING

from hvmlite.engines._unicorn_interrupts import PF, UD, Interrupt
from hvmlite.engines._unicorn_library import hole, library, rdtsc_hook
from hvmlite.engines._unicorn_state import State
from hvmlite.errors import EngineLost, RequestError
from hvmlite.model import CpuState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from unicorn import Uc

    from hvmlite.engines._unicorn_memory import PhysicalMemory
    from hvmlite.engines._unicorn_ports import Ports

__all__ = ["PHYSICAL", "Executor", "Range", "outside"]

Range = tuple[int, int]
"""Start and end, the end not included."""

PHYSICAL = 1 << 40
"""Where physical addresses end, as on most processors that QEMU knows."""
_LINEAR = 1 << 64
_LOST_KEPT = 1000


class Executor:
    """One Unicorn object and its processor.

    :param model: the processor that CPUID tells of, by Unicorn's name without ``UC_CPU_X86_``
    :param called: asked at each software interrupt, with its vector and the state of
        :meth:`State.look`, whether it has seen to it by :meth:`State.go_on`
    :raises EngineUnavailable: Unicorn is not there or not as expected
    :raises RequestError: there is no such model
    """

    def __init__(
        self, memory: PhysicalMemory, ports: Ports, model: str, called: Callable[[int], bool]
    ) -> None:
        self._lib = library()
        number = getattr(self._lib.x86_const, f"UC_CPU_X86_{model}", None)
        if number is None:
            raise RequestError(
                f"processor {model}: not known, one of Unicorn's needed", field="cpu"
            )
        self._uc: Uc = self._lib.Uc(self._lib.UC_ARCH_X86, self._lib.UC_MODE_64)
        self._uc.ctl_set_cpu_model(number)
        # emu_start() wants an address to stop at, and looks it up by the guest's page tables when
        # it returns: where it is not mapped, that is a page fault, which changes CR2 and makes a
        # double fault of the guest's next one. With a set of such addresses instead, it has none.
        self._uc.ctl_exits_enabled(True)
        self.lost: list[Range] = []
        """Physical ranges without RAM that were written to, the first ones."""
        self.state = State(self._uc)
        self._called = called
        self._rip = self._lib.x86_const.UC_X86_REG_RIP
        self._rcx = self._lib.x86_const.UC_X86_REG_RCX
        self._vector: int | None = None
        self._missing = ""
        self._code_hooks: list[int] = []
        self._write_hooks: list[int] = []
        self._map(memory)
        self._connect(ports)

    def execute(self, limit: int) -> Interrupt | None:
        """Go on for up to `limit` instructions; returns what has to be delivered before more.

        None may mean that the limit was reached, that :meth:`stop` was called, or HLT. The state of
        an interrupt is that of :meth:`State.seen`.

        :raises EngineLost: Unicorn cannot go on
        """
        self._enter(limit)
        if self._vector is None or self._vector == UD:
            return None if self._vector is None else Interrupt(UD)
        software = self.state.software
        address = self.state.seen().cr2 if self._vector == PF and not software else None
        return Interrupt(self._vector, self.state.error_code, software, address)

    @property
    def rcx(self) -> int:
        """RCX, for a watch."""
        return int(self._uc.reg_read(self._rcx))

    def stop(self) -> None:
        """Make :meth:`execute` return before the next instruction; from any thread."""
        self._uc.emu_stop()

    def forget_translations(self) -> None:
        """Look up all code and pages again: memory was changed otherwise than by the guest."""
        self._uc.ctl_flush_tb()
        self.state.forget_pages()

    def forget_translations_of(self, ranges: Iterable[Range]) -> None:
        """Look up the code in some physical ranges again; the processor is reset."""
        self.state.reset(CpuState())  # the library looks up where it is by the guest's page tables
        for start, end in ranges:
            self._uc.ctl_remove_cache(start, end)

    def watch_code(
        self,
        ranges: Iterable[Range],
        reached: Callable[[int], None],
        each: Callable[[int], None] | None,
    ) -> None:
        """Call `reached` before instructions in the linear `ranges`, then `each` before every one.

        Both get the instruction's address. All code is translated again: calls are a part of it.
        """

        def called(back: Callable[[int], None]) -> Callable[..., None]:
            return lambda _uc, address, _size, _data: back(address)

        kind = self._lib.UC_HOOK_CODE
        self._drop(self._code_hooks)
        for start, end in ranges:
            self._code_hooks.append(self._add(kind, called(reached), start, end))
        if each is not None:
            self._code_hooks.append(self._uc.hook_add(kind, called(each)))
        self.forget_translations()

    def watch_writes(self, ranges: Iterable[Range], written: Callable[[int, int], None]) -> None:
        """Call back after each write to the physical `ranges`, with its address and size.

        Code is translated again only if there was nothing to watch before, or is no more.
        """

        def called(
            _uc: object, _access: int, address: int, size: int, _value: int, _data: object
        ) -> None:
            written(address, size)

        before = bool(self._write_hooks)
        self._drop(self._write_hooks)
        kind = self._lib.UC_HOOK_MEM_WRITE
        self._write_hooks += [self._add(kind, called, start, end) for start, end in ranges]
        if before != bool(self._write_hooks):
            self.forget_translations()

    def close(self) -> None:
        """Give Unicorn's memory back; only once."""
        del self._alive, self.state, self._uc, self._holes

    def _add(self, kind: int, back: Callable[..., None], start: int, end: int) -> int:
        return int(self._uc.hook_add(kind, back, None, start, end - 1))

    def _drop(self, hooks: list[int]) -> None:
        # The library forgets translations where the hooks were, which it looks up by the guest's
        # page tables: page faults, as above.
        with self.state.kept():
            for handle in hooks:
                self._uc.hook_del(handle)
        hooks.clear()

    def _enter(self, limit: int) -> None:
        self._vector, self._missing = None, ""
        try:
            self._uc.emu_start(self._uc.reg_read(self._rip), 0, 0, limit)
        except self._lib.UcError as error:
            if self._vector is None:
                raise EngineLost(f"unicorn: {str(error).lower()}", engine="unicorn") from error
        if self._missing:
            raise EngineLost(
                f"unicorn: {self._missing} found, which is not emulated", engine="unicorn"
            )

    def _map(self, memory: PhysicalMemory) -> None:
        base = ctypes.addressof(ctypes.c_char.from_buffer(memory.buffer))
        for block in memory.blocks:
            place = base + block.offset
            self._uc.mem_map_ptr(block.start, block.size, self._lib.UC_PROT_ALL, place)
        holes = outside([(block.start, block.end) for block in memory.blocks], PHYSICAL)
        self._holes = [hole(self._uc, start, end, self._lose) for start, end in holes]

    def _lose(self, address: int, size: int) -> None:
        if len(self.lost) < _LOST_KEPT:
            self.lost.append((address, address + size))

    def _connect(self, ports: Ports) -> None:
        lib, const, uc = self._lib, self._lib.x86_const, self._uc

        def read(_uc: object, port: int, size: int, _data: object) -> int:
            return ports.read(port, size)

        def write(_uc: object, port: int, size: int, value: int, _data: object) -> None:
            ports.write(port, size, value & (1 << 8 * size) - 1)

        uc.hook_add(lib.UC_HOOK_INSN, read, None, 1, 0, const.UC_X86_INS_IN)
        uc.hook_add(lib.UC_HOOK_INSN, write, None, 1, 0, const.UC_X86_INS_OUT)
        uc.hook_add(lib.UC_HOOK_INTR, self._interrupted)
        uc.hook_add(lib.UC_HOOK_INSN_INVALID, lambda _uc, _data: self._invalid())
        for name in ("SYSCALL", "SYSENTER"):
            instruction = getattr(const, f"UC_X86_INS_{name}")
            uc.hook_add(lib.UC_HOOK_INSN, partial(self._unable, name), None, 1, 0, instruction)
        # Where there is no RAM all ones are read: an invalid opcode.
        fetches = lib.UC_HOOK_MEM_FETCH_PROT | lib.UC_HOOK_MEM_FETCH_UNMAPPED
        uc.hook_add(fetches, lambda *_: self._invalid())
        self._alive = rdtsc_hook(uc, ports.tsc)

    def _interrupted(self, uc: Uc, vector: int, _data: object) -> None:
        if self._vector is None:
            self.state.look()  # CR2 and the error code are the next exception's soon
            if self.state.software and self._called(vector):
                return
            self._vector = vector
        uc.emu_stop()

    def _unable(self, name: str, uc: Uc, _data: object) -> None:
        # The library would go on behind it as if it had done something.
        self._missing = name
        uc.emu_stop()

    def _invalid(self) -> bool:
        if self._vector is None:
            self._vector = UD
            self.state.look()  # CR2 is something else soon
        return False  # and so it ends with an error


def outside(ranges: Iterable[Range], top: int = _LINEAR) -> tuple[Range, ...]:
    """Return what `ranges` leave of the addresses below `top`."""
    left, at = [], 0
    for start, end in sorted(ranges):
        if at < start:
            left.append((at, start))
        at = max(at, end)
    if at < top:
        left.append((at, top))
    return tuple(left)
