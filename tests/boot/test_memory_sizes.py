"""RAM from the least that a kernel can start with to 8 GiB."""

from __future__ import annotations

import re

import pytest

import hvmlite
from boot.agreement import agrees, told_early
from boot.reporter import LINE, boot
from hvmlite.errors import PlacementError
from hvmlite.model import Ending

pytestmark = pytest.mark.boot
MIB, GIB = 1 << 20, 1 << 30

OWN_WORK = 8 * MIB
"""What these kernels need beyond the least in which all can be placed, to unpack an initrd of 2 MiB
and to start init: 0 to 3 MiB were measured (QEMU 7.2, one processor)."""


def least(kernel, initrd):
    with pytest.raises(PlacementError) as caught:
        hvmlite.plan(kernel, initrds=[initrd], cmdline=LINE, memory=32 * MIB)
    assert re.search(r"needs RAM up to 0x\w+, 32 MiB are given$", str(caught.value))
    return (
        int(re.match(r"(\d+) MiB of RAM is the least that this fits in", caught.value.hint)[1])
        * MIB
    )


@pytest.mark.parametrize("name", ["6.1-cloud", "6.12-cloud", "6.1-full", "6.1-686-pae"])
def test_the_least_memory(kernels, initrds, name):
    """What the hint asks for is enough to start, and a little more to reach user space.

    init_size is what a kernel needs "before it is capable of examining its memory map"
    (Documentation/arch/x86/boot.rst): in the least itself it does that and manages its memory. If
    that is too little for work of its own, which no header states, the kernel says so.
    """
    kernel, initrd = kernels[name], initrds.of(name)
    size = least(kernel, initrd)
    with pytest.raises(PlacementError):
        hvmlite.plan(kernel, initrds=[initrd], cmdline=LINE, memory=size - MIB)
    with hvmlite.run(kernel, initrds=[initrd], cmdline=LINE, memory=size) as guest:
        outcome, text = guest.wait(60), guest.console.text()
    told_early(guest.plan, text.partition("@begin")[0])
    assert re.search(r"Memory: \d+K/\d+K available", text)
    if outcome.kind is not Ending.SHUTDOWN:
        assert outcome.kind is Ending.RESET
        assert "Kernel panic - not syncing: System is deadlocked on memory" in text
    plan, report = boot(kernel, [initrd], memory=size + OWN_WORK)
    agrees(plan, report, initrds.payload)


SPLIT = 0xB0000000
"""QEMU's q35: from this size on, low RAM ends at 2 GiB (hw/i386/pc_q35.c)."""


@pytest.mark.parametrize("memory", [SPLIT - MIB, SPLIT, 4 * GIB + MIB, 8 * GIB])
def test_memory_up_to_and_above_4_gib(kernels, initrds, memory):
    plan, report = boot(kernels["6.12-cloud"], [initrds.amd64], memory=memory)
    agrees(plan, report, initrds.payload)
    ram = report.ranges("System RAM")
    above = sum(high - low for low, high in ram if low >= 4 * GIB)
    assert above == (memory - 2 * GIB if memory >= SPLIT else 0)
    # All of it but what is no RAM below 1 MiB: page 0, ACPI and the legacy hole.
    assert sum(high - low for low, high in ram) == memory - (1 + 2 + 96) * 4096
    assert memory * 0.95 - 64 * MIB < report.memory_total < memory


def test_memory_above_4_gib_with_32_bits(kernels, initrds):
    plan, report = boot(kernels["6.1-686-pae"], [initrds.i386], memory=5 * GIB)
    agrees(plan, report, initrds.payload)
    assert report.memory_total > 4.5 * GIB
