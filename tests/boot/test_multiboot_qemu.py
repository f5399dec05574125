"""Multiboot 1 as QEMU's own ``-kernel`` does it: the same files, its information in our decoder."""

from __future__ import annotations

import json
import re
import subprocess
import time

import pytest

import hvmlite
from hvmlite.errors import FormatError
from hvmlite.guest.memory import PlanMemory
from hvmlite.model import CpuState, MemoryType
from hvmlite.protocols import multiboot1
from makers.multiboot import CODE, MIB, START, elf, header1, symbols

pytestmark = pytest.mark.boot
MEMORY = 64 * MIB


def flat():
    """Address fields, a bss behind the file, and the entry behind the header."""
    fields = (START + 8, START, 0, START + 0x3000, START + 40)
    return b"\xcc" * 8 + header1(0x10003, addresses=fields) + CODE


KERNELS = {
    "elf": elf(header1()),
    "elf, linked high": elf(header1(), vaddr=0xC0100000),
    "elf with sections": elf(header1(), sections=symbols()),
    "address fields": flat(),
}


class Qemu:
    """QEMU with a multiboot kernel, stopped when that waits; it is a GuestMemory."""

    def __init__(self, folder, kernel, cmdline, modules):
        self.folder = folder
        command = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-m", str(MEMORY // MIB)]
        command += ["-nodefaults", "-no-user-config", "-display", "none", "-qmp", "stdio"]
        command += ["-kernel", kernel, "-append", cmdline, "-initrd", modules]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.process.stdout.readline()
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        message = json.dumps({"execute": name, "arguments": arguments})
        self.process.stdin.write(message + "\n")
        self.process.stdin.flush()
        while "return" not in (answer := json.loads(self.process.stdout.readline())):
            assert "error" not in answer, answer
        return answer["return"]

    def wait(self, entry):
        """The processor once it halts in the kernel: its EIP, EAX and EBX."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            text = self.command("human-monitor-command", **{"command-line": "info registers"})
            found = {n: int(v, 16) for n, v in re.findall(r"\b(E\w\w) ?=([0-9a-f]{8})", text)}
            if entry <= found["EIP"] <= entry + len(CODE) and "HLT=1" in text:
                return found
            time.sleep(0.1)
        raise AssertionError(f"the kernel was not entered:\n{text}")

    def read(self, address, size):
        if not 0 <= address <= address + size <= MEMORY:
            raise FormatError(f"{size} bytes at {address:#x} are not all RAM", source="QEMU")
        path = self.folder / "memory"
        self.command("pmemsave", val=address, size=size, filename=str(path))
        return path.read_bytes()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.mark.parametrize("name", KERNELS)
def test_qemu_loads_and_tells_the_same(tmp_path, name):
    kernel, first, second = (tmp_path / each for each in ("kernel", "first", "second"))
    kernel.write_bytes(KERNELS[name])
    first.write_bytes(b"initrd" * 1000)
    second.write_bytes(b"s")
    ours = hvmlite.plan(
        kernel,
        modules=[(first, "one two"), (second, "")],
        cmdline="console=ttyS0",
        memory=MEMORY,
        protocol="multiboot1",
    )
    told = multiboot1.decode(PlanMemory(ours), ours.cpu)
    qemu = Qemu(tmp_path, kernel, "console=ttyS0", f"{first} one two,{second}")
    try:
        registers = qemu.wait(ours.cpu.rip)
        cpu = CpuState(rax=registers["EAX"], rbx=registers["EBX"])
        theirs = multiboot1.decode(qemu, cpu)
        loaded = [qemu.read(p.start, p.end - p.start) for p in kernel_pieces(ours)]
    finally:
        qemu.close()
    assert cpu.rax == ours.cpu.rax
    for piece, data in zip(kernel_pieces(ours), loaded, strict=True):
        assert data == bytes(piece.data).ljust(piece.end - piece.start, b"\0")
    # QEMU puts the file's name before every command line, as GRUB 0.9 did.
    assert theirs.cmdline == str(kernel).encode() + b" " + told.cmdline
    assert [m.data for m in theirs.modules] == [m.data for m in told.modules]
    lines = [f"{first} one two", f"{second}"]
    assert [m.cmdline for m in theirs.modules] == [line.encode() for line in lines]
    assert theirs.origin.loader == "qemu"
    # Its firmware keeps a part of the RAM; what it calls RAM above 1 MiB begins as ours does.
    high = [r for r in theirs.memory_map if r.start >= MIB and r.type == MemoryType.RAM]
    mine = [r for r in told.memory_map if r.start >= MIB and r.type == MemoryType.RAM]
    assert high[0].start == mine[0].start
    assert 0 <= mine[0].end - high[0].end < MIB


def kernel_pieces(plan):
    return [piece for piece in plan.pieces if piece.kind == "kernel"]
