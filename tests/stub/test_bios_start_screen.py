"""A person who has nothing but a PC's screen sees why a universal image does not start."""

from __future__ import annotations

import re
import struct
import subprocess
import time

import pytest

from hvmlite.spec import universal as u
from stub.bios_start import DISKS, TIMEOUT, drive, image, padded

pytestmark = [pytest.mark.boot, pytest.mark.usefixtures("microkernels")]

COLUMNS, LINES = 80, 25
BLACK_ON_WHITE = 0x70
KERNEL_MEMORY = 0x20
"""Of struct params in stub/universal/universal.h."""


@pytest.fixture
def disk(tmp_path, microkernels):
    """A disk whose kernel says that it needs 1 TiB."""
    data = bytearray(padded(image(microkernels / "linux32")))
    at = u.STUB_AT + u.PARAMS_OFFSET
    assert data[at : at + 4] == struct.pack("<I", u.PARAMS_MAGIC)
    struct.pack_into("<Q", data, at + KERNEL_MEMORY, 1 << 40)
    path = tmp_path / "disk"
    path.write_bytes(data)
    return path


def seen(folder, *arguments):
    """The screen's memory once the start has stopped, and what the serial port got."""
    serial, screen = folder / "serial", folder / "screen"
    command = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-accel", "tcg"]
    command += ["-m", "64", "-monitor", "stdio", "-serial", f"file:{serial}", *map(str, arguments)]
    machine = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + TIMEOUT
        while not (serial.exists() and re.search(rb"hvmlite: .*\n", serial.read_bytes())):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        size = COLUMNS * LINES * 2
        machine.communicate(f'pmemsave 0xb8000 {size} "{screen}"\nquit\n'.encode(), TIMEOUT)
    finally:
        machine.kill()
        machine.wait()
    (line,) = re.findall(r"^hvmlite: .*$", serial.read_text("latin-1"), re.MULTILINE)
    return screen.read_bytes(), line.rstrip("\r")


def rows(screen):
    text = screen[::2].decode("cp437")
    return [text[at : at + COLUMNS].rstrip() for at in range(0, len(text), COLUMNS)]


def test_the_line_is_on_the_screen_too(disk, tmp_path):
    screen, line = seen(tmp_path, *drive(disk), *DISKS["ide"], "-vga", "std")
    assert line.startswith("hvmlite: linux32: ")
    on_it = bytes(screen[at] for at in range(0, len(screen), 2) if screen[at + 1] == BLACK_ON_WHITE)
    assert on_it.decode() == line
    lines = rows(screen)
    assert "loading." in lines
    at = lines.index("loading.")
    assert "".join(lines[at + 1 :]).strip() == line
