# Which way in, on which engine, and by whose firmware.
from __future__ import annotations

from hvmlite import model
from hvmlite.errors import RequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hvmlite.engines import Engine
    from hvmlite.model import Disk, Image, Offer

__all__ = [
    "FIRMWARES",
    "choose_engine",
    "choose_offer",
    "entered_by",
    "firmware_for",
    "with_boot_disk",
]

FIRMWARES = {"bios": "seabios", "efi": "ovmf"}
"""The protocols of disks, and the firmware that each needs."""


def entered_by(protocol: str | None, firmware: str | None) -> str | None:
    """Return the protocol that was asked for, by its own name or by its firmware's."""
    if firmware is None:
        return protocol
    for name, needed in FIRMWARES.items():
        if needed == firmware and protocol in (None, name):
            return name
    known = ", ".join(f"{needed} ({name})" for name, needed in FIRMWARES.items())
    found = "not known" if protocol is None else f"found together with protocol {protocol}"
    raise RequestError(f"firmware {firmware}: {found}, one of {known} needed", field="firmware")


def firmware_for(image: Image, protocol: str | None) -> str:
    """Return the firmware that will start `image`, if any.

    Most images show at a glance that there is none. They are not asked for offers here, which may
    unpack a payload: meanwhile the engine makes its machine.
    """
    from hvmlite.spec.bios import INT13
    from hvmlite.spec.disk import SECTOR

    # Only protocols.bios takes what is no disk: a kernel whose first sector reads the rest of it.
    reads_disks = image.format == "disk" or INT13 in bytes(image.data[:SECTOR])
    if protocol in FIRMWARES or (protocol is None and reads_disks):
        return choose_offer(image, protocol).firmware
    return ""


def with_boot_disk(image: Image, firmware: str, disks: Sequence[Disk]) -> tuple[Disk, ...]:
    """Return `disks` after the image itself, if `firmware` is to start it.

    What the guest writes to the image is not kept.
    """
    if not firmware:
        return tuple(disks)
    layout = image.disk
    iso = layout is not None and layout.iso
    kind = "raw" if layout is None else layout.container
    return (model.Disk(image.source, kind, read_only=iso, snapshot=not iso, cdrom=iso), *disks)


def choose_offer(image: Image, name: str | None) -> Offer:
    """Return the offer of the protocol `name`, or the first that there is.

    :raises RequestError: there is none, for all the reasons that the refusals have
    """
    from hvmlite import protocols

    refused: dict[str, list[str]] = {}  # protocols by reason: many have the same one
    hints = []
    for protocol in protocols.in_order():
        if name in (None, protocol.NAME):
            answer = protocol.offers(image)
            if isinstance(answer, model.Offer):
                return answer
            hints += [why.hint for why in answer.reasons if why.hint is not None]
            for why in answer.reasons:
                refused.setdefault(str(why), []).append(protocol.NAME)
    if not refused:
        known = ", ".join(each.NAME for each in protocols.PROTOCOLS)
        raise RequestError(f"protocol {name}: not known, one of {known} needed", field="protocol")
    raise RequestError(
        f"{image.source}: offers no way in: "
        + "; ".join(f"{', '.join(names)}: {why}" for why, names in refused.items()),
        field="protocol",
        hint=hints[0] if hints else f"hvmlite inspect {image.source} shows all that was looked for",
    )


def choose_engine(name: str | None) -> Engine:
    """Return the engine of this name, or the first.

    :raises RequestError: there is none of this name
    """
    from hvmlite.engines import ENGINES

    for engine in ENGINES:
        if name in (None, engine.NAME):
            return engine
    known = ", ".join(engine.NAME for engine in ENGINES)
    raise RequestError(f"engine {name}: not known, one of {known} needed", field="engine")
