"""What a firmware or a loader on it tells, and what the kernel must be told of it in the end."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from stub import efi_tables as t
from stub.hand_offs import CMDLINE_MAX

RGB, BGR, MASKS, BLT_ONLY = range(4)
MASKS_IN_USE = (
    (0xF800, 0x7E0, 0x1F, 0),
    (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
    (0x3FF00000, 0xFFC00, 0x3FF, 0),
)
ODDITIES = ("\x01", "\x7f", "\x80", "\u07ff", "\u0800", "\ud800", "\udfff", "\U00010000", "\uffff")
"""Where UTF-8 gets longer, and halves of surrogates."""


@dataclass
class Screen:
    """Of EFI_GRAPHICS_OUTPUT_PROTOCOL; `console`: the interface of a console that writes there."""

    base: int
    width: int
    height: int
    format: int
    masks: tuple[int, ...]
    pixels_per_line: int
    console: int | None
    edid: bytes | None


@dataclass
class EfiTold:
    options: str | None
    """Load options or, of the other ways, the command line, as text."""
    offered: bytes | None
    """The initrd of LoadFile2, None if it says that there is none."""
    offers: bool
    files: dict[str, bytes]
    screens: list[Screen]
    rsdp: dict
    variables: dict
    map_changes: int
    map_grows: int
    map_takes: int
    """Whose memory is taken at the first of them: where the kernel might be to go."""
    pool_offset: int
    modules: list[bytes]
    loader: int
    setup_data: list[tuple[int, bytes]]
    copied: bool
    """Of a handover: whether the zero page begins as the file does."""
    odd: bool
    """Of load options: whether a byte is behind them that is no character."""
    console: int = 0
    garbage: bytes = b""


def tell(world, chance, **changes):
    """Anything that is right."""
    program, movable = world.way.startswith("efi"), world.params.flags
    values = {
        "options": options(world, chance),
        "offers": chance.random() < 0.4,
        "offered": chance.choice((None, chance.randbytes(chance.choice((1, 3, 5000))))),
        "files": {},
        "screens": [screen(world, chance) for _ in range(chance.choice((0, 1, 1, 2, 3)))],
        "rsdp": dict.fromkeys(chance.choice(
            ((), (t.ACPI_10,), (t.ACPI_20,), (t.ACPI_10, t.ACPI_20), (t.ACPI_20, t.ACPI_10))
        ), 0),
        "variables": variables(chance),
        "map_changes": chance.choice((0, 0, 1, 2, 3)),
        "map_grows": chance.choice((1, 3)),
        "map_takes": chance.choice((0, movable and world.params.kernel_address + 0x3000)),
        "pool_offset": chance.choice((0, 1, 3, 100)),
        "modules": [],
        "loader": chance.choice((0x21, 0x72, 0xFF)),
        "setup_data": [],
        "copied": chance.random() < 0.3,
        "odd": chance.random() < 0.2,
    }  # fmt: skip
    if program and values["options"] is not None and chance.random() < 0.3:
        name_files(world, values, chance)
    if world.way.startswith("multiboot2"):
        count = chance.choice((0, 1, 1, 2, 3, 5))
        if chance.random() < 0.03:
            count = chance.choice((64, chance.randrange(65)))
        values["modules"] = [chance.randbytes(chance.randrange(1, 3000)) for _ in range(count)]
    elif not program and chance.random() < 0.5:
        values["modules"] = [chance.randbytes(chance.choice((1, 3, 5000)))]
    if world.way.startswith("handover") and chance.random() < 0.3:
        kinds = (2, 3, 4, 9)
        values["setup_data"] = [
            (chance.choice(kinds), chance.randbytes(chance.randrange(60))) for _ in range(3)
        ]
    return EfiTold(**(values | changes))


def room_for_line(world):
    built_in = world.built_in[0]
    return CMDLINE_MAX - (len(built_in) + 1 if built_in else 0)


def options(world, chance):
    room = room_for_line(world)
    if chance.random() < 0.05:
        return None
    if chance.random() < 0.04:
        return text(chance, chance.choice((room - 3, room)))
    return text(chance, chance.choice((0, 1, chance.randrange(200), chance.randrange(200))))


def text(chance, size):
    """Characters whose UTF-8 has so many bytes."""
    found, left = [], size
    while left:
        if chance.random() < 0.9 or left < 4:
            run = min(left, chance.randrange(1, 40))
            found.append(chance.randbytes(run).translate(_ASCII).decode())
            left -= run
        else:
            one = chance.choice(ODDITIES)
            whole = "".join(found) + one
            if _halves(whole):
                continue
            found.append(one)
            left -= len(utf8(one))
    return "".join(found)


def _halves(text_):
    # Two that would become one.
    return text_[-1] == "\udfff" and text_[-2:-1] == "\ud800"


_ASCII = bytes(b % 95 + 32 for b in range(256))


def utf8(text_):
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text_).encode()


def name_files(world, values, chance):
    names = [f"\\dir\\{n}.img" for n in range(chance.randrange(1, 3))]
    words = " ".join(f"initrd={chance.choice(('', '/'))}{n[1:]}" for n in names)
    words = words.replace("\\", chance.choice(("\\", "/")))
    line = f"quiet {words}"
    if len(line) <= room_for_line(world):
        values["options"] = line
        sizes = (0, 1, 4095, 10_000)
        values["files"] = {n[1:]: chance.randbytes(chance.choice(sizes)) for n in names}


def screen(world, chance):
    high = chance.randrange(1 << 64) if world.width == 8 else chance.randrange(1 << 40)
    masks = chance.choice(MASKS_IN_USE)
    width = chance.randrange(1, 5000)
    return Screen(
        chance.choice((0xC0000000, high)),
        width,
        chance.randrange(1, 5000),
        chance.choice((RGB, BGR, BGR, MASKS, BLT_ONLY)),
        masks,
        width + chance.choice((0, 1, 64, 3000)),
        chance.choice((None, None, 0, 0x1234560)),  # EDK2's console has no interface
        chance.choice((None, b"", chance.randbytes(128), chance.randbytes(256))),
    )


def variables(chance):
    """Secure Boot's."""
    value = lambda: chance.choice((b"\0", b"\1"))  # noqa: E731
    found = {}
    if chance.random() < 0.7:
        found["SecureBoot", t.GLOBAL_VARIABLE] = (value(), 6)
    if chance.random() < 0.8:
        found["SetupMode", t.GLOBAL_VARIABLE] = (value(), 6)
    if chance.random() < 0.5:
        found["MokSBStateRT", t.SHIM_LOCK] = (value(), chance.choice((6, 7)))
    return found


