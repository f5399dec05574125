"""The emulator's I/O ports: a serial port, the exit port, and the least of a PC's fixed hardware.

What is here answers as the chip does to what boot code asks of it; no chip raises an interrupt. A
port that nobody has reads as all ones and forgets what is written. Time is a fiction that repeats:
an access to a port takes a microsecond, as on an ISA bus, and nothing else takes any.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from hvmlite.engines._q35 import EXIT_PORT
from hvmlite.model import Ending, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from hvmlite.model import Platform

__all__ = ["Ports"]

_DEBUG_CONSOLE = 0xE9
_PIT_HZ, _PM_HZ = 1_193_182, 3_579_545
_SLP_EN, _SCI_EN = 1 << 13, 1
# The clock of a machine that has just been made: 1 January 2000, 00:00:00, a Saturday, in BCD.
_CMOS = {0x06: 7, 0x07: 1, 0x08: 1, 0x0A: 0x26, 0x0B: 0x02, 0x0D: 0x80, 0x32: 0x20}
_FAST_A20, _FAST_RESET = 0x02, 0x01  # of port 0x92


class Ports:
    """The I/O space of one machine.

    :param end: called with the guest's own end: an exit, a reset, a shutdown
    """

    def __init__(self, platform: Platform, end: Callable[[Outcome], None]) -> None:
        self._platform = platform
        self._end = end
        self.serial = bytearray()
        """What was written to the first serial port."""
        self.debug = bytearray()
        """What was written to port 0xE9."""
        self.typed: deque[int] = deque()
        """Bytes that wait at the serial port for the guest to read them."""
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after power-on."""
        self.serial.clear()
        self.debug.clear()
        self.typed.clear()
        self._accesses = 0
        self._tsc = 0
        self._uart = {1: 0, 3: 0, 4: 0, 7: 0}  # IER, LCR, MCR, SCR
        self._divisor = [0x0C, 0]
        self._cmos = 0
        self._kept = {0x21: 0xFF, 0xA1: 0xFF, 0x4D0: 0, 0x4D1: 0x0E, 0x61: 0}  # plain registers
        self._pit = [_Counter() for _ in range(3)]

    def tsc(self) -> int:
        """Return what RDTSC reads: a clock of 1 GHz that also ticks when it is looked at."""
        self._tsc += 1
        return self._accesses * 1000 + self._tsc

    def read(self, port: int, size: int) -> int:
        """Answer an IN of `size` bytes."""
        self._accesses += 1
        if (wide := self._acpi(port)) is not None:
            return wide & (1 << 8 * size) - 1
        return sum(self._read_byte(port + i) << 8 * i for i in range(size))

    def write(self, port: int, size: int, value: int) -> None:
        """Take an OUT of `size` bytes."""
        self._accesses += 1
        if EXIT_PORT <= port < EXIT_PORT + 4:
            # isa-debug-exit ends QEMU with status (value << 1 | 1), of which 8 bits are left.
            self._end(Outcome(Ending.EXITED, value & 0x7F))
            return
        if port == self._pm(4):
            self._sleep(value)
            return
        for i in range(size):
            self._write_byte(port + i, value >> 8 * i & 0xFF)

    def _pm(self, offset: int) -> int:
        base = self._platform.pm_base
        return -1 if base is None else base + offset

    def _acpi(self, port: int) -> int | None:
        if port == self._pm(4):
            return _SCI_EN
        if port == self._pm(8):
            return self._accesses * _PM_HZ // 1_000_000 & 0xFF_FFFF
        return 0 if port in (self._pm(0), self._pm(2)) else None

    def _sleep(self, value: int) -> None:
        if value & _SLP_EN and value >> 10 & 7 == self._platform.s5:
            self._end(Outcome(Ending.SHUTDOWN))

    def _read_byte(self, port: int) -> int:
        if 0x3F8 <= port <= 0x3FF:
            return self._read_uart(port - 0x3F8)
        if port == 0x71:
            return _CMOS.get(self._cmos, 0)
        if 0x40 <= port <= 0x42:
            return self._pit[port - 0x40].read(self._accesses)
        if port == 0x61:
            refresh = self._accesses >> 4 & 1
            out = self._pit[2].out(self._accesses)
            return self._kept[port] & 0x0F | refresh << 4 | out << 5
        if port == 0x92:
            return _FAST_A20
        if EXIT_PORT <= port < EXIT_PORT + 4:
            return 0
        if port == _DEBUG_CONSOLE:
            return _DEBUG_CONSOLE
        if port in (0x20, 0xA0):
            return 0  # of an 8259: no interrupt is requested
        return self._kept.get(port, 0xFF)

    def _write_byte(self, port: int, value: int) -> None:
        if 0x3F8 <= port <= 0x3FF:
            self._write_uart(port - 0x3F8, value)
        elif port == _DEBUG_CONSOLE:
            self.debug.append(value)
        elif port == 0x70:
            self._cmos = value & 0x7F
        elif 0x40 <= port <= 0x42:
            self._pit[port - 0x40].write(value, self._accesses)
        elif port == 0x43 and value >> 6 < 3:
            self._pit[value >> 6].command(value, self._accesses)
        elif (port, value) == self._platform.reset or (port == 0x92 and value & _FAST_RESET):
            self._end(Outcome(Ending.RESET))
        elif port in self._kept:
            self._kept[port] = value

    # A 16550A whose transmitter is always empty.

    def _read_uart(self, register: int) -> int:
        if register < 2 and self._uart[3] & 0x80:
            return self._divisor[register]
        if register == 0:
            return self.typed.popleft() if self.typed else 0
        fixed = {2: 0x01, 5: 0x60 | bool(self.typed), 6: 0xB0}
        return fixed[register] if register in fixed else self._uart[register]

    def _write_uart(self, register: int, value: int) -> None:
        if register < 2 and self._uart[3] & 0x80:
            self._divisor[register] = value
        elif register == 0:
            self.serial.append(value)
        elif register in self._uart:
            self._uart[register] = value


class _Counter:
    """One of the three counters of an 8254."""

    def __init__(self) -> None:
        self._reload, self._start, self._mode = 0x10000, 0, 3
        self._write_access = self._read_access = 3
        self._low: int | None = None
        self._latched: int | None = None
        self._high_next = False

    def command(self, value: int, now: int) -> None:
        access = value >> 4 & 3
        if not access:
            self._latched = self._count(now)
            return
        self._write_access = self._read_access = access
        self._mode, self._low, self._high_next, self._latched = value >> 1 & 7, None, False, None

    def write(self, value: int, now: int) -> None:
        if self._write_access == 3 and self._low is None:
            self._low = value
            return
        word = {1: value, 2: value << 8}.get(self._write_access, value << 8 | (self._low or 0))
        self._low, self._reload, self._start = None, word or 0x10000, now

    def read(self, now: int) -> int:
        count = self._count(now) if self._latched is None else self._latched
        high = self._high_next if self._read_access == 3 else self._read_access == 2
        if self._read_access == 3:
            self._high_next = not self._high_next
        if self._read_access != 3 or high:
            self._latched = None
        return count >> 8 & 0xFF if high else count & 0xFF

    def out(self, now: int) -> bool:
        """Whether the output is high: of mode 0 once it has counted to zero."""
        if self._mode == 0:
            return self._ticks(now) >= self._reload
        return self._ticks(now) % self._reload < self._reload // 2

    def _ticks(self, now: int) -> int:
        return (now - self._start) * _PIT_HZ // 1_000_000

    def _count(self, now: int) -> int:
        return (self._reload - self._ticks(now)) % 0x10000
