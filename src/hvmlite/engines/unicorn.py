"""Unicorn as an engine: one processor, instruction by instruction, the same way each time.

It is for looking at how boot code runs, not for running systems: there are no interrupts and hardly
any devices (docs/engines.md). The emulator itself, for tests and tools, is
:class:`hvmlite.engines._unicorn_emulator.Emulator`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.engines import _q35
from hvmlite.engines._session import Closes, check_own
from hvmlite.errors import EngineUnavailable, RequestError
from hvmlite.model import Availability

if TYPE_CHECKING:
    from hvmlite.engines._session import Session
    from hvmlite.model import Disk, GuestPlan, Machine, RunOptions

__all__ = ["NAME", "Launch", "available", "launch", "machine", "start"]

NAME = "unicorn"


def available() -> Availability:
    """Say whether the package is there, and of a version whose processor is understood."""
    from hvmlite.engines._unicorn_library import library
    from hvmlite.engines._unicorn_state import probe

    try:
        found = library()
        probe()
    except EngineUnavailable as reason:
        return Availability(NAME, ok=False, reason=str(reason), hint=reason.hint)
    facts = (("processors", "1"), ("interrupts", "exceptions and software interrupts only"))
    return Availability(NAME, ok=True, version=str(found.__version__), facts=facts)


def machine(memory: int, cpus: int, disks: tuple[Disk, ...] = (), firmware: str = "") -> Machine:
    """Describe the machine: the memory of the `qemu` engine's, with one processor.

    :raises RequestError: there is no such machine
    """
    if cpus != 1:
        raise RequestError(f"cpus: {cpus} found, 1 needed: the emulator has one", field="cpus")
    if disks or firmware:
        what = "firmware" if firmware else "disk"
        raise RequestError(
            f"{what}: {firmware or disks[0].path} found, none needed: the emulator has none",
            field=what,
        )
    return _q35.machine(memory, cpus)


def start(plan: GuestPlan, options: RunOptions) -> Session:
    """Start the guest of `plan`: :func:`launch` and :meth:`Launch.start` in one."""
    with launch(plan.machine, options) as pending:
        return pending.start(plan)


def launch(wanted: Machine, options: RunOptions) -> Launch:
    """Make the machine `wanted`; nothing runs in it yet.

    :raises RequestError: it is no machine of this engine, or an option is another engine's
    :raises EngineUnavailable: Unicorn is not there
    """
    check_own(machine, wanted)
    for field, found in (
        ("accelerator", options.accelerator if options.accelerator == "kvm" else ""),
        ("extra", " ".join(options.extra)),
        ("gdb", "" if options.gdb is None else f"port {options.gdb}"),
    ):
        if found:
            raise RequestError(
                f"{field}: {found} found, engine {NAME} has nothing for it", field=field
            )
    return Launch(wanted)


class Launch(Closes):
    """An emulator whose RAM is empty; a context manager: what was not started is ended."""

    def __init__(self, wanted: Machine) -> None:
        from hvmlite.engines._unicorn_emulator import Emulator

        self._emulator: Emulator | None = Emulator(wanted)

    def start(self, plan: GuestPlan) -> Session:
        """Fill the RAM by `plan`, which must be for this machine, and start the processor; once.

        :raises RequestError: the plan is for another machine, or a state that no processor has
        """
        from hvmlite.engines._check import check
        from hvmlite.engines._unicorn_session import UnicornSession

        emulator = self._emulator
        if emulator is None or plan.machine != emulator.machine:
            raise RequestError("machine: this launch's own and unused one needed", field="machine")
        check(plan.cpu)
        emulator.load(plan)
        self._emulator = None
        return UnicornSession(emulator)

    def close(self) -> None:
        """Give the memory back if the guest was not started; safe to call twice."""
        if self._emulator is not None:
            self._emulator.close()
            self._emulator = None
