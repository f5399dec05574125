"""What QEMU's own ``-kernel`` puts into memory, in our decoders: the same that our plan says.

QEMU loads the image, and its firmware enters it. It is stopped at the kernel's first instruction,
before that can have changed anything, and the memory saved.
"""

from __future__ import annotations

import mmap
import subprocess
from contextlib import contextmanager

import pytest

import hvmlite
import microkernel
from engines.gdb_remote import Remote, free_port
from hvmlite.errors import FormatError
from hvmlite.guest.memory import FlatMemory, PlanMemory
from hvmlite.model import CpuState, Machine, MemoryType, RamBlock, SegmentRegister
from hvmlite.protocols import linux16, linux32, pvh

pytestmark = pytest.mark.boot

MIB = 1 << 20
MEMORY = 128 * MIB
LINE = b"console=ttyS0 told=the,same"
INITRD = bytes(range(256)) * 21 + b"end"
FIRMWARE = 2 * MIB
"""No firmware keeps more RAM than this at its end for its own tables."""
CHOSEN = {
    "type_of_loader": (0x210, 1),
    "code32_start": (0x214, 4),  # QEMU loads at 1 MiB and lets the kernel move itself
    "ramdisk_image": (0x218, 4),
    "heap_end_ptr": (0x224, 2),
    "cmd_line_ptr": (0x228, 4),
}
"""What a loader chooses in the setup header (Documentation/arch/x86/boot.rst)."""


class Stopped:
    """QEMU's guest at an instruction: its registers, and its memory as a file."""

    def __init__(self, stub, path):
        self.stub, self.path = stub, path

    def at(self, address):
        """Go on to the linear `address`; the registers and the memory there."""
        # Its firmware has put the guest's memory there by then: a breakpoint in it cannot be lost.
        self.stub.run_to(address)
        assert self.stub.ask(b"z1,%x,1" % address) == b"OK"
        self.stub.monitor(f'pmemsave 0 {MEMORY:#x} "{self.path}"')
        with self.path.open("rb") as file:
            saved = mmap.mmap(file.fileno(), MEMORY, access=mmap.ACCESS_READ)
        self.path.unlink()
        # All is one block: where a PC has no RAM the file holds what the processor would see.
        machine = Machine("saved", MEMORY, (RamBlock(0, MEMORY, 0),), ())
        return self.stub.registers(), FlatMemory(saved, machine)


@contextmanager
def started(folder, kernel):
    (folder / "initrd").write_bytes(INITRD)
    port = free_port()
    command = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-m", f"{MEMORY // MIB}"]
    command += ["-nodefaults", "-no-user-config", "-display", "none", "-S"]
    command += ["-gdb", f"tcp:127.0.0.1:{port}", "-kernel", kernel, "-append", LINE.decode()]
    process = subprocess.Popen([*command, "-initrd", folder / "initrd"], stdin=subprocess.DEVNULL)
    try:
        with Remote(port) as stub:
            stub._socket.settimeout(120)
            yield Stopped(stub, folder / "memory")
    finally:
        process.kill()
        process.wait()


def plan(folder, kernel, protocol):
    return hvmlite.plan(
        kernel, protocol=protocol, initrds=[folder / "initrd"], cmdline=LINE, memory=MEMORY
    )


def agree(theirs, ours):
    """What both loaders were given, and the part of the map that no firmware takes for itself."""
    assert theirs.cmdline == ours.cmdline == LINE
    assert [m.data for m in theirs.modules] == [m.data for m in ours.modules] == [INITRD]
    for told in (theirs, ours):
        ram = [r for r in told.memory_map if r.type == MemoryType.RAM]
        assert ram[0].start == 0
        assert all(r.end <= 0xA0000 for r in ram[:-1])  # base memory, from whose end parts are cut
        assert sum(r.size for r in ram[:-1]) >= 0x98000
        assert ram[-1].start == MIB
        assert MEMORY - FIRMWARE <= ram[-1].end <= MEMORY
        assert {r.type for r in told.memory_map} <= {*MemoryType}


def number(data, at, size):
    return int.from_bytes(data[at : at + size], "little")


@pytest.mark.parametrize("name", ["6.1-cloud", "6.1-686-pae"])
def test_a_bzimage_by_its_16_bit_entry(kernels, tmp_path, name):
    with started(tmp_path, kernels[name]) as qemu:
        ours = plan(tmp_path, kernels[name], "linux16")
        entry = ours.cpu.cs.base + ours.cpu.rip
        registers, memory = qemu.at(entry)
        real_mode(kernels[name].read_bytes(), ours, registers, memory)
        # The image's own setup code then fills a zero page, from what the BIOS told it.
        registers, memory = qemu.at(number(memory.read(0x10000, 0x1000), 0x214, 4))
    told = linux32.decode(memory, CpuState(rsi=registers["rsi"]))
    agree(told, linux16.decode(PlanMemory(ours), ours.cpu))
    assert [registers[r] for r in ("rbx", "rbp", "rdi")] == [0, 0, 0]
    assert told.hardware_subarch == ours.boot_info.hardware_subarch == 0


def real_mode(image, ours, registers, memory):
    """Setup, kernel and registers at the 16-bit entry."""
    for name in ("cs", "ds", "es", "ss", "fs", "gs"):
        assert (name, registers[name]) == (name, getattr(ours.cpu, name).selector)
    assert registers["eflags"] & 0x200 == ours.cpu.rflags & 0x200 == 0  # interrupts are off
    base, size = ours.address_of("setup"), (image[0x1F1] + 1) * 512
    setup, mine = memory.read(base, size), PlanMemory(ours).read(base, size)
    chosen = {at + n for at, length in CHOSEN.values() for n in range(length)}
    assert [hex(n) for n in range(size) if n not in chosen and setup[n] != mine[n]] == []
    for page in (setup, mine):
        # Heap and stack are in the setup's segment, behind it, and where the header says.
        assert page[0x211] & 0x80
        assert size < number(page, 0x224, 2) + 0x200 <= 0x10000
    assert registers["rsp"] & 0xFFFF >= number(setup, 0x224, 2)
    code = memory.read(number(setup, 0x214, 4), len(image) - size)
    assert code == image[size:] == PlanMemory(ours).read(ours.address_of("kernel"), len(code))
    # Its BIOS is another one, which our decoder says.
    ds = SegmentRegister(selector=base >> 4, base=base)
    with pytest.raises(FormatError, match="not hvmlite's own"):
        linux16.decode(memory, CpuState(ds=ds))


def elf(folder, kernels, name):
    """A path of an ELF with a PVH entry: QEMU starts no bzImage by it."""
    if name in microkernel.ABIS:
        return microkernel.FOLDER / name
    path = folder / "vmlinux"
    path.write_bytes(hvmlite.open_image(kernels[name]).payload.image.data)
    return path


@pytest.mark.parametrize("name", ["pvh32", "pvh64", "6.12-cloud"])
def test_an_elf_by_pvh(kernels, microkernels, tmp_path, name):
    kernel = elf(tmp_path, kernels, name)
    with started(tmp_path, kernel) as qemu:
        ours = plan(tmp_path, kernel, "pvh")
        registers, memory = qemu.at(ours.cpu.rip)
    told = pvh.decode(memory, CpuState(rbx=registers["rbx"]))
    agree(told, pvh.decode(PlanMemory(ours), ours.cpu))
    assert told.rsdp
    assert memory.read(told.rsdp, 8) == b"RSD PTR "
    for piece in ours.pieces:
        if piece.kind == "kernel":
            data = bytes(piece.data)
            assert memory.read(piece.start, len(data)) == data
