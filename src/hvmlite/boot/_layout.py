# From an offer to a plan: encode, add the machine's own tables, place.
from __future__ import annotations

from hvmlite import model
from hvmlite.errors import PlacementError, RequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from hvmlite.model import BootInfo, GuestPlan, Machine, Offer

__all__ = ["lay_out", "memory_hint"]

_MOST_MIB = 64 << 10  # RAM that is tried when nothing fits


def lay_out(offer: Offer, info: BootInfo, machine: Machine) -> GuestPlan:
    """Return the plan for `offer` on `machine`.

    Protocols write contents and the placer gives addresses. The ACPI tables are the machine's, not
    a protocol's.
    """
    from hvmlite import protocols
    from hvmlite.guest import acpi
    from hvmlite.guest.place import place

    protocol = next(each for each in protocols.in_order() if offer.protocol == each.NAME)
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
        return place(entry, machine, info).replace(boot_info=info)  # the map is the firmware's
    entry = protocol.encode(offer, info, machine, model.Ref(acpi.RSDP))
    entry = entry.replace(pieces=(*entry.pieces, *acpi.tables(machine)))
    placed = place(entry, machine, info)
    told = placed.boot_info.replace(rsdp=placed.address_of(acpi.RSDP))
    return placed.replace(boot_info=told)


def memory_hint(
    offer: Offer, info: BootInfo, machine: Callable[[int], Machine], given: int
) -> str | None:
    # How much RAM would do: the least whole number of MiB for which everything can be placed. What
    # a kernel needs beyond that nobody states; Debian's 6.1 and 6.12 reach user space with 0 to
    # 3 MiB more if the initrd unpacks to 2 MiB.
    def fits(mib: int) -> bool:
        try:
            lay_out(offer, info, machine(mib << 20))
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