UNKNOWN, OFF, ON = 1, 2, 3


def secure_boot(told):
    """Linux's enum efi_secureboot_mode, by drivers/firmware/efi/libstub/secureboot.c."""
    found = [told.variables.get((name, t.GLOBAL_VARIABLE)) for name in ("SecureBoot", "SetupMode")]
    if None in found:
        return OFF
    if found[0][0] == b"\0" or found[1][0] == b"\1":
        return OFF
    shim = told.variables.get(("MokSBStateRT", t.SHIM_LOCK))
    return OFF if shim and not shim[1] & 1 and shim[0] == b"\1" else ON


def chosen_screen(told):
    """The one that the console writes to, else the first with a frame buffer (libstub's gop.c)."""
    usable = [each for each in told.screens if each.format != BLT_ONLY]
    of_console = [each for each in usable if each.console is not None]
    return (of_console or usable or [None])[0]


def screen_info(one):
    """struct screen_info, as libstub's setup_gop() fills it in."""
    if one is None:
        return bytes(0x40)
    masks = {RGB: (0xFF, 0xFF00, 0xFF0000, 0xFF000000), BGR: (0xFF0000, 0xFF00, 0xFF, 0xFF000000)}
    colours = []
    for mask in masks.get(one.format, one.masks):
        position = (mask & -mask).bit_length() - 1 if mask else 0
        colours += [mask.bit_count(), position]
    depth = sum(colours[::2])
    line = one.pixels_per_line * depth // 8 & 0xFFFF
    capabilities = 1 | (2 if one.base >> 32 else 0)
    info = bytearray(0x40)
    info[0x0F] = 0x70
    struct.pack_into("<HHHII", info, 0x12, one.width, one.height, depth, one.base & 0xFFFFFFFF,
                     line * one.height & 0xFFFFFFFF)  # fmt: skip
    struct.pack_into("<H8B", info, 0x24, line, *colours)
    struct.pack_into("<H", info, 0x32, 1)
    struct.pack_into("<II", info, 0x36, capabilities, one.base >> 32)
    return bytes(info)
