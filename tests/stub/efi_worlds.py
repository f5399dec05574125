"""A universal image in memory as UEFI firmware, or a boot loader on it, has loaded it there."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from functools import cache

from hvmlite.spec import universal as u
from hvmlite.universal import wrap
from makers import linux
from stub.efi_firmware import ROM_SIZE, code
from stub.hand_offs import BUILT_IN, GIB, HEADER, MIB, Range

WAYS = ("efi64", "efi32", "handover64", "handover32", "multiboot2-efi64", "multiboot2-efi32")
INITRD = b"initrd!" * 9
INITRD_MAX = 0x5FFFFFF
"""Of the kernel, unless it takes one anywhere: not all RAM is below."""
PAGE = 0x1000
ROMS = (0x50000, 0x6F00000, 4 * GIB + 5 * MIB)
"""Where the firmware's code may be; its stack is behind it."""
STACK_SIZE = 0x22000
"""128 KiB, and what is in use of it."""
SPOTS = (0x1000, 17 * MIB + 0x3000, 48 * MIB, 99 * MIB + 0x1000, 4 * GIB + MIB + 0x5000)
"""Where the image may be that is not where it wants to be. The last is for 64-bit firmware."""
HANDOVER32, MIXED_MODE = 4, 8 | 4
XLOADFLAGS = {64: 3 | MIXED_MODE, 32: MIXED_MODE & ~HANDOVER32}


@dataclass(frozen=True)
class EfiWorld:
    """`memory` is loaded at `loaded`, which may be longer: zeros."""

    way: str
    width: int
    bits: int
    params: u.Params
    memory: bytes
    loaded: Range
    entry: int
    start: int
    rom: int
    kernel: bytes
    built_in: tuple[bytes, bytes]
    header: bytes
    """The first 4 KiB of the file, where it is the bzImage-shaped one."""

    @property
    def own(self):
        """What the stub may write to: all that was loaded, and behind it the kernel's room."""
        return (self.loaded,)

    @property
    def stack(self):
        """The firmware's. That writes to it are not looked at is a fifth of the time."""
        return self.rom + ROM_SIZE, self.rom + ROM_SIZE + STACK_SIZE

    @property
    def code(self):
        """What may be executed until the kernel is entered."""
        found = (*code(self.rom), (self.start, self.start + u.STUB_MAX))
        if self.way.startswith("handover"):
            found = ((self.loaded[0], self.loaded[0] + u.PROTECTED_ELF), *found)
        return found


@cache
def _files(bits, relocatable, built_in, firmware, mixed):
    flags = XLOADFLAGS[bits] if mixed else XLOADFLAGS[bits] & ~MIXED_MODE
    header = HEADER | {"xloadflags": flags, "initrd_addr_max": INITRD_MAX}
    if not relocatable:
        header |= {"relocatable_kernel": 0}
    told = (BUILT_IN, INITRD) if built_in else (b"", b"")
    made = wrap(
        linux.bzimage(code=0x300, **header), initrds=[told[1]], cmdline=told[0], efi=firmware
    )
    return made.image_bytes(), made.elf_bytes(), told


def _program(file, at):
    """What LoadImage makes of a PE file: where its entry is, its wish, and the memory."""
    (pe,) = struct.unpack_from("<I", file, 0x3C)
    count, optional = (struct.unpack_from("<H", file, pe + n)[0] for n in (6, 20))
    header = pe + 24
    wide = struct.unpack_from("<H", file, header)[0] == 0x20B
    (entry,) = struct.unpack_from("<I", file, header + 16)
    (base,) = (
        struct.unpack_from("<Q", file, header + 24)
        if wide
        else struct.unpack_from("<I", file, header + 28)
    )
    size, headers = struct.unpack_from("<II", file, header + 56)
    memory = bytearray(b"\xa5" * size)
    memory[:headers] = file[:headers]
    for number in range(count):
        section = header + optional + 40 * number
        length, address, raw, where = struct.unpack_from("<4I", file, section + 8)
        data = file[where : where + min(raw, length)].ljust(length, b"\0")
        memory[address : address + length] = data
    at = base if at is None else at
    return bytes(memory), (at, at + size), at + entry


@cache
def efi_world(
    way, *, bits=64, relocatable=True, built_in=False, mixed=True, spot=None, rom=ROMS[1]
):
    """The image that `way` starts.

    :param mixed: whether the kernel has the handover entries that tell of EFI's mixed mode
    :param spot: where it is; None is where it wants to be
    """
    width = 4 if way.endswith("32") else 8
    firmware = "ia32" if width == 4 else "x64"
    file, elf, told = _files(bits, relocatable, built_in, firmware, mixed)
    params = u.Params.unpack(file, u.STUB_AT + u.PARAMS_OFFSET)
    kernel = file[u.STUB_AT + params.kernel_offset :][: params.kernel_size]
    if way.startswith("efi"):
        memory, loaded, entry = _program(file, spot)
        start = loaded[0] + u.STUB_AT
        assert entry == start
    elif way.startswith("handover"):
        (offset,) = struct.unpack_from("<I", file, 0x264)
        pref, init_size = struct.unpack_from("<QI", file, 0x258)
        at = pref if spot is None else spot
        memory, loaded = file[u.HEAD_SIZE :], (at, at + -(-init_size // PAGE) * PAGE)
        entry = at + offset + (0x200 if width == 8 else 0)
        start = at + u.PROTECTED_ELF + u.ELF_STUB_OFFSET
    else:
        segment = struct.unpack_from("<8Q", elf, struct.unpack_from("<Q", elf, 32)[0])
        at = segment[3] if spot is None else spot
        memory, loaded = elf, (at, at + segment[5])
        entry = start = at + u.ELF_STUB_OFFSET
    return EfiWorld(
        way, width, bits, params, memory, loaded, entry, start, rom, kernel, told, file[:PAGE]
    )


def drawn_world(way, chance):
    """One of all that there are."""
    width = 4 if way.endswith("32") else 8
    kind = {"bits": chance.choice((64, 64, 64, 32)), "built_in": chance.random() < 0.3}
    kind["relocatable"] = chance.random() < 0.85
    spot = chance.choice((None, None, *SPOTS[:-1]))
    # There a 32-bit kernel's stub goes on in a copy, whose code is translated for each start.
    if width == 8 and way != "multiboot2-efi64" and chance.random() < 0.1:
        kind["bits"], spot = chance.choice((64,) * 7 + (32,)), SPOTS[-1]
    rom = chance.choice(ROMS if width == 8 else ROMS[:2])
    world = efi_world(way, **kind, spot=spot, rom=rom)
    start, end = world.loaded
    if start < world.stack[1] and rom < end:
        world = replace(world, rom=ROMS[1])
    return world
