# The Linux boot protocol: memory and registers of the 32-bit and the 64-bit entry.
from __future__ import annotations

from hvmlite.errors import RequestError
from hvmlite.guest import layout, paging, segments
from hvmlite.model import BootInfo, CpuState, Entry, Kind, Machine, Offer, Piece, Reason, Ref
from hvmlite.protocols import _linux_handed as handed
from hvmlite.protocols._linux_header import header_of
from hvmlite.protocols._linux_load import code, load
from hvmlite.protocols._linux_offer import above_4g
from hvmlite.protocols._linux_zero_page import ZERO_PAGE, zero_page
from hvmlite.protocols._pieces import KERNEL, check_lines, elf_kernel, entry_ref, flat_cpu
from hvmlite.spec.linux import INITRD_ADDR_MAX_DEFAULT, Version
from hvmlite.spec.x86 import CR0, CR4, EFER

__all__ = ["CARRIES", "encode32", "encode64", "initrd_end", "kernel_pieces"]

CARRIES = frozenset(
    {
        "cmdline",
        "modules",
        "memory_map",
        "rsdp",
        "framebuffer",
        "setup_data",
        "hardware_subarch",
        "hardware_subarch_data",
    }
)

_STACK = "stack"
_TABLES = "page tables"
_TSS = segments.TSS.replace(selector=0x20)  # 0x18 is __BOOT_DS


def encode32(offer: Offer, info: BootInfo, machine: Machine, rsdp: Ref | None) -> Entry:
    """Lay out what the 32-bit boot protocol asks for (boot.rst, "32-bit Boot Protocol").

    Zero page, command line and setup_data lie in the lowest free memory, where neither the kernel's
    allocator nor its choice of a random address disturbs them; the initrd lies as high as the
    header allows.

    :param rsdp: the piece with the ACPI RSDP; None: `info.rsdp` is its address
    :raises RequestError: the command line is more than the kernel takes, or has a NUL in it; a
        number does not fit its field. The memory map is known only after placing: `place` raises it
        for that
    """
    code_, data = segments.LINUX_CODE32, segments.LINUX_DATA
    gdt = segments.gdt(code_, data, _TSS)
    gdt = gdt.replace(low=handed.window(header_of(offer)).low)
    kernel = kernel_pieces(offer, layout.FOUR_GIB)
    pieces = [*kernel, gdt, *_told(offer, kernel[0], info, machine, rsdp)]
    pieces += handed.initrd(info, initrd_end(offer))
    registers = {"rsi": Ref(ZERO_PAGE), "gdtr": Ref(gdt.name)}
    return _entry(offer, info, kernel, pieces, flat_cpu(gdt, code_, data, _TSS), registers)


def encode64(offer: Offer, info: BootInfo, machine: Machine, rsdp: Ref | None) -> Entry:
    """Lay out what the 64-bit boot protocol asks for (boot.rst, "64-bit Boot Protocol").

    As :func:`encode32`, and page tables that map all RAM and all below 4 GiB to itself. An initrd
    lies above 4 GiB if the machine has RAM there and the kernel says that it may. Paging has four
    levels: every kernel can be entered so, and one that wants five switches by itself.

    :param rsdp: the piece with the ACPI RSDP; None: `info.rsdp` is its address
    :raises RequestError: as :func:`encode32`
    """
    code_, data = segments.LINUX_CODE64, segments.LINUX_DATA
    gdt = segments.gdt(code_, data, _TSS, long=True)
    last = max((block.end for block in machine.ram), default=0)
    tables = paging.identity_map(
        min(max(last, layout.FOUR_GIB), layout.IDENTITY_MAP_END), name=_TABLES
    )
    # Kernels up to 4.4, started as an ELF, call a function before they have a stack of their own.
    window = layout.LOW_MEMORY
    stack = Piece(_STACK, size=layout.PAGE, align=layout.PAGE, low=window.low, high=window.high)
    cpu = flat_cpu(gdt, code_, data, _TSS).replace(
        cr0=int(CR0.PE | CR0.ET | CR0.PG),
        cr4=int(CR4.PAE),
        efer=int(EFER.LME | EFER.LMA),
    )
    registers = {
        "rsi": Ref(ZERO_PAGE),
        "rsp": Ref(_STACK, layout.PAGE - 16),
        "cr3": Ref(_TABLES),
        "gdtr": Ref(gdt.name),
    }
    high = above_4g(offer.image.header)
    kernel = kernel_pieces(offer, layout.IDENTITY_MAP_END if high else layout.FOUR_GIB)
    pieces = [*kernel, gdt, tables, stack, *_told(offer, kernel[0], info, machine, rsdp)]
    pieces += handed.initrd(info, 1 << 64 if high else initrd_end(offer))
    return _entry(offer, info, kernel, pieces, cpu, registers)


def kernel_pieces(offer: Offer, limit: int) -> list[Piece]:
    """Return an ELF's segments, or the protected-mode part of a bzImage with its window."""
    if offer.image.format == "elf":
        return elf_kernel(offer.image, whole=True)
    found = load(offer.image, header_of(offer), limit)
    if isinstance(found, Reason):
        raise RequestError(f"{found}, an offer for this image needed", field="offer")
    return [
        Piece(
            KERNEL,
            code(offer.image),
            Kind.KERNEL,
            size=found.size,
            at=found.at,
            low=layout.HIGH_MEMORY,
            high=limit,
            group=KERNEL,
        )
    ]


def initrd_end(offer: Offer) -> int:
    """Return the first address that an initrd may not occupy (initrd_addr_max, 2.03)."""
    header = header_of(offer)
    last = INITRD_ADDR_MAX_DEFAULT
    if header.version >= Version.V2_03:
        last = header.initrd_addr_max
    return last + 1


def _told(
    offer: Offer, kernel: Piece, info: BootInfo, machine: Machine, rsdp: Ref | None
) -> list[Piece]:
    check_lines(info, offer.cmdline_limit)
    line = handed.command_line(offer, info, handed.window(header_of(offer)))
    return [*zero_page(offer, kernel, info, machine, rsdp), line]


def _entry(
    offer: Offer,
    info: BootInfo,
    kernel: list[Piece],
    pieces: list[Piece],
    cpu: CpuState,
    registers: dict[str, Ref],
) -> Entry:
    return Entry(
        protocol=offer.protocol,
        pieces=tuple(pieces),
        cpu=cpu,
        registers={"rip": entry_ref(kernel, offer.entry), **registers},
        relocations={KERNEL: offer.relocation} if offer.relocation else {},
        dropped=tuple(handed.dropped(info, header_of(offer))),
    )
