"""Reports of guests, made by hand, in the words of stub/report."""

from __future__ import annotations

import json

SUM = "ab" * 32
RAM, RESERVED, ACPI = 1, 2, 3
MAP = ((0, 0x9F000, RAM), (0x9F000, 0x1000, ACPI), (0x100000, 0x700000, RAM))


def zero_page(records=MAP, rsdp=0, count=None):
    """The zero page: Documentation/arch/x86/zero-page.rst has the offsets."""
    page = bytearray(4096)
    page[0x70:0x78] = rsdp.to_bytes(8, "little")
    page[0x1E8] = len(records) if count is None else count
    packed = e820(records)
    page[0x2D0 : 0x2D0 + len(packed)] = packed
    return bytes(page)


def e820(records):
    return b"".join(
        start.to_bytes(8, "little") + size.to_bytes(8, "little") + kind.to_bytes(4, "little")
        for start, size, kind in records
    )


def members(**changes):
    iomem = [
        [0, 0, 0xFFF, "Reserved"],
        [0, 0x1000, 0x9EFFF, "System RAM"],
        [0, 0x9F000, 0x9FFFF, "ACPI Tables"],
        [0, 0x100000, 0x7FFFFF, "System RAM"],
        [1, 0x200000, 0x2FFFFF, "Kernel code"],
    ]
    values = {
        "schema": 1, "release": "6.12.0", "machine": "x86_64", "cmdline": "console=ttyS0 \u00ff",
        "boot_params": zero_page().hex(), "setup_data": [], "iomem": iomem, "memory_kib": 8000,
        "cpus": 1, "files": {"/payload/a": SUM}, "acpi": {"DSDT": SUM}, "efi": False,
        "framebuffer": None, "hypervisor": None, "uptime_ms": 1234,
    }  # fmt: skip
    return {name: value for name, value in (values | changes).items() if value is not ...}


def line(**changes):
    return b"hvmlite-report: " + json.dumps(members(**changes)).encode() + b"\r\n"
