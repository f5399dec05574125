"""Does what the guest says agree with the plan? Each rule of Linux's own stands with its file.

Nothing here uses :mod:`hvmlite.spec`: it is a second opinion on it.
"""

from __future__ import annotations

import re
from pathlib import Path

from boot.reporter import COMPLAINTS, Report, sums
from hvmlite.guest.memory import PlanMemory
from hvmlite.model import GuestPlan, Kind

INITRD = "module 0 (initrd)"
LINUX = ("linux64", "linux32", "linux16")
"""Protocols whose zero page is ours, or made by the kernel's setup code from what is ours."""
RAM, RESERVED, ACPI, NVS = 1, 2, 3, 4
# arch/x86/kernel/e820.c: e820_print_type and e820_type_to_string
IN_DMESG = {RAM: "usable", RESERVED: "reserved", ACPI: "ACPI data", NVS: "ACPI NVS"}
IN_IOMEM = {
    RAM: "System RAM",
    RESERVED: "Reserved",
    ACPI: "ACPI Tables",
    NVS: "ACPI Non-volatile Storage",
}
LEGACY = (0xA0000, 0x60000, RESERVED)
"""ISA_START_ADDRESS to ISA_END_ADDRESS, which Linux's PVH entry appends to any map that has room,
whether the map names it or not (init_pvh_bootparams in arch/x86/platform/pvh/enlighten.c)."""


def agrees(
    plan: GuestPlan, report: Report, payload: dict[str, bytes], image: Path | None = None
) -> None:
    """Every field that the guest can see equals the plan's; `image` is the file with the header."""
    assert report.cmdline == plan.boot_info.cmdline
    if plan.protocol in LINUX:
        page, expected = as_found(plan, report), linux_page(plan, image)
        different = [hex(n) for n in range(4096) if page[n] != expected[n]]
        assert not different
    else:
        assert report.boot_params == boot_params(plan)
    assert report.files == sums(payload)
    assert int(report["cpus"]) == plan.machine.cpus
    dmesg = report["dmesg"]
    assert f"Linux version {report.release} (" in dmesg
    told_early(plan, dmesg)
    resources(plan, report)
    acpi(plan, report)
    assert COMPLAINTS.search(dmesg) is None, COMPLAINTS.search(dmesg)


def boot_params(plan: GuestPlan) -> bytes:
    """The zero page that init_pvh_bootparams makes of the start info: these fields, else zeros.

    Offsets: Documentation/arch/x86/zero-page.rst and boot.rst. The RSDP's address is not in it;
    Linux takes it from the start info (pvh_get_root_pointer).
    """
    page = bytearray(4096)

    def put(offset: int, size: int, value: int) -> None:
        page[offset : offset + size] = value.to_bytes(size, "little")

    records = [(each.start, each.size, int(each.type)) for each in plan.boot_info.memory_map]
    if len(records) < 127:
        records.append(LEGACY)
    put(0x1E8, 1, len(records))
    for number, (start, size, type_) in enumerate(records):
        put(0x2D0 + 20 * number, 8, start)
        put(0x2D8 + 20 * number, 8, size)
        put(0x2E0 + 20 * number, 4, type_)
    put(0x206, 2, 0x20C)  # version
    put(0x210, 1, 0xB0)  # type_of_loader: "unregistered PVH loader", 0x90 on Xen
    if plan.boot_info.modules:
        put(0x218, 4, plan.address_of(INITRD))
        put(0x21C, 4, len(plan.boot_info.modules[0].data))
    put(0x228, 4, plan.address_of("command line"))
    return bytes(page)


KASLR_FLAG = 2
"""loadflags: set by the kernel's unpacker once it has looked for a random address."""


def as_found(plan: GuestPlan, report: Report) -> bytes:
    """The guest's zero page without what the kernel itself has written into it."""
    page = bytearray(report.boot_params)
    page[0x211] &= ~KASLR_FLAG
    if plan.protocol == "linux16":
        # The setup code asks the BIOS about screen, power management, SpeedStep, disks and memory
        # (arch/x86/boot/main.c); the RSDP is found by the unpacker. What is left: header and map.
        for start, end in ((0, 0x70), (0x78, 0x1E8), (0x1E9, 0x1F1), (0x290, 0x2D0), (0xCD0, 4096)):
            page[start:end] = bytes(end - start)
    if plan.protocol == "linux32":
        page[0x1E4:0x1E8] = bytes(4)  # scratch: startup_32's first stack (compressed/head_64.S)
    return bytes(page)


