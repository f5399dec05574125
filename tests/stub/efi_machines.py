"""Disks for UEFI, and machines with firmware of both widths that start from them."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

from boot import reporter
from hvmlite.spec import pe
from loaders import machine, media
from makers.pe import PAGE, Pe, Sect

HERE = Path(__file__).resolve().parent
EXTRA = """
block runtime cat /sys/firmware/efi/runtime
block width cat /sys/firmware/efi/fw_platform_size
block systab cat /sys/firmware/efi/config_table
block runtime_map sh -c 'for f in /sys/firmware/efi/runtime-map/*; do
	cat $f/type $f/phys_addr $f/num_pages $f/attribute | tr "\\n" " "; echo; done'
block firmware_map sh -c 'for f in /sys/firmware/memmap/*; do
	cat $f/start $f/end $f/type | tr "\\n" " "; echo; done'
block fb cat /proc/fb
block loader cat /proc/sys/kernel/bootloader_type
block dynamic sums /sys/firmware/acpi/tables/dynamic
echo "@done"
"""
"""What only a start by UEFI tells."""


VARIABLE = "hvmlite"
"""The firmware's, with an ACPI table: Linux asks for it by `efivar_ssdt=` and makes it its own."""


def ssdt() -> bytes:
    """A table that no firmware has: one name, of the value 42."""
    aml = b"\x08HVML\x0a\x2a"
    size = struct.pack("<I", 36 + len(aml))
    head = b"SSDT" + size + b"\x02\0HVMLITVARIABLE" + struct.pack("<I4sI", 1, b"HVML", 1)
    table = bytearray(head + aml)
    table[9] = -sum(table) % 256
    return bytes(table)


SET_VARIABLE = (
    f"setvar {VARIABLE} -guid 5d6f0d7e-5c3a-4f7b-9f1e-8a2b6c4d0e17 -bs -rt =H{ssdt().hex()}"
)


def archive(payload, binary=None):
    """The boot tests' initrd, whose init says a little more."""
    made = reporter.archive(payload, binary)
    init = reporter.INIT.read_bytes()
    assert init.count(b'echo "@done"\n') == 1
    return made.file("/init", init.replace(b'echo "@done"\n', EXTRA.encode()), 0o755)


def disk(path: Path, files: dict[str, bytes], commands=()) -> Path:
    """A FAT disk; `commands` are for the firmware's shell, which runs if there is no boot file."""
    if commands:
        text = "\r\n".join(["fs0:", *commands, "reset -s", ""])
        files = files | {"startup.nsh": b"\xff\xfe" + text.encode("utf-16-le")}
    return media.fat(path, files)


def run64(path: Path) -> str:
    """All that the serial port said until the machine was off. It has a screen."""
    return _run(*machine.ovmf(), *machine.variables(), *machine.disk(path))


def run32(path: Path) -> str:
    """The same with 32-bit firmware on a 64-bit processor."""
    return _run(*machine.ovmf_ia32(), *machine.disk(path))


def _run(*options):
    seen = machine.watch(options, until=machine.NEVER)
    assert seen.off, f"not off within {machine.SECONDS} s:\n{seen.said}"
    return seen.console


def plain(console: str) -> str:
    """Without the escape sequences of the firmware's console."""
    return re.sub(r"\x1b\[[0-9;?=]*[A-Za-z]|\r", "", console)


def compat_loader(folder: Path) -> bytes:
    """`compat_loader.c` as a program, linked to where its only section will be."""
    elf, flat = folder / "compat_loader.elf", folder / "compat_loader"
    flags = ["-m32", "-O1", "-ffreestanding", "-fno-stack-protector", "-fcf-protection=none"]
    flags += ["-fno-asynchronous-unwind-tables", "-Wall", "-Werror", "-fPIC", "-fvisibility=hidden"]
    link = ["-nostdlib", "-static", f"-Wl,-N,-Ttext={PAGE:#x},-e,efi_main"]
    link += ["-Wl,--no-warn-rwx-segments,--build-id=none"]
    source = HERE / "compat_loader.c"
    subprocess.run(["gcc", *flags, *link, "-o", elf, source], check=True)
    subprocess.run(["objcopy", "-O", "binary", elf, flat], check=True)
    header = subprocess.run(["readelf", "-h", elf], check=True, capture_output=True, text=True)
    entry = int(re.search(r"Entry point address: +(0x[0-9a-f]+)", header.stdout)[1], 16)
    code = Sect(".text", flat.read_bytes(), characteristics=0xE0000020)
    fields = {"AddressOfEntryPoint": entry}
    return Pe([code], bits=32, machine=pe.Machine.I386, optional=fields).build()
