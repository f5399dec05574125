"""The stub's decoders as a program of this machine, `decoders.c`: questions and answers."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hvmlite.model import MemoryRange

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent.parent / "stub" / "universal"
PARTS = ("handed", "from_pvh", "from_multiboot1", "from_multiboot2", "multiboot", "screen", "rsdp")
FLAGS = [
    *(
        "-std=gnu11",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-O1",
        "-g",
        "-fno-tree-loop-distribute-patterns",
    ),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
]
WAYS = ("pvh", "multiboot1", "multiboot2")
LOWEST = 0x10000
"""Below it no guest address can be one of the program's own."""


class Stopped(Exception):
    """The decoder's last words, without the way's name."""


@dataclass(frozen=True)
class Handed:
    """What a decoder made of a hand-off; modules are (start, size)."""

    page: bytes
    modules: tuple[tuple[int, int], ...]
    memory_map: tuple[MemoryRange, ...]
    cmdline: bytes
    node: bytes


class Decoders:
    """The running program; `close` it."""

    def __init__(self, folder: Path) -> None:
        program = folder / "decoders"
        sources = [HERE / "decoders.c", *(SOURCE / f"{part}.c" for part in PARTS)]
        command = ["gcc", *FLAGS, f"-I{SOURCE}", "-o", program, *sources]
        subprocess.run(command, check=True)
        self._program = program
        self._start()

    def _start(self):
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([self._program], stdin=pipe, stdout=pipe, stderr=pipe)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, way, address, regions, xen=None) -> Handed:
        """Decode; `regions` are (address, bytes), `xen` is the map that Xen would tell.

        :raises Stopped: the decoder refused
        """
        records = b"".join(struct.pack("<QQI", *record) for record in xen or ())
        head = (WAYS.index(way), len(regions), xen is not None, len(xen or ()), address)
        question = [struct.pack("<4IQ", *head), records]
        for start, data in regions:
            question += [struct.pack("<QQ", start, len(data)), data]
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"".join(question))
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        status, modules, map_, line, node = struct.unpack("<5I", self._read(20))
        if status:
            raise Stopped(self._read(line).decode())
        page, table, ranges = self._read(4096), self._read(16 * modules), self._read(20 * map_)
        return Handed(
            page,
            tuple(struct.iter_unpack("<QQ", table)),
            tuple(MemoryRange(a, a + n, t) for a, n, t in struct.iter_unpack("<QQI", ranges)),
            self._read(line),
            self._read(node),
        )

    def _read(self, size):
        assert self._process.stdout is not None
        data = self._process.stdout.read(size)
        if len(data) != size:
            _, said = self._process.communicate()
            code = self._process.returncode
            self._start()  # for the next question
            raise AssertionError(f"the decoders ended with {code}: {said.decode()}")
        return data
