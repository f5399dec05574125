"""QEMU as an engine: TCG everywhere, KVM where the processor has it.

QEMU only turns the machine. Guest RAM is one anonymous memory file that is filled here and mapped
by QEMU; the processor's state comes through a reset ROM. No firmware, no `-kernel`. Only a machine
that is asked for with firmware is QEMU's own: then the firmware starts the first disk.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from hvmlite.engines import _q35
from hvmlite.engines._probe import accelerator, available, find
from hvmlite.engines._session import Closes, check_own
from hvmlite.errors import EngineError, RequestError

if TYPE_CHECKING:
    from hvmlite.engines._firmware import Flash
    from hvmlite.engines._qemu_session import QemuSession
    from hvmlite.engines._session import Session
    from hvmlite.model import Disk, GuestPlan, Machine, RunOptions

__all__ = ["NAME", "Launch", "available", "launch", "machine", "start"]

NAME = "qemu"


def machine(memory: int, cpus: int, disks: tuple[Disk, ...] = (), firmware: str = "") -> Machine:
    """Describe the q35 machine that QEMU makes, see :func:`hvmlite.engines._q35.machine`.

    :param firmware: "seabios" or "ovmf" run first and start the first disk
    :raises RequestError: there is no such machine, or a disk cannot be opened
    :raises UnsupportedError: a disk needs further files
    """
    if disks:
        from hvmlite.engines._disk import check

        for disk in disks:
            check(disk)
    if firmware:  # the file is read only where there is one
        from hvmlite.engines._firmware import known

        known(firmware)
    return _q35.machine(memory, cpus, disks, firmware)


def start(plan: GuestPlan, options: RunOptions) -> Session:
    """Start the guest of `plan`: :func:`launch` and :meth:`Launch.start` in one."""
    with launch(plan.machine, options) as pending:
        return pending.start(plan)


def launch(wanted: Machine, options: RunOptions) -> Launch:
    """Start QEMU, which makes the machine `wanted` while its plan may still be unknown.

    :raises RequestError: it is no machine of this engine, or has a disk that cannot be opened
    :raises UnsupportedError: a disk needs further files
    :raises EngineUnavailable: QEMU cannot run here
    :raises EngineError: it cannot be started
    """
    check_own(machine, wanted)
    program, accel = find(), accelerator(options.accelerator)
    try:
        return _launch(program, accel, wanted, options)
    except OSError as cause:
        raise _not_started(cause) from cause


class Launch(Closes):
    """A QEMU whose processors are stopped and whose RAM is empty.

    A context manager: what was not started is ended.
    """

    def __init__(
        self, wanted: Machine, session: QemuSession, ram: int, options: RunOptions
    ) -> None:
        self._machine = wanted
        self._session: QemuSession | None = session
        self._ram = ram
        self._paused = options.gdb is not None

    def start(self, plan: GuestPlan) -> Session:
        """Fill the RAM by `plan`, which must be for this machine, and start the processors; once.

        :raises RequestError: the plan is for another machine, or a state that no processor has
        :raises EngineError: QEMU refuses, in its own words, or there is no memory for the guest
        """
        from hvmlite.engines._rom import handover
        from hvmlite.guest.memory import fill_file

        session = self._session
        if session is None or plan.machine != self._machine:
            raise RequestError("machine: this launch's own and unused one needed", field="machine")
        try:
            if not plan.machine.firmware:
                for address, data in handover(plan.cpu):  # in the first block, at its own address
                    os.pwrite(self._ram, data, address)
            fill_file(plan, self._ram)
        except OSError as cause:
            raise _not_started(cause) from cause
        session.resume(paused=self._paused)
        self._session = None
        os.close(self._ram)
        return session

    def close(self) -> None:
        """End QEMU if its guest was not started; safe to call twice."""
        if self._session is not None:
            self._session.close()
            self._session = None
            os.close(self._ram)


def _not_started(cause: OSError) -> EngineError:
    reason = (cause.strerror or str(cause)).lower()
    return EngineError(f"qemu: cannot be started: {reason}", engine=NAME)


def _launch(program: str, accel: str, wanted: Machine, options: RunOptions) -> Launch:
    import socket
    from contextlib import ExitStack

    from hvmlite.engines._arguments import Descriptors, arguments
    from hvmlite.engines._process import Process, anonymous_file
    from hvmlite.engines._rom import build

    with ExitStack() as theirs, ExitStack() as ours:
        # `theirs` is closed here in every case, `ours` only if QEMU does not come to life.
        ram = anonymous_file("hvmlite guest RAM", wanted.memory)
        ours.callback(os.close, ram)
        flash = _ovmf() if wanted.firmware == "ovmf" else None
        rom = flash.variables.read_bytes() if flash else build(_q35.setup())
        bios = anonymous_file("hvmlite ROM", len(rom))
        theirs.callback(os.close, bios)
        os.pwrite(bios, rom, 0)
        log, log_end = os.pipe()
        ours.callback(os.close, log)
        theirs.callback(os.close, log_end)
        os.set_blocking(log, False)
        qmp, qmp_end = socket.socketpair()
        ours.callback(qmp.close)
        theirs.callback(qmp_end.close)
        qmp.setblocking(False)
        fds = Descriptors(ram, bios, qmp_end.fileno(), log_end)
        words = arguments(wanted, options, accel, fds, flash and flash.code)
        exec_time = time.monotonic()
        process = Process([program, *words], fds)
        ours.callback(process.close)
        from hvmlite.engines._qemu_session import QemuSession  # while QEMU starts

        session = QemuSession(process, qmp, log, accel, exec_time)
        ours.pop_all()
    return Launch(wanted, session, ram, options)


def _ovmf() -> Flash:
    from hvmlite.engines._firmware import find_ovmf

    return find_ovmf()
