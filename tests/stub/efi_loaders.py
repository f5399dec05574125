"""How a firmware, a loader by the handover protocol, and one by multiboot2 enter the stub."""

from __future__ import annotations

import struct

from stub.efi_firmware import RETURN
from stub.efi_memory import PAGE, Type

LINUX_HEADER = slice(0x1F1, 0x290)
MULTIBOOT2 = 0x36D76289
COMMAND_LINE, LOADER_NAME, MODULE, MAP, EFI32, EFI64, SERVICES, HANDLE32, HANDLE64 = (
    *(1, 2, 3, 6, 11, 12, 18, 19, 20),
)


def enter(world, told, layout, tables, handles, cpu, chance):
    """The processor at the entry, and pieces of memory: (name, start, end, data)."""
    how = {"efi": _program, "handover": _handover, "multiboot2-efi": _multiboot2}[world.way[:-2]]
    cpu, pieces, words = how(world, told, layout, tables, handles, cpu, chance)
    high = world.stack[1]
    # What called the program has something on it, too.
    rsp = high - 0x800 + 16 * chance.randrange(-32, 32) - world.width
    if world.width == 4:
        rsp -= 4 * chance.randrange(4)
    junk = chance.randbytes(high - rsp)
    data = struct.pack(f"<{len(words)}{'Q' if world.width == 8 else 'I'}", *words)
    pieces.append(("stack", rsp, high, data + junk[len(data) :]))
    cpu = cpu.with_register("rsp", rsp).with_register("rip", world.entry)
    return cpu, pieces


def _program(world, told, layout, tables, handles, cpu, chance):
    options, size = 0, 0
    if told.options is not None:
        data = told.options.encode("utf-16-le", "surrogatepass")
        if chance.random() < 0.7:
            data += bytes(2)
            if chance.random() < 0.3:
                data += chance.randbytes(40)
        size = len(data)
        if told.odd:
            data, size = data + b"x", size + 1
        options = tables.boot.put(data, 2)
    handle, volume = handles
    start, end = world.loaded
    image = start, end - start
    junk = chance.getrandbits(32)
    tables.loaded_image(handle, volume, options, size, image, junk=junk)
    if world.width == 4:
        # Behind the two arguments is whatever was there, often the image.
        third = chance.choice((chance.getrandbits(32), start, 0))
        return cpu, [], (world.rom + RETURN, handle, tables.system, third)
    cpu = cpu.with_register("rcx", handle).with_register("rdx", tables.system)
    cpu = cpu.with_register("rsi", chance.choice((cpu.rsi, start, 0)))
    return cpu, [], (world.rom + RETURN,)


def _handover(world, told, layout, tables, handles, cpu, chance):
    handle, _ = handles
    page = bytearray(PAGE)
    if told.copied:  # which the sentinel tells
        page[:] = world.header
    else:
        page[LINUX_HEADER] = world.header[LINUX_HEADER]
    page[0x210] = told.loader
    struct.pack_into("<I", page, 0x214, world.loaded[0] & 0xFFFFFFFF)
    pieces, below = [], 1 << 32
    if told.options is not None:
        line = told.options.encode("utf-8", "surrogatepass")
        at = layout.region(len(line) + 1, Type.LOADER_DATA, below=below)
        struct.pack_into("<I", page, 0x228, at)
        pieces.append(("line", at, at + len(line) + 1, line + b"\0"))
    if told.modules:
        (data,) = told.modules
        at = layout.region(len(data), Type.LOADER_DATA, below=below)
        struct.pack_into("<II", page, 0x218, at, len(data))
        pieces.append(("initrd", at, at + len(data), data))
    link = 0
    for kind, data in reversed(told.setup_data):
        high = 1 << 64 if world.bits == 64 else below
        at = layout.region(len(data) + 16, Type.LOADER_DATA, below=high)
        node = struct.pack("<QII", link, kind, len(data)) + data
        pieces.append((f"node {at:#x}", at, at + len(node), node))
        link = at
    struct.pack_into("<Q", page, 0x250, link)
    at = layout.region(PAGE, Type.LOADER_DATA, below=below)
    pieces.append(("zero page", at, at + PAGE, bytes(page)))
    if world.width == 4:
        return cpu, pieces, (world.rom + RETURN, handle, tables.system, at)
    cpu = cpu.with_register("rdi", handle).with_register("rsi", tables.system)
    return cpu.with_register("rdx", at), pieces, (world.rom + RETURN,)


def _multiboot2(world, told, layout, tables, handles, cpu, chance):
    handle, _ = handles
    wide, pieces, tags = world.width == 8, [], []
    below = 1 << 32
    pointer = "<Q" if wide else "<I"
    tags.append((EFI64 if wide else EFI32, struct.pack(pointer, tables.system)))
    tags.append((HANDLE64 if wide else HANDLE32, struct.pack(pointer, handle)))
    tags.append((SERVICES, b""))
    if told.options is not None:
        tags.append((COMMAND_LINE, told.options.encode("utf-8", "surrogatepass") + b"\0"))
    if told.loader == 0x72:
        tags.append((LOADER_NAME, b"GRUB 2.06\0"))
    if chance.random() < 0.5:  # not what counts
        tags.append((MAP, struct.pack("<II", 24, 0) + struct.pack("<QQII", 0, 0x9F000, 1, 0)))
    chance.shuffle(tags)
    for number, data in enumerate(told.modules):
        at = layout.region(len(data), Type.LOADER_DATA, below=below)
        pieces.append((f"module {number}", at, at + len(data), data))
        tags.append((MODULE, struct.pack("<II", at, at + len(data)) + b"its own\0"))
    tags.append((0, b""))
    body = b""
    for kind, data in tags:
        body += struct.pack("<II", kind, 8 + len(data)) + data
        body += bytes(-len(body) % 8)
    info = struct.pack("<II", 8 + len(body), 0) + body
    at = layout.region(len(info), Type.LOADER_DATA, below=below)
    pieces.append(("information", at, at + len(info), info))
    eax, ebx = MULTIBOOT2, at
    if wide:  # upper halves are nobody's
        eax, ebx = (v | chance.getrandbits(32) << 32 for v in (eax, ebx))
    return cpu.with_register("rax", eax).with_register("rbx", ebx), pieces, ()
