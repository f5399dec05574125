# The 16-bit entry: from guest memory and registers back to BootInfo. All of it may be hostile.
from __future__ import annotations

from hvmlite.guest import bios
from hvmlite.model import BootInfo, CpuState, GuestMemory
from hvmlite.protocols._linux_decode import checked_header, module, nodes
from hvmlite.protocols._reading import Strings, read
from hvmlite.spec.linux import (
    CL_MAGIC,
    CL_MAGIC_AT,
    CL_OFFSET_AT,
    HEADER_START,
    SetupHeader,
    Version,
)

__all__ = ["decode"]

_END = HEADER_START + SetupHeader.SIZE


def decode(memory: GuestMemory, cpu: CpuState) -> BootInfo:
    """Read the header at DS:0x1f1, and what hvmlite's own BIOS would answer.

    :param memory: the guest's memory; every address in it is checked before use
    :raises FormatError: the header breaks the protocol or points outside RAM, or the BIOS is
        another; LimitError: what is pointed at is beyond what is read here
    """
    base = cpu.ds.base
    source = f"setup at {base:#x}"
    start = read(memory, base, _END, source)
    header = checked_header(SetupHeader.unpack(start, HEADER_START), source)
    line = header.cmd_line_ptr if header.version >= Version.V2_02 else 0
    if not line and _word(start, CL_MAGIC_AT) == CL_MAGIC:
        line = base + _word(start, CL_OFFSET_AT)
    return BootInfo(
        cmdline=Strings(memory).read(line, "command line"),
        modules=module(memory, header, header.ramdisk_image, header.ramdisk_size),
        memory_map=bios.memory_map(memory),
        rsdp=bios.rsdp(memory),
        setup_data=tuple(node for node, _ in nodes(memory, header)),
        hardware_subarch=header.hardware_subarch,
        hardware_subarch_data=header.hardware_subarch_data,
    )


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")
