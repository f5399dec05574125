"""The emulator with a firmware, for hand-offs of one world."""

from __future__ import annotations

from dataclasses import replace

from hvmlite.engines._unicorn_emulator import Reason
from hvmlite.spec import universal as u
from stub.efi_firmware import Firmware
from stub.hand_offs import BUDGET, Runner


class EfiRunner(Runner):
    """`before` and `written()`: what was written with boot services and after, but for the stack.

    :param library: hand_offs.c, compiled
    """

    def __init__(self, world, library):
        super().__init__(world, library, [world.stack])
        self.firmware = Firmware(self.emulator, world.rom)
        self.before = []
        self.copy = None

    def start(self, given, faults=None):
        """Run a hand-off until it goes out of the stub and the firmware, or ends."""
        self.load(given.plan)
        given.services.memory = self.emulator.memory
        self.firmware.start(given.services, given.plan.cpu, self.world.stack, given.chance, faults)
        self.firmware.on_leave = self._left
        self.before, self.copy = [], None
        stop = self.run()
        if stop.reason is Reason.OUTSIDE and self._is_copy(stop.address):
            stop = self.emulator.run(within=[self.copy], budget=BUDGET)
        if not given.services.gone:
            self._left()
        return stop

    def copied(self):
        """The world, with the stub where it was in the end."""
        return self.world if self.copy is None else replace(self.world, start=self.copy[0])

    def _left(self):
        self.before = self.written()
        self._writes.count = 0

    def _is_copy(self, address):
        # The stub goes on in a copy of itself, where it was.
        code = self.emulator.memory.read(self.world.start, u.STUB_MAX)
        here = self.emulator.memory.read(address, 64)
        at = code.find(here)
        if at < 0 or self.emulator.memory.read(address - at, len(code)) != code:
            return False
        self.copy = (address - at, address - at + len(code))
        return True
