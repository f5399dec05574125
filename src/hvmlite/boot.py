"""The one meeting place of the rooms: open, offers, choose, encode, place, run."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from hvmlite import images, model
from hvmlite.errors import FormatError, PlacementError, RequestError
from hvmlite.images import Limits

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from hvmlite.engines import Console, Engine, Session
    from hvmlite.model import (
        Availability,
        BootInfo,
        Disk,
        GuestPlan,
        Image,
        Machine,
        Module,
        Offer,
        Outcome,
        Refusal,
    )

__all__ = ["Run", "Timing", "available_engines", "offers", "open_image", "plan", "run"]

DEFAULT_MEMORY = 512 << 20
"""Guest RAM in bytes when nobody asks for another size."""

_MOST_MIB = 64 << 10  # RAM that is tried when nothing fits

_FIRMWARES = {"bios": "seabios", "efi": "ovmf"}
"""The protocols of disks, and the firmware that each needs."""

_PACKED = ("linux64", "linux32", "linux16", *_FIRMWARES)
"""Protocols that leave it to the guest to unpack its payload."""

_ISO, _ISO_AT = b"CD001", 0x8001  # ECMA-119, 8.1: the first volume descriptor
_QCOW2 = b"QFI\xfb"

Path = str | os.PathLike[str]


def open_image(path: Path, limits: Limits | None = None) -> Image:
    """Open a boot image, recognised by its content.

    :param limits: budgets for what is unpacked, now or later, from the image
    :raises FormatError: it is no boot image, or a broken one
    :raises RequestError: the file cannot be read
    """
    return images.parse(_map_file(path, "image"), os.fspath(path), limits or Limits())


def offers(image: Image) -> tuple[Offer | Refusal, ...]:
    """Ask every protocol whether `image` can be entered by it, in order of preference."""
    from hvmlite import protocols

    return tuple(protocol.offers(image) for protocol in protocols.PROTOCOLS)


def available_engines() -> tuple[Availability, ...]:
    """Ask every engine whether it can run here."""
    from hvmlite.engines import ENGINES

    return tuple(engine.available() for engine in ENGINES)


def plan(
    image: Image | Path,
    *,
    initrds: Sequence[Path] = (),
    modules: Sequence[tuple[Path, str]] = (),
    cmdline: str | bytes = "",
    memory: int | None = None,
    cpus: int = 1,
    disks: Sequence[Disk] = (),
    protocol: str | None = None,
    firmware: str | None = None,
    engine: str | None = None,
    limits: Limits | None = None,
) -> GuestPlan:
    """Work out everything that :func:`run` would do, and start nothing.

    :param image: a path, or what :func:`open_image` returned
    :param initrds: files handed over as the first modules, in this order
    :param modules: further modules, each with its own command line
    :param memory: RAM in bytes
    :param protocol: the entry ABI; by default the first that the image offers
    :param firmware: "seabios" or "ovmf" start the image as the first disk or CD-ROM of a PC; the
        same as protocol "bios" or "efi"
    :param engine: the engine whose machine is planned for; by default the first
    :raises FormatError: the image is broken
    :raises RequestError: something asked for cannot be read, said or done
    :raises PlacementError: it does not fit the guest's memory
    """
    if not isinstance(image, model.Image):
        image = open_image(image, limits)
    protocol = _entered_by(protocol, firmware)
    _unpack_ahead(image, protocol)
    _import_rooms()
    chosen = _engine(engine)
    offer = _choose(image, protocol)
    disks = _with_boot_disk(image, offer.firmware, disks)
    handed = [_module(path, "", number) for number, path in enumerate(initrds)]
    handed += [_module(path, line, len(handed) + n) for n, (path, line) in enumerate(modules)]
    info = model.BootInfo(cmdline=os.fsencode(cmdline), modules=tuple(handed))
    size = DEFAULT_MEMORY if memory is None else memory

    def machine(size: int) -> Machine:
        return chosen.machine(size, cpus, tuple(disks), offer.firmware)

    try:
        return _lay_out(offer, info, machine(size))
    except PlacementError as cause:
        cause.hint = _memory_hint(offer, info, machine, size)
        raise


def run(
    image: Image | Path,
    *,
    initrds: Sequence[Path] = (),
    modules: Sequence[tuple[Path, str]] = (),
    cmdline: str | bytes = "",
    memory: int | None = None,
    cpus: int = 1,
    disks: Sequence[Disk] = (),
    protocol: str | None = None,
    firmware: str | None = None,
    engine: str | None = None,
    limits: Limits | None = None,
    accelerator: str = "auto",
    extra: Sequence[str] = (),
    gdb: int | None = None,
) -> Run:
    """Start a guest; use the result in a `with` statement, which ends the engine in every case.

    The parameters are those of :func:`plan` and of :class:`hvmlite.model.RunOptions`.

    :raises EngineUnavailable: the engine cannot run here
    """
    started = time.monotonic()
    if not isinstance(image, model.Image):
        image = open_image(image, limits)
    protocol = _entered_by(protocol, firmware)
    _unpack_ahead(image, protocol)
    chosen = _engine(engine)
    # Whether firmware is needed is known at once: no image that could start without is a disk.
    bare = image.format != "disk" and protocol not in _FIRMWARES
    needed = "" if bare else _choose(image, protocol).firmware
    machine = chosen.machine(
        DEFAULT_MEMORY if memory is None else memory,
        cpus,
        _with_boot_disk(image, needed, disks),
        needed,
    )
    # The engine makes its machine while the kernel is unpacked and laid out.
    with chosen.launch(machine, model.RunOptions(accelerator, tuple(extra), gdb)) as launched:
        made = plan(
            image,
            initrds=initrds,
            modules=modules,
            cmdline=cmdline,
            memory=memory,
            cpus=cpus,
            disks=disks,
            protocol=protocol,
            firmware=firmware,
            engine=engine,
            limits=limits,
        )
        session = launched.start(made)
    return Run(made, session, chosen.NAME, started)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds from the call until the guest began to run, from then to its end, and together."""

    prepare_s: float
    guest_s: float
    total_s: float


