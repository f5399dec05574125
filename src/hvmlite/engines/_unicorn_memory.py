"""Guest memory of the emulator: physical RAM in one sparse mapping, and linear addresses."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, NamedTuple

from hvmlite.errors import RequestError
from hvmlite.spec.x86 import CR0, CR4, EFER

if TYPE_CHECKING:
    from hvmlite.model import CpuState, Machine
    from hvmlite.wire import Buffer

__all__ = ["Access", "PageFault", "PhysicalMemory", "translate"]

_PAGE = 0x1000
_MAP_NORESERVE = 0x4000  # Linux; Python names it from 3.13 on
_WP, _PG = int(CR0.WP), int(CR0.PG)
_PSE, _PAE, _LA57 = int(CR4.PSE), int(CR4.PAE), int(CR4.LA57)
_SMEP, _SMAP = int(CR4.SMEP), int(CR4.SMAP)
_LMA, _NXE = int(EFER.LMA), int(EFER.NXE)

# Bits of a paging-structure entry (SDM volume 3, 4.5), and of a page fault's error code (4.7).
_PRESENT, _WRITABLE, _USER, _ACCESSED, _DIRTY, _LARGE, _NX = 1, 2, 4, 0x20, 0x40, 0x80, 1 << 63
_ADDRESS = 0x000F_FFFF_FFFF_F000
_P, _W, _U, _ID = 1, 2, 4, 0x10


class Access(NamedTuple):
    """What is done at a linear address: read by the system unless said otherwise."""

    write: bool = False
    user: bool = False
    fetch: bool = False


class PageFault(Exception):
    """The linear address is not mapped for this access; `code` is #PF's error code."""

    def __init__(self, address: int, code: int) -> None:
        super().__init__(f"page fault at {address:#x}, error code {code:#x}")
        self.address = address
        self.code = code


class PhysicalMemory:
    """All RAM of a machine; where there is none, reads give all ones and writes are lost.

    It is a :class:`hvmlite.model.GuestMemory` that refuses nothing.

    :raises RequestError: the host does not give as much
    """

    def __init__(self, machine: Machine) -> None:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        try:
            self.buffer = mmap.mmap(-1, machine.memory, flags=flags)
        except OSError as error:
            raise RequestError(
                f"memory: {machine.memory:#x} bytes found, no more than the host gives needed",
                field="memory",
            ) from error
        self.blocks = tuple(sorted(machine.ram, key=lambda block: block.start))
        self._view = memoryview(self.buffer)

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes at the physical `address`."""
        for block in self.blocks:
            if block.start <= address and address + size <= block.end:
                at = address - block.start + block.offset
                return self.buffer[at : at + size]
        out = bytearray(b"\xff" * size)
        for at, start, length in self._parts(address, size):
            out[start : start + length] = self._view[at : at + length]
        return bytes(out)

    def write(self, address: int, data: Buffer) -> None:
        """Put `data` at the physical `address`."""
        source = memoryview(data).cast("B")
        for at, start, length in self._parts(address, len(source)):
            self._view[at : at + length] = source[start : start + length]

    def forget(self, start: int, end: int) -> None:
        """Make zeros of the physical range, whole pages of which cost next to nothing."""
        for at, _, length in self._parts(start, end - start):
            first, last = -(-at // _PAGE) * _PAGE, (at + length) // _PAGE * _PAGE
            if first >= last:
                self._view[at : at + length] = bytes(length)
                continue
            self._view[at:first] = bytes(first - at)
            self._view[last : at + length] = bytes(at + length - last)
            self.buffer.madvise(mmap.MADV_DONTNEED, first, last - first)

    def _parts(self, address: int, size: int) -> list[tuple[int, int, int]]:
        # (offset in the buffer, offset in the range, length) of what of a range is RAM.
        parts = []
        for block in self.blocks:
            low, high = max(address, block.start), min(address + size, block.end)
            if low < high:
                parts.append((low - block.start + block.offset, low - address, high - low))
        return parts


def translate(memory: PhysicalMemory, cpu: CpuState, address: int, access: Access) -> int:
    """Return the physical address of a linear one (SDM volume 3, chapter 4).

    Accessed and dirty bits are set as the processor would.

    :raises PageFault: paging forbids this access
    """
    if not cpu.cr0 & _PG:
        return address & 0xFFFF_FFFF
    code = (_W if access.write else 0) | (_U if access.user else 0)
    if access.fetch and (cpu.efer & _NXE or cpu.cr4 & _SMEP):
        code |= _ID
    table, touched, rights, executable = cpu.cr3, [], _WRITABLE | _USER, True
    for shift, bits, size in _levels(cpu):
        top_of_pae = shift == 30 and bits == 2
        where = (table & (0xFFFF_FFE0 if top_of_pae else _ADDRESS)) + (
            address >> shift & (1 << bits) - 1
        ) * size
        entry = table = int.from_bytes(memory.read(where, size), "little")
        if not entry & _PRESENT:
            raise PageFault(address, code)
        if not top_of_pae:  # whose entries have no rights and no accessed bit
            rights &= entry
            executable = executable and not (entry & _NX and cpu.efer & _NXE)
            touched.append((where, entry, size))
        if shift == 12 or (entry & _LARGE and _may_be_large(cpu, shift, bits)):
            break
    if not _allowed(cpu, access, rights, executable=executable):
        raise PageFault(address, code | _P)
    touched[-1] = (where, entry | (_DIRTY if access.write else 0), size)
    for where, entry, size in touched:
        memory.write(where, (entry | _ACCESSED).to_bytes(size, "little"))
    frame = entry & _ADDRESS
    if shift == 22:  # PSE-36: bits 13-20 are address bits 32-39
        frame = frame & 0xFFC0_0000 | (frame >> 13 & 0xFF) << 32
    mask = (1 << shift) - 1
    return frame & ~mask | address & mask


def _levels(cpu: CpuState) -> list[tuple[int, int, int]]:
    # (shift, bits of the index, size of an entry), from the top.
    if not cpu.cr4 & _PAE:
        return [(22, 10, 4), (12, 10, 4)]
    if not cpu.efer & _LMA:
        return [(30, 2, 8), (21, 9, 8), (12, 9, 8)]
    return [(shift, 9, 8) for shift in range(48 if cpu.cr4 & _LA57 else 39, 11, -9)]


def _may_be_large(cpu: CpuState, shift: int, bits: int) -> bool:
    if shift == 22:
        return bool(cpu.cr4 & _PSE)
    return shift == 21 or (shift == 30 and bits == 9)


def _allowed(cpu: CpuState, access: Access, rights: int, *, executable: bool) -> bool:
    user_page = bool(rights & _USER)
    if access.user and not user_page:
        return False
    if not access.user and user_page:
        if access.fetch and cpu.cr4 & _SMEP:
            return False
        if not access.fetch and cpu.cr4 & _SMAP:
            return False  # what the processor does by itself is never excused by RFLAGS.AC
    if access.write and not rights & _WRITABLE and (access.user or cpu.cr0 & _WP):
        return False
    return executable or not access.fetch
