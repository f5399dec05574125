"""Multiboot kernels that nobody here wrote: Xen, tboot, and a game."""

from __future__ import annotations

import json
import re
import socket
import time

import pytest

import hvmlite
from boot.reporter import QUICK
from hvmlite.model import Ending
from hvmlite.protocols import PROTOCOLS

pytestmark = pytest.mark.boot
BOTH = pytest.mark.parametrize("protocol", ["multiboot1", "multiboot2"])
TYPES = {"usable": 1, "reserved": 2, "ACPI data": 3, "ACPI NVS": 4}
MEMORY = 1 << 30


def finish(guest, timeout=240):
    with guest:
        outcome = guest.wait(timeout)
        return outcome, guest.console.text().replace("\r\n", "\n")


def xen(images, protocol, line, *modules, timeout=240):
    """Start Xen; smap=0 because a PV dom0 dies under QEMU's SMAP (docs/real-images.md)."""
    options = {
        "cmdline": f"console=com1 com1=115200,8n1 loglvl=all smap=0 {line}".rstrip(),
        "modules": modules,
        "memory": MEMORY,
        "protocol": protocol,
    }
    guest = hvmlite.run(images["xen"] / "xen.gz", **options)
    return guest.plan, *finish(guest, timeout)


def e820(text):
    """The memory map as Xen prints it."""
    rows = re.findall(r"^\(XEN\)  \[([0-9a-f]{16}), ([0-9a-f]{16})\] \((.*)\)$", text, re.MULTILINE)
    return [(int(start, 16), int(last, 16) + 1, TYPES[kind]) for start, last, kind in rows]


def map_of(plan):
    return [(r.start, r.end, int(r.type)) for r in plan.boot_info.memory_map]


@BOTH
def test_xen_says_that_a_dom0_is_missing(images, protocol):
    plan, outcome, text = xen(images, protocol, "")
    assert "(XEN) Xen version 4.17" in text
    assert "(XEN) Bootloader: hvmlite (as GRUB 2)" in text
    assert f"(XEN) Command line: {plan.boot_info.cmdline.decode()}\n" in text
    assert "dom0 kernel not specified" in text
    # Xen has not read the ACPI tables yet: it asks the keyboard controller, which is not there,
    # for a reset, and then makes one by a triple fault.
    assert outcome.kind is Ending.TRIPLE_FAULT
    base = plan.address_of("kernel segment 0") - 0x200000
    assert int(re.search(r"load base address: (\w+)", text)[1], 0) == base
    assert (base > 0) == (protocol == "multiboot2")  # its header asks for the highest place


@BOTH
@pytest.mark.parametrize("door", ["by its BIOS", "by multiboot"])
def test_xen_sees_the_memory_map_of_the_plan(images, kernels, protocol, door):
    # In real mode it asks INT 15h; without real mode it takes what multiboot says.
    line = "" if door == "by its BIOS" else "no-real-mode"
    kernel = (kernels["6.1-cloud"], "")  # no dom0: Xen gets as far as to look into it
    plan, outcome, text = xen(images, protocol, line, kernel)
    assert ("(XEN) Xen-e820 RAM map:" if not line else "(XEN) Multiboot-e820 RAM map:") in text
    assert e820(text) == map_of(plan)
    rsdp = re.search(r"\(XEN\) ACPI: RSDP (\w+), 0024 \(r2 HVMLIT\)", text)
    assert int(rsdp[1], 16) == plan.boot_info.rsdp
    for table in ("XSDT", "FACP", "DSDT", "FACS", "APIC"):
        assert f"(XEN) ACPI: {table} " in text
    assert "RSDT" not in text
    assert outcome.kind in (Ending.RESET, Ending.SHUTDOWN)


