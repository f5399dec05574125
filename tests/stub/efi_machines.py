"""Disks for UEFI, and machines with firmware of both widths that start from them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from boot import reporter
from hvmlite.spec import pe
from makers.pe import PAGE, Pe, Sect
from packages import OVMF, OVMF_IA32

HERE = Path(__file__).resolve().parent
SECONDS = 150
"""A start takes five to twenty on an idle machine."""
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
echo "@done"
"""
"""What only a start by UEFI tells."""


def archive(payload, binary=None):
    """The boot tests' initrd, whose init says a little more."""
    made = reporter.archive(payload, binary)
    init = reporter.INIT.read_bytes()
    assert init.count(b'echo "@done"\n') == 1
    return made.file("/init", init.replace(b'echo "@done"\n', EXTRA.encode()), 0o755)


def disk(path: Path, files: dict[str, bytes], commands=()) -> Path:
    """A FAT disk; `commands` are for the firmware's shell, which runs if there is no boot file."""
    folder = path.with_suffix(".files")
    folder.mkdir()
    subprocess.run(["mformat", "-C", "-i", path, "-T", str(64 << 11), "::"], check=True)
    if commands:
        text = "\r\n".join(["fs0:", *commands, "reset -s", ""])
        files = files | {"startup.nsh": b"\xff\xfe" + text.encode("utf-16-le")}
    made = set()
    for name, content in files.items():
        for parent in [*reversed(Path(name).parents)][1:]:
            if parent not in made:
                subprocess.run(["mmd", "-i", path, f"::/{parent}"], check=True)
                made.add(parent)
        file = folder / name.replace("/", "_")
        file.write_bytes(content)
        subprocess.run(["mcopy", "-i", path, file, f"::/{name}"], check=True)
    return path


def run64(path: Path) -> str:
    """All that the serial port said until the machine was off. It has a screen."""
    return _run(path, OVMF)


def run32(path: Path) -> str:
    """The same with 32-bit firmware on a 64-bit processor. Debian's is built for SMM."""
    return _run(path, OVMF_IA32, "-global", "driver=cfi.pflash01,property=secure,value=on")


def _run(path, firmware, *options):
    code = next(each for each in firmware if Path(each).is_file())
    variables = code.replace("CODE", "VARS").replace(".secboot", "")
    command = [
        *("qemu-system-x86_64", "-M", "q35,smm=on", "-accel", "tcg,thread=single"),
        # docs/engines.md: what TCG is bad at
        *("-cpu", "max,-cx16,-erms,-fsrm", "-m", "512", "-vga", "std", "-display", "none"),
        *("-serial", "stdio", "-no-reboot", "-net", "none", *options),
        *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}"),
        *("-drive", f"if=pflash,format=raw,unit=1,snapshot=on,file={variables}"),
        *("-drive", f"if=virtio,format=raw,file={path}"),
    ]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=True
        )
    except subprocess.TimeoutExpired as late:
        said = (late.stdout or b"").decode("latin-1")
        raise AssertionError(f"not off within {SECONDS} s:\n{said[-3000:]}") from late
    return done.stdout.decode("latin-1")


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
