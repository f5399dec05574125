"""Guests in assembly, for any engine."""

from __future__ import annotations

import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent


def assembled(name: str, folder: Path, *, bits: int, at: int) -> tuple[bytes, dict[str, int]]:
    """The flat code of a program, and the addresses of its labels."""
    obj, elf, flat = (folder / f"{name}{end}" for end in (".o", ".elf", ".bin"))
    subprocess.run(["as", f"--{bits}", "-o", obj, FOLDER / f"{name}.S"], check=True)
    machine = "elf_x86_64" if bits == 64 else "elf_i386"
    subprocess.run(["ld", "-m", machine, f"-Ttext={at:#x}", "-o", elf, obj], check=True)
    subprocess.run(["objcopy", "-O", "binary", elf, flat], check=True)
    listing = subprocess.run(["nm", elf], check=True, capture_output=True, text=True).stdout
    labels = {line.split()[2]: int(line.split()[0], 16) for line in listing.splitlines()}
    return flat.read_bytes(), labels