@BOTH
def test_xen_starts_a_dom0_with_its_initrd_to_the_end(images, kernels, initrds, protocol):
    # A PV kernel looks for the RSDP in ROM, where this machine has none.
    rsdp = hvmlite.plan(images["xen"] / "xen.gz", protocol=protocol, memory=MEMORY).boot_info.rsdp
    kernel = (kernels["6.1-full"], f"console=hvc0 {QUICK} acpi_rsdp={rsdp:#x} two words")
    initrd = (initrds.of("6.1-full"), "")
    plan, outcome, text = xen(images, protocol, "dom0_mem=384M", kernel, initrd)
    assert "*** Building a PV Dom0 ***" in text
    assert re.search(rf"Command line: console=hvc0 {QUICK} .* two words", text)
    assert "Booting kernel on Xen" in text
    # The initrd's init writes to the serial port, which is Xen's; that it powers off is its word.
    assert "Run /init as init process" in text
    assert outcome.kind is Ending.SHUTDOWN, text[-2000:]
    assert plan.protocol == protocol


@BOTH
def test_tboot_starts_its_kernel_without_txt(images, kernels, initrds, protocol):
    modules = [(kernels["6.1-cloud"], f"console=ttyS0 {QUICK}"), (initrds.of("6.1-cloud"), "")]
    guest = hvmlite.run(
        images["tboot"] / "tboot.gz",
        cmdline="logging=serial,memory",
        modules=modules,
        memory=MEMORY,
        protocol=protocol,
    )
    outcome, text = finish(guest)
    assert "TBOOT: command line: logging=serial,memory" in text
    rows = re.findall(r"^TBOOT: \t([0-9a-f]{16}) - ([0-9a-f]{16})  \((\d)\)$", text, re.MULTILINE)
    printed = [(int(start, 16), int(end, 16), int(kind)) for start, end, kind in rows]
    assert printed[: len(map_of(guest.plan))] == map_of(guest.plan)
    assert "TBOOT: transfering control to kernel" in text
    assert f"ACPI: RSDP 0x{guest.plan.boot_info.rsdp:016X}" in text
    assert "@done" in text
    assert outcome.kind is Ending.SHUTDOWN


def test_grub_invaders_plays_where_nobody_sees_it(images, tmp_path):
    # A game on the VGA's text screen: without a VGA and its BIOS there is none. It must run.
    path = str(tmp_path / "qmp")
    extra = ("-qmp", f"unix:{path},server=on,wait=off")
    guest = hvmlite.run(images["grub-invaders"] / "invaders.exec", extra=extra)
    assert guest.plan.protocol == "multiboot1"
    end = max(piece.end for piece in guest.plan.pieces if piece.kind == "kernel")
    with guest, socket.socket(socket.AF_UNIX) as link:
        link.settimeout(60)
        link.connect(path)
        talk = link.makefile("rw")
        talk.readline()
        command(talk, "qmp_capabilities")
        # QEMU answers before its processor has run: the first addresses are the reset vector's.
        deadline = time.monotonic() + 60
        while not guest.plan.cpu.rip <= (eip := instruction_pointer(talk)) < end:
            assert time.monotonic() < deadline, f"never in the image, but at {eip:#x}"
            time.sleep(0.1)
        seen = set()
        while len(seen) < 2:
            assert time.monotonic() < deadline, f"always at {eip:#x}"
            eip = instruction_pointer(talk)
            assert guest.plan.cpu.rip <= eip < end
            seen.add(eip)
        assert guest.wait(1).kind is Ending.TIMEOUT


def instruction_pointer(talk):
    text = command(talk, "human-monitor-command", **{"command-line": "info registers"})
    return int(re.search(r"EIP=([0-9a-f]{8})", text)[1], 16)


def command(talk, name, **arguments):
    talk.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
    talk.flush()
    while "return" not in (answer := json.loads(talk.readline())):
        assert "error" not in answer, answer
    return answer["return"]


def test_xen_is_entered_by_multiboot2_unless_the_user_says_otherwise(images):
    plan = hvmlite.plan(images["xen"] / "xen.gz")
    assert plan.protocol == "multiboot2"
    order = [protocol.NAME for protocol in PROTOCOLS]
    assert order.index("pvh") < order.index("multiboot2") < order.index("multiboot1")
