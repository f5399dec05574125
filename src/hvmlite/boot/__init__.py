"""The one meeting place of the rooms: open, offers, choose, encode, place, run."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from hvmlite import images, model
from hvmlite.boot._choose import (
    FIRMWARES,
    choose_engine,
    choose_offer,
    entered_by,
    firmware_for,
    with_boot_disk,
)
from hvmlite.boot._files import Path, map_file, module
from hvmlite.boot._layout import lay_out, memory_hint
from hvmlite.boot._run import Run, Timing
from hvmlite.boot._unified import own_cmdline, unify, with_profile
from hvmlite.errors import FormatError, PlacementError
from hvmlite.images import Limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hvmlite.model import Availability, Disk, GuestPlan, Image, Machine, Offer, Refusal

__all__ = [
    "Limits",
    "Path",
    "Run",
    "Timing",
    "available_engines",
    "map_file",
    "offers",
    "open_image",
    "own_cmdline",
    "plan",
    "run",
    "unify",
    "unpack_ahead",
    "with_profile",
]

DEFAULT_MEMORY = 512 << 20
"""Guest RAM in bytes when nobody asks for another size."""

_PACKED = ("linux64", "linux32", "linux16", *FIRMWARES)
"""Protocols that leave it to the guest to unpack its payload."""


def open_image(path: Path, limits: Limits | None = None) -> Image:
    """Open a boot image, recognised by its content.

    :param limits: budgets for what is unpacked, now or later, from the image
    :raises FormatError: it is no boot image, or a broken one
    :raises RequestError: the file cannot be read
    """
    return images.parse(map_file(path, "image"), os.fspath(path), limits or Limits())


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
    profile: str | None = None,
    addons: Sequence[Path] = (),
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
    :param cmdline: of a UKI, its own counts if this is empty
    :param profile: of a UKI, by number or ID; by default the first
    :param addons: of a UKI: files whose command lines and initrds are added
    :raises FormatError: the image is broken
    :raises RequestError: something asked for cannot be read, said or done
    :raises PlacementError: it does not fit the guest's memory
    """
    protocol = entered_by(protocol, firmware)
    image = _opened(image, protocol, limits, profile)
    _import_rooms(protocol)
    unified = unify(image, profile, addons)
    chosen = choose_engine(engine)
    offer = choose_offer(image, protocol)
    disks = with_boot_disk(image, offer.firmware, disks)
    handed = [module(path, "", number) for number, path in enumerate(initrds)]
    line = os.fsencode(cmdline)
    if unified is not None:
        handed, line = unified.modules(handed), unified.cmdline(line)
    handed += [module(path, text, len(handed) + n) for n, (path, text) in enumerate(modules)]
    info = model.BootInfo(cmdline=line, modules=tuple(handed))
    size = DEFAULT_MEMORY if memory is None else memory

    def machine(size: int) -> Machine:
        return chosen.machine(size, cpus, tuple(disks), offer.firmware)

    try:
        made = lay_out(offer, info, machine(size))
    except PlacementError as cause:
        cause.hint = memory_hint(offer, info, machine, size)
        raise
    if unified is not None:
        made = made.replace(dropped=(*unified.dropped, *made.dropped))
    return made


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
    profile: str | None = None,
    addons: Sequence[Path] = (),
    accelerator: str = "auto",
    extra: Sequence[str] = (),
    gdb: int | None = None,
) -> Run:
    """Start a guest; use the result in a `with` statement, which ends the engine in every case.

    The parameters are those of :func:`plan` and of :class:`hvmlite.model.RunOptions`.

    :raises EngineUnavailable: the engine cannot run here
    """
    started = time.monotonic()
    protocol = entered_by(protocol, firmware)
    image = _opened(image, protocol, limits, profile)
    chosen = choose_engine(engine)
    needed = firmware_for(image, protocol)
    machine = chosen.machine(
        DEFAULT_MEMORY if memory is None else memory,
        cpus,
        with_boot_disk(image, needed, disks),
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
            engine=engine,
            limits=limits,
            profile=profile,
            addons=addons,
        )
        session = launched.start(made)
    return Run(made, session, chosen.NAME, started)


def _opened(
    image: Image | Path, protocol: str | None, limits: Limits | None, profile: str | None
) -> Image:
    if not isinstance(image, model.Image):
        image = open_image(image, limits)
    image = with_profile(image, profile, limits or Limits())
    unpack_ahead(image, protocol)
    return image


def unpack_ahead(image: Image, protocol: str | None = None) -> None:
    """Begin to unpack the payload in a thread, unless `protocol` leaves that to the guest.

    Decompressors work without the interpreter's lock: much else can be done meanwhile. Whoever then
    asks for the payload waits for it, and gets its error if it has one.
    """
    from threading import Thread

    payload = image.payload
    with suppress(FormatError):
        while payload is not None and payload.compression == "none":
            payload = payload.image.payload  # nothing to unpack yet, in a UKI
    if payload is None or payload.asked or protocol in _PACKED:
        return
    images.preload(payload.compression)  # first, and alone: it holds the lock

    def unpack() -> None:
        with suppress(FormatError):
            _ = payload.image

    Thread(target=unpack, name="unpack", daemon=True).start()


def _import_rooms(protocol: str | None) -> None:
    # What planning needs, imported while the payload is unpacked. Most images offer the first
    # protocol of all.
    images.preload_reader()
    from hvmlite.guest import acpi, place  # noqa: F401
    from hvmlite.protocols import in_order

    for each in in_order():
        if protocol in (None, each.NAME):
            _ = each.encode
            return
