"""Guests of a few instructions, some of which say that they are Linux; and who runs them."""

from __future__ import annotations

from pathlib import Path

from makers import elf

LINUX_NOTE = elf.note("Linux", 0x101, b"\0\0\0\0")
HANG = b"\xf4\xeb\xfd"  # hlt; jmp .-1


def say(text):
    """Instructions that write text to the serial port."""
    return b"\xba\xf8\x03\x00\x00" + b"".join(b"\xb0" + bytes([byte]) + b"\xee" for byte in text)


def leave(status):
    return b"\xb0" + bytes([status]) + b"\xe6\xf4\xf4"  # mov al; out 0xf4, al; hlt


def guest(path, code, *, linux=False):
    """Write a PVH kernel that runs `code`; returns its path."""
    kernel = elf.Elf()
    notes = [elf.phys32_entry(0x100000, 8), *([LINUX_NOTE] if linux else [])]
    kernel.segments = [elf.Segment(code, paddr=0x100000), elf.notes_segment(*notes)]
    path.write_bytes(kernel.build())
    return path


def descendants(pid):
    """The processes below `pid`, whichever of its threads started them."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            below = [int(child) for child in task.read_text().split()]
        except OSError:  # it has ended meanwhile
            continue
        found += [*below, *(deeper for child in below for deeper in descendants(child))]
    return found


def gone(pid):
    """Whether a process has ended; one that nobody has waited for yet has, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
