"""One PC with one processor, emulated instruction by instruction and the same way each time.

For tests and tools: :class:`Emulator` runs code from any state of a processor up to an address, an
end or a budget, and shows the processor and the memory between.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hvmlite.engines._unicorn_code import LONGEST, is_hlt, repeat_mask
from hvmlite.engines._unicorn_executor import PHYSICAL, Executor, outside
from hvmlite.engines._unicorn_interrupts import DB, TripleFault, deliver
from hvmlite.engines._unicorn_memory import Access, PageFault, PhysicalMemory, translate
from hvmlite.engines._unicorn_ports import Ports
from hvmlite.engines._unicorn_real import call
from hvmlite.engines._unicorn_stop import Fault, Reason, Stop
from hvmlite.errors import EngineLost, UnsupportedError
from hvmlite.model import Mode
from hvmlite.spec.x86 import CR4

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hvmlite.engines._unicorn_executor import Range
    from hvmlite.engines._unicorn_interrupts import Interrupt
    from hvmlite.model import CpuState, GuestPlan, Machine, Outcome
    from hvmlite.wire import Buffer

__all__ = ["Emulator", "Fault", "Reason", "Stop", "linear"]

_PAGE = 0x1000
_BUDGET = 100_000_000
_EXCEPTION_COST = 1000  # of the budget, where instructions are not counted
_FAULTS_KEPT = 1000


class Emulator:
    """A machine that is reused: :meth:`load` a plan, :meth:`run`, look, and load the next.

    :param machine: RAM and fixed hardware, as of a plan; its processors but the first do not run
    :param model: the processor that CPUID tells of, by Unicorn's name without ``UC_CPU_X86_``
    :raises EngineUnavailable: Unicorn is not there or not as expected
    :raises RequestError: there is no such model, or less memory on the host
    """

    def __init__(self, machine: Machine, model: str = "EPYC") -> None:
        self.machine = machine
        self.memory = PhysicalMemory(machine)
        self.ports = Ports(machine.platform, self._ended)
        self._model = model
        self._executor: Executor | None = self._new()
        self.instructions = 0
        """Instructions that were retired in counted runs since :meth:`load`: a REP counts once."""
        self.iterations = 0
        """The same, but each iteration of a REP counts."""
        self.faults: list[Fault] = []
        """Exceptions that were delivered since :meth:`load`, the first thousand."""
        self._stop: Stop | None = None
        self._watched: object = None
        self._writable: tuple[Range, ...] | None = None
        self._until: frozenset[int] = frozenset()
        self._passing: int | None = None
        self._left = 0  # of the budget, but for what :meth:`Executor.execute` counts by itself
        self._cost = 0  # of an exception
        self._executed: set[Range] | None = set()  # since nothing was translated; None: anything
        self._last = -1
        self._repeats: dict[int, int] = {}  # by address: see repeat_mask()

    # The machine.

    def load(self, plan: GuestPlan, cpu: CpuState | None = None, *, keep: bool = False) -> None:
        """Forget what was; fill the RAM by `plan`, and put the processor into its state or `cpu`.

        :param keep: keep what is translated of the code that was run, if it is the same again; for
            runs with `within`, whose code lies where its linear addresses say
        """
        if self._engine.state.marked:
            self._renew()
        before = self._code() if keep else {}
        start = 0
        for piece in plan.pieces:
            self.memory.forget(start, piece.start)
            self.memory.write(piece.start, piece.data)
            self.memory.forget(piece.start + len(piece.data), piece.end)
            start = max(start, piece.end)
        self.memory.forget(start, PHYSICAL)
        if not keep or self._executed is None:
            self._forget_translations()
        elif changed := [each for each, code in self._code().items() if code != before[each]]:
            self._engine.forget_translations_of(changed)
            self._repeats.clear()
        self.ports.reset()
        self.instructions = self.iterations = 0
        self.lost.clear()
        self.faults.clear()
        self.cpu = plan.cpu if cpu is None else cpu

    @property
    def cpu(self) -> CpuState:
        """The processor's state; setting it resets what :class:`CpuState` has no field for."""
        return self._engine.state.read()

    @cpu.setter
    def cpu(self, cpu: CpuState) -> None:
        self._engine.state.reset(cpu)

    @property
    def lost(self) -> list[Range]:
        """Physical ranges without RAM that were written to since :meth:`load`, the first thousand.

        Reads there give all ones.
        """
        return self._engine.lost

    def write(self, address: int, data: Buffer) -> None:
        """Write physical memory, which may hold code."""
        self.memory.write(address, data)
        self._forget_translations()

    def read_linear(self, address: int, size: int) -> bytes:
        """Read memory as the processor sees it now, by its page tables.

        :raises PageFault: a page is not there
        """
        return self._look(self.cpu, address, size)

    def _look(self, cpu: CpuState, address: int, size: int) -> bytes:
        cpu, out = replace(cpu, cr4=cpu.cr4 & ~CR4.SMAP), b""  # what code may not touch can be seen
        while len(out) < size:
            at = address + len(out)
            length = min(size - len(out), _PAGE - at % _PAGE)
            out += self.memory.read(translate(self.memory, cpu, at, Access()), length)
        return out

    def close(self) -> None:
        """Give everything back; safe to call twice."""
        if self._executor is not None:
            self._executor.close()
            self._executor = None
            self.memory.forget(0, PHYSICAL)

    # Running.

    def run(
        self,
        until: Iterable[int] = (),
        *,
        within: Iterable[Range] | None = None,
        writes: Iterable[Range] | None = None,
        budget: int = _BUDGET,
        count: bool = False,
    ) -> Stop:
        """Run from the present state on, until something of what :class:`Reason` lists happens.

        Where `until`, `within` and `count` are those of the run before, translated code can be
        used again: code that ends anywhere is better kept `within` than run `until` there.

        :param until: linear addresses of instructions to stop before; the first is not looked at
        :param within: linear ranges that may be executed; all by default
        :param writes: physical ranges that instructions may write to; all by default. What the
            processor writes by itself, frames of exceptions and accessed bits, is not looked at
        :param budget: instructions, iterations of a REP counted each, to stop after; where they are
            not counted an exception is a thousand
        :param count: count instructions, which takes about two microseconds each
        :raises EngineLost: the guest does what cannot be emulated
        """
        self._watch(
            frozenset(until),
            None if within is None else tuple(within),
            None if writes is None else tuple(writes),
            count=count,
        )
        self._stop, self._last = None, -1
        self._passing = self._here()  # if it is watched at all: then it is what is seen first
        stop = self._loop(budget, count=count)
        return stop if stop.reason is Reason.WRITE else replace(stop, address=self._here())

    @property
    def _engine(self) -> Executor:
        assert self._executor is not None, "closed"
        return self._executor

    def _loop(self, budget: int, *, count: bool) -> Stop:
        self._left, self._cost = budget, 0 if count else _EXCEPTION_COST
        if budget <= 0:  # which the library takes for no limit
            self._end(Reason.BUDGET)
        while self._stop is None:
            before = self.iterations
            interrupt = self._engine.execute(self._left)
            if self._stopping():
                continue
            if interrupt is None:
                self._end(Reason.HALTED if self._halted(count=count) else Reason.BUDGET)
                continue
            self._deliver(interrupt, count=count)
            self._spend(max(1, self.iterations - before) if count else self._cost)
        return self._stop

    def _spend(self, budget: int) -> None:
        self._left -= budget
        if self._left <= 0:
            self._end(Reason.BUDGET)

    def _called(self, vector: int) -> bool:
        # A software interrupt that is seen to in the midst of Executor.execute().
        if self._stop is not None or (rip := call(self._engine.state, self.memory, vector)) is None:
            return False
        self._last = -1
        self._note(Fault(vector, rip))
        self._spend(self._cost)
        return True

    def _note(self, fault: Fault) -> None:
        if len(self.faults) < _FAULTS_KEPT:
            self.faults.append(fault)

    def _stopping(self) -> bool:
        return self._stop is not None

    def _deliver(self, interrupt: Interrupt, *, count: bool) -> None:
        state = self._engine.state
        before = state.seen()
        if count and not interrupt.software and interrupt.vector != DB:
            # It was not retired, and will be seen again. What a REP has done so far is done.
            self.instructions -= 1
            self.iterations -= 1
        self._last = -1
        if interrupt.software:
            interrupt = replace(interrupt, length=self._length(before, interrupt.vector))
        try:
            after, handled = deliver(self.memory, before, interrupt)
        except TripleFault:
            state.write(before)
            self._end(Reason.TRIPLE_FAULT, _place(before))
            return
        except UnsupportedError as error:
            state.write(before)
            raise EngineLost(str(error), engine="unicorn") from error
        error_code = handled.error if handled.has_error else None
        rip = before.rip - (0 if handled is interrupt else interrupt.length)
        self._note(Fault(handled.vector, rip, error_code, handled.address))
        state.write(after)

    def _length(self, cpu: CpuState, vector: int) -> int:
        # Of the instruction before, which is CD vv, INT3 or INTO.
        return 2 if self._look(cpu, linear(cpu) - 1, 1)[0] == vector else 1

    def _halted(self, *, count: bool) -> bool:
        # HLT leaves no trace but where the next instruction is. Where instructions are not counted
        # a budget that ends behind such a byte looks the same; it is an end, too.
        cpu = self.cpu
        here = linear(cpu)
        start = self._last if count else here - 1
        if not 0 < here - start <= LONGEST:
            return False
        try:
            code = self._look(cpu, start, here - start)
        except PageFault:
            return False
        return is_hlt(code, cpu.mode)

    def _here(self) -> int:
        return linear(self.cpu)

    def _end(self, reason: Reason, detail: str = "", outcome: Outcome | None = None) -> None:
        # The first reason stands.
        if self._stop is None:
            self._stop = Stop(reason, 0, outcome, detail)
        self._engine.stop()

    def _ended(self, outcome: Outcome) -> None:
        self._end(Reason.ENDED, outcome=outcome)

    # Translated code, and what watches it.

    def _new(self) -> Executor:
        return Executor(self.memory, self.ports, self._model, self._called)

    def _renew(self) -> None:
        self._engine.close()
        self._executor = self._new()
        self._watched = self._writable = self._executed = None

    def _code(self) -> dict[Range, bytes]:
        # What may be translated, where that is known.
        return {each: self.memory.read(each[0], each[1] - each[0]) for each in self._executed or ()}

    def _forget_translations(self) -> None:
        self._engine.forget_translations()
        self._executed = set()
        self._repeats.clear()

    def _watch(
        self,
        until: frozenset[int],
        within: tuple[Range, ...] | None,
        writes: tuple[Range, ...] | None,
        *,
        count: bool,
    ) -> None:
        if (until, within, count) != self._watched:
            ranges = [(at, at + 1) for at in until]
            ranges += [] if within is None else outside(within)
            self._engine.watch_code(ranges, self._fetch, self._count if count else None)
            self._executed = set()
            self._repeats.clear()
            self._watched, self._until = (until, within, count), until
        if writes != self._writable:
            self._engine.watch_writes([] if writes is None else outside(writes), self._written)
            self._writable = writes
        if within is None:
            self._executed = None
        elif self._executed is not None:
            self._executed.update(within)

    def _fetch(self, address: int) -> None:
        if address == self._passing:
            self._passing = None
        else:
            self._end(Reason.UNTIL if address in self._until else Reason.OUTSIDE)

    def _written(self, address: int, size: int) -> None:
        if self._stop is None:
            self._stop = Stop(Reason.WRITE, address, detail=f"{size} bytes")
        self._engine.stop()

    def _count(self, address: int) -> None:
        if self._stop is not None:
            return
        if address == self._last and (mask := self._repeats.get(address) or self._rep(address)):
            # Unicorn is here once more after the last iteration, only to see that it was the last.
            self.iterations += bool(self._engine.rcx & mask)
            return
        self._last = address
        self.instructions += 1
        self.iterations += 1

    def _rep(self, address: int) -> int:
        # It is either a string instruction with REP or one that jumps to itself.
        length = min(LONGEST, _PAGE - address % _PAGE)
        mask = repeat_mask(self.read_linear(address, length), self.cpu.mode)
        self._repeats[address] = mask
        return mask


def linear(cpu: CpuState) -> int:
    """Return the linear address of the next instruction."""
    return cpu.rip if cpu.mode is Mode.LONG else (cpu.cs.base + cpu.rip) & 0xFFFF_FFFF


def _place(cpu: CpuState) -> str:
    # As the engine `qemu` says it.
    rip = "rip" if cpu.mode is Mode.LONG else "eip"
    values = {rip: cpu.rip, "cr0": cpu.cr0, "cr2": cpu.cr2, "cr3": cpu.cr3, "cr4": cpu.cr4}
    return ", ".join(f"{n} {v:#x}" for n, v in {**values, "efer": cpu.efer}.items())
