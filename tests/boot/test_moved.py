"""A kernel whose linked address is not free: it is moved to where it may be, or refused.

The machine stays what the engine makes; a piece that is pinned there and that the guest's memory
map calls reserved takes the address away, as a hole in a real machine's RAM does.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

import hvmlite
from boot.agreement import agrees
from boot.reporter import LINE, finish
from hvmlite.engines import qemu
from hvmlite.errors import PlacementError
from hvmlite.guest import acpi
from hvmlite.guest.place import place
from hvmlite.model import BootInfo, Kind, MemoryType, Module, Piece, Ref, RunOptions
from hvmlite.protocols import pvh

pytestmark = pytest.mark.boot
MIB = 1 << 20
LINKED = 16 * MIB


def plan_with(piece, kernel, initrd):
    """What :func:`hvmlite.plan` makes, and one piece more."""
    info = BootInfo(LINE.encode(), (Module(initrd.read_bytes(), b"", "initrd"),))
    machine = qemu.machine(512 * MIB, 1)
    entry = pvh.encode(pvh.offers(hvmlite.open_image(kernel)), info, machine, Ref(acpi.RSDP))
    pieces = (*entry.pieces, *acpi.tables(machine), piece)
    return place(replace(entry, pieces=pieces), machine, info)


def hole(start, end):
    return Piece(
        "hole", kind=Kind.CODE, size=end - start, at=start, memory_type=MemoryType.RESERVED
    )


@pytest.mark.parametrize(
    ("start", "end", "moved_to"),
    [
        (LINKED, LINKED + MIB, LINKED + 2 * MIB),
        # in the way of the last segment only, but all of them move
        (LINKED + 49 * MIB, LINKED + 49 * MIB + 4096, LINKED + 50 * MIB),
        # between two segments: to Linux its image is one piece, with all that lies in it
        (LINKED + 27 * MIB, LINKED + 27 * MIB + 4096, LINKED + 28 * MIB),
        # far away, above all that the entry's own page tables need not map
        (LINKED, LINKED + 301 * MIB, LINKED + 302 * MIB),
    ],
)
def test_a_moved_kernel_reaches_user_space(kernels, initrds, start, end, moved_to):
    plan = plan_with(hole(start, end), kernels["6.12-cloud"], initrds.amd64)
    offer = pvh.offers(hvmlite.open_image(kernels["6.12-cloud"]))
    distance = moved_to - LINKED
    kernel = [piece for piece in plan.pieces if piece.kind is Kind.KERNEL]
    assert [piece.start for piece in kernel] == [s.paddr + distance for s in offer.image.segments]
    assert plan.cpu.rip == offer.entry + distance
    report = finish(qemu.start(plan, RunOptions()))
    agrees(plan, report, initrds.payload)
    assert report.ranges("Kernel code")[0][0] == moved_to
    assert (start, end) in report.ranges("Reserved")


def test_a_kernel_that_cannot_be_moved_is_refused(kernels, initrds):
    with pytest.raises(PlacementError) as caught:
        plan_with(hole(LINKED, LINKED + MIB), kernels["6.1-cloud"], initrds.amd64)
    assert str(caught.value).startswith("kernel segment 0: 0x1000000-")
    assert str(caught.value).endswith(" overlaps hole at 0x1000000-0x1100000")


def test_no_room_where_the_kernel_may_be_moved_to(kernels, initrds):
    with pytest.raises(PlacementError, match="no other place at a multiple of 0x200000"):
        plan_with(hole(LINKED, 512 * MIB - MIB), kernels["6.12-cloud"], initrds.amd64)
