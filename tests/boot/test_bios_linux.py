"""Linux's own 16-bit code on our BIOS: what it learns, and a talk with the user before it starts.

The start is made by hand, as Documentation/arch/x86/boot.rst says: this is about the BIOS.
"""

from __future__ import annotations

import json

import pytest

from boot import agreement
from boot.json_report import initrd, parse
from boot.reporter import LINE, Report
from hvmlite.engines import qemu
from hvmlite.guest import acpi, bios
from hvmlite.guest.place import place
from hvmlite.model import (
    BootInfo,
    CpuState,
    Ending,
    Entry,
    Kind,
    Piece,
    Ref,
    RunOptions,
    SegmentRegister,
)

pytestmark = pytest.mark.boot

SETUP, CMDLINE, KERNEL, INITRD = 0x10000, 0x20000, 0x100000, 0x8000000
MIB = 1 << 20
STACK = 0x9000
ASK_VGA = 0xFFFD


def plan(vmlinuz, initrd, video_mode=0xFFFF):
    image, module = bytearray(vmlinuz.read_bytes()), initrd.read_bytes()
    split = (image[0x1F1] + 1) * 512  # setup_sects
    fields = (
        (0x1FA, 2, video_mode),
        (0x210, 1, 0xFF),  # type_of_loader
        (0x211, 1, image[0x211] | 0x80),  # CAN_USE_HEAP
        (0x218, 4, INITRD),
        (0x21C, 4, len(module)),
        (0x224, 2, STACK - 0x200),  # heap_end_ptr
        (0x228, 4, CMDLINE),
    )
    for offset, size, value in fields:
        image[offset : offset + size] = value.to_bytes(size, "little")
    data = SegmentRegister(SETUP >> 4, SETUP)
    code = SegmentRegister((SETUP >> 4) + 0x20, SETUP + 0x200, type=0xB)
    others = dict.fromkeys(("ds", "es", "fs", "gs", "ss"), data)
    machine = qemu.machine(512 * MIB, 2)
    pieces = (
        Piece("setup", bytes(image[:split]), at=SETUP, size=0x10000),
        Piece("command line", LINE.encode() + b"\0", at=CMDLINE),
        Piece("kernel", bytes(image[split:]), at=KERNEL, size=64 * MIB),
        Piece("initrd", module, Kind.MODULE, at=INITRD),
        *bios.pieces(machine, Ref(acpi.RSDP)),
        *acpi.tables(machine),
    )
    cpu = CpuState(cs=code, **others, rsp=STACK, idtr=bios.IDTR)
    return place(Entry("linux16 by hand", pieces, cpu), machine, BootInfo(cmdline=LINE.encode()))


def agrees(made, said):
    """What came by INT 10h, 12h and 15h, and the ACPI tables that the EBDA leads to."""
    page = bytes.fromhex(said["boot_params"])
    told = made.boot_info.memory_map
    assert page[0x1E8] == len(told)
    for number, range_ in enumerate(told):
        record = page[0x2D0 + 20 * number :][:20]
        assert int.from_bytes(record[:8], "little") == range_.start
        assert int.from_bytes(record[8:16], "little") == range_.size
        assert int.from_bytes(record[16:], "little") == range_.type
    # alt_mem_k (E801h), ext_mem_k (88h)
    assert int.from_bytes(page[0x1E0:0x1E4], "little") == 511 << 10
    assert int.from_bytes(page[0x002:0x004], "little") == 63 << 10
    # screen_info: cursor, mode, columns, lines, no VGA, the height of characters
    assert (page[0], page[1], page[6], page[7], page[0xE], page[0xF]) == (0, 0, 3, 80, 25, 0)
    assert page[0x10] == 16
    assert page[0x1EA] == page[0x1E9] == 0  # EDD: no drives
    assert said["cmdline"] == LINE
    assert said["cpus"] == 2
    rows = "\n".join(f"{low:x}-{high:x} : {name}" for _, low, high, name in said["iomem"])
    named = [row for row in Report({"iomem": rows}).iomem if row[2] in agreement.IN_IOMEM.values()]
    wanted = [(r.start, r.end, agreement.IN_IOMEM[r.type]) for r in told]
    (_, end, name), *others = wanted
    assert named == [(0, 4096, "Reserved"), (4096, end, name), *others]
    assert said["acpi"].keys() == {"APIC", "DSDT", "FACP", "FACS"}


@pytest.mark.parametrize("name", ["6.12-cloud", "6.1-686-pae"])
def test_linux_learns_what_the_plan_says(kernels, tmp_path, name):
    made = plan(kernels[name], initrd(tmp_path / "initrd", name, {}))
    with qemu.start(made, RunOptions("tcg")) as session:
        outcome, text = session.wait(120), session.console.text()
    assert outcome.kind is Ending.SHUTDOWN, text[-3000:]
    assert "Probing EDD (edd=off to disable)... ok" in text  # INT 10h
    assert f"ACPI: RSDP 0x{made.boot_info.rsdp:016X}" in text
    agrees(made, parse(text))


def test_the_user_is_asked_for_a_video_mode(kernels, tmp_path):
    """INT 10h, 16h and 1Ah, as vga=ask uses them; hexadecimal F00 is the mode that there is."""
    name = "6.12-cloud"
    made = plan(kernels[name], initrd(tmp_path / "initrd", name, {}), ASK_VGA)
    with qemu.start(made, RunOptions("tcg")) as session:
        console = session.console
        console.expect("<SPACE> to continue, or wait 30 sec", 60)
        console.write(b"\r")
        console.expect(r"0 F00   80x25      CGA/MDA/HGC", 60)
        console.expect("to scan for additional modes: ", 60)
        console.write(b"f00\r")
        console.expect("hvmlite-report: ", 120)
        agrees(made, json.loads(console.expect(r"(\{.*\})\r?\n", 60)[1]))
