"""QEMU as an engine: TCG everywhere, KVM where the processor has it.

QEMU only turns the machine. Guest RAM is one anonymous memory file that is filled here and mapped
by QEMU; the processor's state comes from a reset ROM. No firmware, no `-kernel`.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from hvmlite.engines import _q35
from hvmlite.engines._probe import accelerator, available, find
from hvmlite.errors import EngineError, RequestError

if TYPE_CHECKING:
    from hvmlite.engines._session import Session
    from hvmlite.model import Disk, GuestPlan, Machine, RunOptions

__all__ = ["NAME", "available", "machine", "start"]

NAME = "qemu"


def machine(memory: int, cpus: int, disks: tuple[Disk, ...] = ()) -> Machine:
    """Describe the q35 machine that QEMU makes, see :func:`hvmlite.engines._q35.machine`.

    :raises RequestError: there is no such machine
    """
    return _q35.machine(memory, cpus, disks)


def start(plan: GuestPlan, options: RunOptions) -> Session:
    """Start the guest of `plan`.

    :raises RequestError: the plan is for another machine, for a state that no processor has, or
        with a disk that cannot be opened
    :raises UnsupportedError: a disk needs further files
    :raises EngineUnavailable: QEMU cannot run here
    :raises EngineError: QEMU refuses, in its own words, or there is no memory for the guest
    """
    from hvmlite.engines._disk import check
    from hvmlite.engines._rom import build

    wanted = plan.machine
    if machine(wanted.memory, wanted.cpus, wanted.disks) != wanted:
        raise RequestError(
            f"machine: {wanted.name} planned for, this engine's own needed", field="machine"
        )
    for disk in wanted.disks:
        check(disk)
    program, accel = find(), accelerator(options.accelerator)
    rom = build(plan.cpu, _q35.setup())
    try:
        return _launch(program, accel, rom, plan, options)
    except OSError as cause:
        raise EngineError(
            f"qemu: cannot be started: {(cause.strerror or str(cause)).lower()}", engine=NAME
        ) from cause


def _launch(program: str, accel: str, rom: bytes, plan: GuestPlan, options: RunOptions) -> Session:
    import socket
    from contextlib import ExitStack

    from hvmlite.engines._arguments import Descriptors, arguments
    from hvmlite.engines._process import Process, anonymous_file
    from hvmlite.engines._qemu_session import QemuSession
    from hvmlite.guest.memory import fill_file

    with ExitStack() as theirs, ExitStack() as ours:
        # `theirs` is closed here in every case, `ours` only if QEMU does not come to life.
        ram = anonymous_file("hvmlite guest RAM", plan.machine.memory)
        theirs.callback(os.close, ram)
        bios = anonymous_file("hvmlite reset ROM", len(rom))
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
        words = arguments(plan.machine, options, accel, fds)
        exec_time = time.monotonic()
        process = Process([program, *words], fds)
        ours.callback(process.close)
        session = QemuSession(process, qmp, log, accel, exec_time)
        ours.pop_all()
        ours.callback(session.close)
        # QEMU makes the machine meanwhile; its processors are stopped.
        fill_file(plan, ram)
        session.resume(paused=options.gdb is not None)
        ours.pop_all()
    return session
