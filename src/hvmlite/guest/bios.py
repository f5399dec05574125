"""BIOS services for guests that expect a PC under them: real-mode code, multiboot kernels.

The code is a blob of our own (``stub/bios``). It says where the handler of each interrupt is and
takes the memory map behind itself. The guest finds what every PC has: the vectors at 0, the BIOS
data area at 0x400, the memory map by INT 15h, the ACPI tables by the EBDA's segment.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

from hvmlite import blobs
from hvmlite.errors import FormatError, PlacementError
from hvmlite.guest import layout
from hvmlite.guest._map import known
from hvmlite.model import (
    DescriptorTable,
    Fixup,
    Kind,
    Machine,
    MemoryRange,
    MemoryType,
    Piece,
    Ref,
)
from hvmlite.spec.bios import BiosDataArea, Equipment, FarPointer
from hvmlite.spec.linux import BootE820Entry
from hvmlite.wire import Struct, array, raw, u16

if TYPE_CHECKING:
    from hvmlite.model import GuestMemory

__all__ = ["IDTR", "memory_map", "pieces", "rsdp"]

IDTR = DescriptorTable(layout.IVT.low, 256 * FarPointer.SIZE - 1)
"""The interrupt descriptor table register of a processor in real mode (SDM volume 3, 21.1.4)."""

_SYSTEM_SERVICES = 0x15
_MAGIC = b"HVMLBIOS"
_MIB = 1 << 20
_MOST_EXTENDED_KIB = 63 << 10  # what INT 15h, 88h says at most on a PC
_RSDP_WINDOW = 1 << 10  # of the EBDA, where an RSDP is looked for (ACPI 6.5, 5.2.5.1)
_RSDP_STEP = 16
_BASE_KIB = layout.LEGACY_HOLE.low >> 10


class _Header(Struct, size=0x14):
    # stub/bios/header.S
    magic: bytes = raw(0x00, 8)
    map_offset: int = u16(0x08)
    vectors_offset: int = u16(0x0A)
    map_count: int = u16(0x0C)
    below_16m_kib: int = u16(0x0E)
    above_16m_blocks: int = u16(0x10)
    extended_kib: int = u16(0x12)


class _Vectors(Struct, size=512):
    offsets: tuple[int, ...] = array(0, 2, 256)


def pieces(machine: Machine, rsdp: Ref | None) -> tuple[Piece, ...]:
    """Return the interrupt vectors, the BIOS data area, and the BIOS itself.

    What INT 15h, E820h answers is the plan's memory map, in which the BIOS is reserved. The console
    is the machine's first serial port.

    :param rsdp: where the ACPI root pointer is: in base memory, at a multiple of 16
    :raises UnsupportedError: the BIOS was not built
    """
    code = blobs.read("bios")
    size = layout.BIOS.high - layout.BIOS.low
    return (
        Piece(
            "interrupt vectors",
            _interrupt_vectors(code),
            Kind.DESCRIPTORS,
            at=layout.IVT.low,
        ),
        _data_area(machine, rsdp),
        Piece(
            "BIOS",
            kind=Kind.CODE,
            size=size,
            at=layout.BIOS.low,
            memory_type=MemoryType.RESERVED,
            late=partial(_with_map, code, size),
        ),
    )


@cache  # of the one BIOS that there is
def _interrupt_vectors(code: bytes) -> bytes:
    header = _Header.unpack(code, source="BIOS")
    vectors = _Vectors.unpack(code, header.vectors_offset, source="BIOS")
    segment = layout.BIOS.low >> 4
    return b"".join(FarPointer(offset=at, segment=segment).pack() for at in vectors.offsets)


def _data_area(machine: Machine, rsdp: Ref | None) -> Piece:
    ports = tuple(each.port for each in machine.platform.serial[:4])
    equipment = Equipment.FPU | Equipment.COLOR_80X25 | Equipment.SERIAL_PORT * len(ports)
    area = BiosDataArea(
        serial_ports=ports,
        equipment=equipment,
        # An empty ring of 16 keys.
        keyboard_head=0x1E,
        keyboard_tail=0x1E,
        keyboard_start=0x1E,
        keyboard_end=0x3E,
        # The text mode in which a PC starts.
        video_mode=3,
        columns=80,
        page_size=0x1000,
        cursor_shape=0x0607,
        crtc_port=0x3D4,
        last_row=24,
        character_height=16,
    )

    def late(map_: tuple[MemoryRange, ...]) -> bytes:
        return area.replace(base_memory_kib=_base_kib(map_)).pack()

    # A fixup has 32 bits at least: it writes over the equipment word, which `_seal` puts back.
    at = BiosDataArea.FIELDS["ebda_segment"].offset
    return Piece(
        "BIOS data area",
        size=BiosDataArea.SIZE,
        at=layout.BDA.low,
        fixups=() if rsdp is None else (Fixup(at, 4, rsdp),),
        late=late,
        seal=None if rsdp is None else partial(_seal, equipment),
    )


def _base_kib(map_: tuple[MemoryRange, ...]) -> int:
    first = map_[0]
    return (
        min(first.end >> 10, _BASE_KIB) if (first.start, first.type) == (0, MemoryType.RAM) else 0
    )


def _seal(equipment: int, data: bytearray) -> None:
    area = BiosDataArea.unpack(data)
    address = area.ebda_segment | area.equipment << 16
    if address % _RSDP_STEP or address >= layout.LEGACY_HOLE.low:
        raise PlacementError(
            f"RSDP: {address:#x} found, a multiple of 0x10 in base memory needed",
            piece="RSDP",
            need=0,
            limit=layout.LEGACY_HOLE.low,
        )
    data[:] = area.replace(ebda_segment=address >> 4, equipment=equipment).pack()


def _with_map(code: bytes, size: int, map_: tuple[MemoryRange, ...]) -> bytes:
    # The blob with its fields and the records of INT 15h, E820h.
    most = (size - len(code)) // BootE820Entry.SIZE
    if len(map_) > most:
        raise PlacementError(
            f"BIOS: a memory map of {len(map_)} records found, at most {most} needed",
            piece="BIOS",
            need=len(code) + BootE820Entry.SIZE * len(map_),
            limit=layout.BIOS.high,
        )
    below, above, extended = _sizes(map_)
    header = _Header.unpack(code, source="BIOS").replace(
        map_count=len(map_),
        below_16m_kib=below,
        above_16m_blocks=above,
        extended_kib=extended,
    )
    records = (BootE820Entry(addr=r.start, size=r.size, type=r.type).pack() for r in map_)
    return header.pack() + code[_Header.SIZE :] + b"".join(records)


def _sizes(map_: tuple[MemoryRange, ...]) -> tuple[int, int, int]:
    # What the older questions answer: RAM from 1 MiB on, up to the first hole.
    start, split = layout.HIGH_MEMORY, 16 * _MIB
    ends = (r.end for r in map_ if r.type == MemoryType.RAM and r.start <= start < r.end)
    end = min(next(ends, start), layout.FOUR_GIB)
    below = (min(end, split) - start) >> 10
    above = (max(end, split) - split) >> 16
    return below, above, min((end - start) >> 10, _MOST_EXTENDED_KIB)


def memory_map(memory: GuestMemory) -> tuple[MemoryRange, ...]:
    """Return the memory map that INT 15h, E820h of our own BIOS answers.

    :raises FormatError: the vector leads to no such BIOS, or to a broken one
    """
    vector = layout.IVT.low + FarPointer.SIZE * _SYSTEM_SERVICES
    start = FarPointer.unpack(memory.read(vector, FarPointer.SIZE)).segment << 4
    header = _Header.unpack(memory.read(start, _Header.SIZE))
    room = layout.BIOS.high - layout.BIOS.low - header.map_offset
    if header.magic != _MAGIC or header.map_count * BootE820Entry.SIZE > room:
        raise FormatError(
            "INT 15h leads to a BIOS that is not hvmlite's own, its memory map is needed",
            source="BIOS",
            offset=start,
        )
    size = header.map_count * BootE820Entry.SIZE
    records = BootE820Entry.unpack_all(memory.read(start + header.map_offset, size))
    for number, record in enumerate(records):
        if record.addr + record.size > 1 << 64:
            raise FormatError(
                f"record {number} is {record.size:#x} bytes at {record.addr:#x}, "
                "an end within 64 bits is needed",
                source="memory map",
            )
    return tuple(MemoryRange(r.addr, r.addr + r.size, known(r.type)) for r in records)


def rsdp(memory: GuestMemory) -> int:
    """Return the address of the ACPI root pointer that a guest finds in the EBDA; 0 without one.

    :raises FormatError: there is no RAM where a PC has its BIOS data area
    """
    area = BiosDataArea.unpack(memory.read(layout.BDA.low, BiosDataArea.SIZE))
    start = area.ebda_segment << 4
    end = min(start + _RSDP_WINDOW, layout.LEGACY_HOLE.low)
    if not layout.FIRST_FREE <= start < end:
        return 0
    try:
        window = memory.read(start, end - start)
    except FormatError:  # no RAM: nothing is there
        return 0
    places = range(0, len(window), _RSDP_STEP)
    return next((start + at for at in places if window.startswith(b"RSD PTR ", at)), 0)