def linux_page(plan: GuestPlan, image: Path | None) -> bytes:
    """The zero page that boot.rst and zero-page.rst ask for, from the plan and the image's bytes.

    Without an image the kernel is an ELF, which has no header of its own.
    """
    page, info = bytearray(4096), plan.boot_info

    def put(offset: int, size: int, value: int) -> None:
        page[offset : offset + size] = value.to_bytes(size, "little")

    if image is None:
        put(0x1FE, 2, 0xAA55)
        page[0x202:0x206] = b"HdrS"
        put(0x206, 2, 0x20C)
        put(0x211, 1, 1)
        put(0x22C, 4, 0x7FFFFFFF)
        put(0x230, 4, 0x200000 if plan.protocol == "linux64" else 0)
    else:
        with image.open("rb") as file:
            start = file.read(0x300)
        end = 0x202 + start[0x201]
        page[0x1F1:end] = start[0x1F1:end]
        assert not page[0x211] & (0x42 | 0x80)  # KASLR, KEEP_SEGMENTS, CAN_USE_HEAP
    if plan.protocol == "linux16":
        page[0x211] |= 0x80
        put(0x224, 2, 0xE000 - 0x200)
    kernel = min(piece.start for piece in plan.pieces if piece.kind is Kind.KERNEL)
    (initrd,) = [piece for piece in plan.pieces if piece.kind is Kind.MODULE]
    put(0x210, 1, 0xFF)
    put(0x214, 4, kernel & 0xFFFFFFFF)
    put(0x218, 4, initrd.start & 0xFFFFFFFF)
    put(0x0C0, 4, initrd.start >> 32)
    put(
        0x21C,
        4,
        sum(-(-len(m.data) // 4) * 4 + 4 for m in info.modules[:-1]) + len(info.modules[-1].data),
    )
    put(0x228, 4, plan.address_of("command line"))
    put(0x070, 8, info.rsdp)
    nodes = [piece for piece in plan.pieces if piece.name in ("memory map", "setup_data 0")]
    if nodes:
        put(0x250, 8, min(nodes, key=lambda piece: piece.name).start)
    records = info.memory_map[:128]
    put(0x1E8, 1, len(records))
    for number, record in enumerate(records):
        put(0x2D0 + 20 * number, 8, record.start)
        put(0x2D8 + 20 * number, 8, record.size)
        put(0x2E0 + 20 * number, 4, int(record.type))
    return bytes(page)


def told_early(plan: GuestPlan, text: str) -> None:
    """The kernel's first lines: command line, memory map, initrd."""
    info = plan.boot_info
    found = re.findall(r"BIOS-e820: \[mem 0x(\w{16})-0x(\w{16})\] (.*?)\r?$", text, re.MULTILINE)
    # What LEGACY says is in the map already: it makes no line of its own.
    assert [(int(low, 16), int(high, 16) + 1, name) for low, high, name in found] == [
        (each.start, each.end, IN_DMESG[each.type]) for each in info.memory_map
    ]
    ramdisk = re.search(r"RAMDISK: \[mem 0x(\w+)-0x(\w+)\]", text)
    if not info.modules or not len(info.modules[0].data):
        assert ramdisk is None
        return
    name = "initrd" if plan.protocol in LINUX else INITRD
    (initrd,) = [piece for piece in plan.pieces if piece.name == name]
    # up to the end of its last page: reserve_initrd in arch/x86/kernel/setup.c
    end = -(-initrd.end // 4096) * 4096
    assert (int(ramdisk[1], 16), int(ramdisk[2], 16) + 1) == (initrd.start, end)


def resources(plan: GuestPlan, report: Report) -> None:
    """/proc/iomem shows the plan's map, and the kernel where the plan put it.

    The first page is no RAM for Linux, whatever the map says (trim_bios_range in
    arch/x86/kernel/setup.c).
    """
    expected = [(each.start, each.end, IN_IOMEM[each.type]) for each in plan.boot_info.memory_map]
    (start, end, name), *others = expected
    assert (start, name) == (0, "System RAM")
    expected = [(0, 4096, "Reserved"), (4096, end, name), *others]
    named = [row for row in report.iomem if row[2] in IN_IOMEM.values()]
    assert named == expected
    kernel = [piece for piece in plan.pieces if piece.kind is Kind.KERNEL]
    (code,) = report.ranges("Kernel code")
    (rodata,) = report.ranges("Kernel rodata")
    (data,) = report.ranges("Kernel data")
    (bss,) = report.ranges("Kernel bss")
    assert code[1] <= rodata[0]
    if report.boot_params[0x211] & KASLR_FLAG and plan.protocol in LINUX:
        randomised(plan, (code[0], bss[1]))
        return
    assert code[0] == kernel[0].start
    if len(kernel) == 1:  # a bzImage in its window, which its zero-filled memory may lie beyond
        assert rodata[1] <= data[0] < bss[0] < bss[1]
        return
    assert rodata[1] <= -(-kernel[0].end // 4096) * 4096
    assert data[0] == kernel[1].start
    assert kernel[-1].start <= bss[0] < bss[1] <= kernel[-1].end


def randomised(plan: GuestPlan, kernel: tuple[int, int]) -> None:
    """A kernel that has chosen its address (compressed/kaslr.c): RAM that is nobody else's."""
    start, end = kernel
    assert start % 0x200000 == 0
    assert any(
        r.start <= start and end <= r.end for r in plan.boot_info.memory_map if r.type == RAM
    )
    for piece in plan.pieces:
        if piece.kind is not Kind.KERNEL and piece.end > piece.start:
            assert end <= piece.start or piece.end <= start, piece


def acpi(plan: GuestPlan, report: Report) -> None:
    """The guest found all tables where they are and as long as they are, and has their bytes."""
    memory = PlanMemory(plan)
    tables, places = {}, set()
    for piece in plan.pieces:
        if piece.kind is Kind.ACPI:
            content = memory.read(piece.start, piece.end - piece.start)
            name = {"RSD ": "RSDP"}.get(content[:4].decode(), content[:4].decode())
            tables[name] = content
            if name != "RSDT":  # Linux takes the XSDT, and does not look at the other one
                places.add((name, piece.start, len(content)))
    found = re.findall(r"ACPI: (\w{4}) 0x([0-9A-F]{16}) ([0-9A-F]{6})", report["dmesg"])
    assert {(name, int(start, 16), int(size, 16)) for name, start, size in found} == places
    assert ("RSDP", plan.boot_info.rsdp) in {place[:2] for place in places}
    # Linux shows every table but those that only lead to the others.
    shown = {name: data for name, data in tables.items() if name not in ("RSDP", "RSDT", "XSDT")}
    assert report.tables == sums(shown)
