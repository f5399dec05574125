"""QEMU's command line for one plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hvmlite.engines import _q35 as q35
from hvmlite.engines._process import inherited

if TYPE_CHECKING:
    from pathlib import Path

    from hvmlite.model import Disk, Machine, RunOptions

__all__ = ["Descriptors", "arguments"]

# What q35 would add and the plan's machine does not describe.
_LEFT_OUT = ("i8042", "usb", "smbus", "sata", "vmport", "hpet", "graphics")
# What nobody needs even where firmware looks for itself. Without graphics SeaBIOS and OVMF write to
# the serial port, and so does what they start.
_NEVER = ("usb", "vmport", "graphics")

# CX16: before 8.0, TCG's CMPXCHG16B forgets to store the pending condition codes first, and an
# interrupt soon after it pushes garbage as EFLAGS. Linux's slab allocator uses it on every
# allocation: one boot of ten ends in a double fault. A kernel without CX16 takes another path.
# ERMS and FSRM: they tell guests that REP MOVSB and STOSB are fast, TCG does them byte by byte.
# Whoever wants another processor says -cpu again in `extra`.
_CPU = {"tcg": "max,cx16=off,erms=off,fsrm=off", "kvm": "host"}


class Descriptors(NamedTuple):
    """Guest RAM, the ROM, QEMU's end of the QMP socket, the write end of the log pipe.

    The ROM is the reset ROM, or on a machine with UEFI a copy of its variables.
    """

    ram: int
    rom: int
    qmp: int
    log: int


def arguments(
    machine: Machine,
    options: RunOptions,
    accelerator: str,
    fds: Descriptors,
    code: Path | None = None,
) -> list[str]:
    """Return all arguments after the program's name.

    :param accelerator: "tcg" or "kvm"
    :param fds: what QEMU inherits
    :param code: the flash image of a machine with UEFI
    """
    board = ["q35", "smm=on", "memory-backend=ram"]
    board += [f"{name}=off" for name in (_NEVER if machine.firmware else _LEFT_OUT)]
    backend = f"id=ram,size={machine.memory}B,mem-path={inherited(fds.ram)},share=on"
    args = ["-nodefaults", "-no-user-config", "-display", "none", "-S"]
    # One thread for all processors: with one each, TCG may run half of an instruction that another
    # processor is replacing, which Linux does to its own code all the time (docs/engines.md).
    args += ["-accel", accelerator + (",thread=single" if accelerator == "tcg" else "")]
    args += ["-machine", ",".join(board), "-cpu", _CPU.get(accelerator, "max")]
    args += ["-smp", str(machine.cpus)]
    args += ["-m", f"{machine.memory}B", "-object", f"memory-backend-file,{backend}"]
    args += _firmware(machine.firmware, fds, code)
    args += ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]
    args += ["-chardev", f"socket,id=qmp,fd={fds.qmp}", "-mon", "chardev=qmp,mode=control"]
    args += ["-device", f"isa-debug-exit,iobase={q35.EXIT_PORT:#x},iosize=4"]
    # The guest's end is looked at before QEMU goes: reset and power-off only stop the processors.
    args += ["-action", "reboot=shutdown,shutdown=pause,panic=shutdown"]
    args += ["-d", "cpu_reset", "-D", inherited(fds.log)]
    for number, disk in enumerate(machine.disks):
        args += _disk(number, disk, order=f",bootindex={number}" if machine.firmware else "")
    if options.gdb is not None:
        args += ["-gdb", f"tcp:127.0.0.1:{options.gdb}"]
    return [*args, *options.extra]


def _firmware(name: str, fds: Descriptors, code: Path | None) -> list[str]:
    if name == "seabios":
        return []  # QEMU's own choice
    if code is None:
        return ["-bios", inherited(fds.rom)]
    return [
        *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={_quoted(str(code))}"),
        *("-drive", f"if=pflash,format=raw,unit=1,file={inherited(fds.rom)}"),
    ]


def _disk(number: int, disk: Disk, order: str) -> list[str]:
    from pathlib import Path  # no import for a guest without a disk

    name = f"disk{number}"
    device = "ide-cd" if disk.cdrom else "virtio-blk-pci"
    # The driver is named, so that the path is a path and never a protocol. In options, not in JSON,
    # which has no way to write a path that is not UTF-8.
    kind = "host_device" if Path(disk.path).is_block_device() else "file"
    where = f"file.driver={kind},file.filename={_quoted(disk.path)}"
    if disk.snapshot and not disk.cdrom:
        # QEMU makes the file for the writes (in TMPDIR) and removes its name at once.
        drive = ["-drive", f"if=none,id={name},snapshot=on,{where},format={disk.format}"]
    else:
        only = "on" if disk.read_only or disk.cdrom else "off"
        node = f"node-name={name},driver={disk.format},read-only={only},file.read-only={only}"
        drive = ["-blockdev", f"{node},{where}"]
    # A full file system is an error to the guest. QEMU's own choice stops it for good instead: it
    # waits for an administrator, whom nobody calls.
    return [*drive, "-device", f"{device},drive={name},werror=report{order}"]


def _quoted(value: str) -> str:
    return value.replace(",", ",,")
