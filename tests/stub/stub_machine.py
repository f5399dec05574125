"""A universal image on the emulator: hand-made Linux starts, up to the entry of its kernel."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from pathlib import Path

import microkernel
from hvmlite import boot, images
from hvmlite.engines import unicorn
from hvmlite.engines._unicorn_emulator import Emulator, Reason
from hvmlite.images import Limits
from hvmlite.model import Ending
from hvmlite.spec import universal as u
from hvmlite.universal import wrap

MEMORY = 256 << 20
PAGE, LINE, INITRD, NODE = 0x90000, 0x98000, 0xC000000, 0x9A000
RAM, RESERVED = 1, 2
MAP = ((0, 0x9FC00, RAM), (0x9FC00, 0x400, RESERVED), (0x100000, MEMORY - 0x100000, RAM))
STATUS = 0x3B  # STOP_STATUS of stub/universal/core.h
CODE = ((0, 1 << 64),)


def parsed(data: bytes, name: str = "universal"):
    return images.parse(data, name, Limits())


def wrapped(kernel: str | Path = "linux64", **options):
    path = kernel if isinstance(kernel, Path) else microkernel.FOLDER / kernel
    return wrap(boot.open_image(path), **options)


class Start:
    """One image; each :meth:`run` starts it anew with what the caller has put into memory."""

    def __init__(self, elf: bytes, memory: int = MEMORY, protocol: str = "pvh") -> None:
        self.params = u.Params.unpack(elf, u.ELF_STUB_OFFSET + u.PARAMS_OFFSET)
        self.start = struct.unpack_from("<Q", elf, 24)[0]
        self.kernel = self.start + self.params.kernel_offset
        self.plan = boot.plan(
            parsed(elf), protocol=protocol, engine="unicorn", memory=memory, cmdline="of the plan"
        )
        self.emulator = Emulator(unicorn.machine(memory, 1))

    def run(self, cpu=None, writes=(), entries=None, budget=3_000_000, **registers):
        """Run to the kernel's entry; returns what stopped it."""
        base = self.plan.cpu if cpu is None else cpu
        self.emulator.load(self.plan, replace(base, **registers))
        for address, data in writes:
            self.emulator.write(address, data)
        entries = [self.kernel + self.params.kernel_entry] if entries is None else entries
        return self.emulator.run(until=entries, budget=budget, count=True)

    def linux(self, page: bytes, *writes, **options):
        """Enter by the 32-bit Linux protocol with this zero page."""
        registers = {"rbx": 0, "rbp": 0, "rdi": 0, "rsi": PAGE}
        return self.run(writes=((PAGE, page), *writes), **(registers | options))

    def page(self) -> bytes:
        """The zero page with which the kernel is entered."""
        return self.emulator.memory.read(self.emulator.cpu.rsi, 0x1000)

    def line(self) -> bytes:
        at = wide(self.page(), 0x228, 0xC8)
        return self.emulator.memory.read(at, 0x1000).split(b"\0")[0]

    def initrd(self) -> tuple[int, bytes]:
        page = self.page()
        at, size = wide(page, 0x218, 0xC0), wide(page, 0x21C, 0xC4)
        return at, self.emulator.memory.read(at, size)

    def refusal(self, stop) -> str:
        """The one line that was said before the end, without "hvmlite: "."""
        assert stop.reason is Reason.ENDED, (stop, bytes(self.emulator.ports.debug))
        assert stop.outcome.kind is Ending.EXITED
        assert stop.outcome.status == STATUS
        said = bytes(self.emulator.ports.debug)
        assert said == bytes(self.emulator.ports.serial)
        found = re.fullmatch(r"hvmlite: (.*)\r\n", said.decode("ascii"))
        assert found, said
        return found[1]


def wide(page: bytes, low: int, high: int) -> int:
    return int.from_bytes(page[low : low + 4] + page[high : high + 4], "little")


def zero_page(memory_map=MAP, *, line=0, initrd=(0, 0), setup_data=0, changes=()) -> bytes:
    """A zero page as a careful loader makes it, but for `changes`: (offset, bytes)."""
    page = bytearray(0x1000)
    page[0x1E8] = len(memory_map[:128])
    for number, entry in enumerate(memory_map[:128]):
        struct.pack_into("<QQI", page, 0x2D0 + 20 * number, *entry)
    page[0x1FE:0x200] = b"\x55\xaa"
    page[0x202:0x208] = b"HdrS\x0f\x02"
    page[0x210] = 0x72
    struct.pack_into("<IQ", page, 0x228, line & 0xFFFFFFFF, 0)
    struct.pack_into("<I", page, 0xC8, line >> 32)
    struct.pack_into("<II", page, 0x218, *(value & 0xFFFFFFFF for value in initrd))
    struct.pack_into("<II", page, 0xC0, *(value >> 32 for value in initrd))
    struct.pack_into("<Q", page, 0x250, setup_data)
    for at, data in changes:
        page[at : at + len(data)] = data
    return bytes(page)


def map_of(page: bytes) -> list[tuple[int, int, int]]:
    return [struct.unpack_from("<QQI", page, 0x2D0 + 20 * n) for n in range(page[0x1E8])]