class Run:
    """A guest that runs: its plan, its console, and in the end its :class:`Outcome`."""

    def __init__(self, made: GuestPlan, session: Session, engine: str, started: float) -> None:
        self.plan = made
        self.session = session
        self.engine = engine
        self.protocol = made.protocol
        self._started = started
        self._ended: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def console(self) -> Console:
        """What the guest writes, as a stream; what is written to it, the guest reads."""
        return self.session.console

    def expect(self, pattern: str | bytes, timeout: float | None = None) -> re.Match[bytes]:
        """Wait until `pattern` (a regular expression) appears on the console.

        :raises TimeoutError: it did not in `timeout` seconds
        :raises EOFError: the guest ended without it
        """
        return self.console.expect(pattern, timeout)

    def wait(self, timeout: float | None = None) -> Outcome:
        """Wait for the end; after `timeout` seconds the guest is stopped, which is an outcome."""
        return self.ended(self.session.wait(timeout))

    def ended(self, outcome: Outcome) -> Outcome:
        """Note that the guest has ended now, for :attr:`timing`."""
        if self._ended is None:
            self._ended = time.monotonic()
        return outcome

    @property
    def timing(self) -> Timing:
        """How long it took, up to the end or up to now."""
        now = time.monotonic() if self._ended is None else self._ended
        began = self.session.start_time
        return Timing(began - self._started, now - began, now - self._started)

    def close(self) -> None:
        """End the engine, if it still runs; safe to call twice."""
        self.session.close()


def _entered_by(protocol: str | None, firmware: str | None) -> str | None:
    # The protocol that a firmware starts its disk by.
    if firmware is None:
        return protocol
    for name, needed in _FIRMWARES.items():
        if needed == firmware and protocol in (None, name):
            return name
    raise RequestError(
        f"firmware {firmware}: found together with protocol {protocol}, one of "
        + ", ".join(f"{needed} ({name})" for name, needed in _FIRMWARES.items())
        + " needed",
        field="firmware",
    )


def _with_boot_disk(image: Image, firmware: str, disks: Sequence[Disk]) -> tuple[Disk, ...]:
    # The image as the first disk of a machine with firmware. What the guest writes is not kept.
    if not firmware:
        return tuple(disks)
    iso = bytes(image.data[_ISO_AT : _ISO_AT + len(_ISO)]) == _ISO
    kind = "qcow2" if bytes(image.data[: len(_QCOW2)]) == _QCOW2 else "raw"
    return (model.Disk(image.source, kind, read_only=iso, snapshot=not iso, cdrom=iso), *disks)


def _unpack_ahead(image: Image, protocol: str | None) -> None:
    # Decompressors work without the interpreter's lock: much else can be done meanwhile. Whoever
    # then asks for the payload waits for it, and gets its error if it has one.
    from threading import Thread

    payload = image.payload
    if payload is None or payload.asked or protocol in _PACKED:
        return
    images.preload(payload.compression)  # first, and alone: it holds the lock

    def unpack() -> None:
        with suppress(FormatError):
            _ = payload.image

    Thread(target=unpack, name="unpack", daemon=True).start()


def _import_rooms() -> None:
    # What planning needs, imported while the payload is unpacked.
    from hvmlite import protocols  # noqa: F401
    from hvmlite.guest import acpi, place  # noqa: F401


def _choose(image: Image, name: str | None) -> Offer:
    # The user's protocol, or the first that is offered; a refusal is told with all its reasons.
    from hvmlite import protocols

    known = [each.NAME for each in protocols.PROTOCOLS]
    if name is not None and name not in known:
        raise RequestError(
            f"protocol {name}: not known, one of {', '.join(known)} needed", field="protocol"
        )
    refused = []
    for protocol in protocols.PROTOCOLS:
        if name in (None, protocol.NAME):
            answer = protocol.offers(image)
            if isinstance(answer, model.Offer):
                return answer
            refused += [(protocol.NAME, why) for why in answer.reasons]
    hints = [why.hint for _, why in refused if why.hint is not None]
    raise RequestError(
        f"{image.source}: offers no way in: "
        + "; ".join(f"{name}: {why}" for name, why in refused),
        field="protocol",
        hint=hints[0] if hints else f"hvmlite inspect {image.source} shows all that was looked for",
    )


def _engine(name: str | None) -> Engine:
    from hvmlite.engines import ENGINES

    for engine in ENGINES:
        if name in (None, engine.NAME):
            return engine
    known = ", ".join(engine.NAME for engine in ENGINES)
    raise RequestError(f"engine {name}: not known, one of {known} needed", field="engine")


def _lay_out(offer: Offer, info: BootInfo, machine: Machine) -> GuestPlan:
    # Protocols write contents, the placer gives addresses; ACPI is the machine's, not a protocol's.
    from hvmlite import protocols
    from hvmlite.guest import acpi
    from hvmlite.guest.place import place

    protocol = next(each for each in protocols.PROTOCOLS if offer.protocol == each.NAME)
    if offer.needs > machine.memory:
        raise PlacementError(
            f"{offer.image.source}: the kernel needs RAM up to {offer.needs:#x}, "
            f"{machine.memory >> 20} MiB are given",
            piece="kernel",
            need=offer.needs,
            limit=machine.memory,
        )
    if offer.firmware:
        entry = protocol.encode(offer, info, machine, None)
        return replace(place(entry, machine, info), boot_info=info)  # the map is the firmware's
    entry = protocol.encode(offer, info, machine, model.Ref(acpi.RSDP))
    entry = replace(entry, pieces=(*entry.pieces, *acpi.tables(machine)))
    placed = place(entry, machine, info)
    told = replace(placed.boot_info, rsdp=placed.address_of(acpi.RSDP))
    return replace(placed, boot_info=told)


def _memory_hint(
    offer: Offer, info: BootInfo, machine: Callable[[int], Machine], given: int
) -> str | None:
    # How much RAM would do: the least whole number of MiB for which everything can be placed. What
    # a kernel needs beyond that nobody states; Debian's 6.1 and 6.12 reach user space with 0 to
    # 3 MiB more if the initrd unpacks to 2 MiB.
    def fits(mib: int) -> bool:
        try:
            _lay_out(offer, info, machine(mib << 20))
        except (PlacementError, RequestError):
            return False
        return True

    # More RAM is not always better: a machine that has some above 4 GiB may have less below. Up to
    # `split` all of it is one block.
    split = _last(lambda mib: len(machine(mib << 20).ram) == 1, 1, 4 << 10)
    for low, high in ((1, split), (split, _MOST_MIB)):
        if fits(high):
            least = _last(lambda mib: not fits(mib), low, high) + 1
            break
    else:
        return None  # not a matter of RAM
    if least << 20 <= given:
        return f"{least} to {split} MiB of RAM would do: with more, less of it lies below 4 GiB"
    return (
        f"{least} MiB of RAM is the least that this fits in (-m {least}M); "
        "what the kernel allocates for itself comes on top"
    )


def _last(holds: Callable[[int], bool], low: int, high: int) -> int:
    # The last number of `low` to `high` for which something holds that does for `low`, and from
    # some number on no more.
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def _module(path: Path, cmdline: str, number: int) -> Module:
    name = "initrd" if number == 0 else f"module {number}"
    return model.Module(_map_file(path, name), os.fsencode(cmdline), name)


def _map_file(path: Path, field: str) -> memoryview:
    # Mapped, not read: what is copied to the guest is copied once.
    import mmap
    import stat

    try:
        # O_NONBLOCK: a FIFO must be refused, not waited for.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise RequestError(
                    f"{os.fspath(path)}: {_file_type(status.st_mode)}, a regular file needed",
                    field=field,
                )
            if status.st_size == 0:
                return memoryview(b"")
            return memoryview(mmap.mmap(fd, 0, access=mmap.ACCESS_READ))
        finally:
            os.close(fd)
    except ValueError as cause:  # a NUL in the name
        raise RequestError(f"{os.fspath(path)!a}: no file name", field=field) from cause
    except OSError as cause:
        reason = (cause.strerror or str(cause)).lower()
        raise RequestError(f"{os.fspath(path)}: cannot be read: {reason}", field=field) from cause


def _file_type(mode: int) -> str:
    import stat

    names = ((stat.S_ISDIR, "directory"), (stat.S_ISFIFO, "FIFO"), (stat.S_ISBLK, "block device"))
    return next((name for test, name in names if test(mode)), "special file")
