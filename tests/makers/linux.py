"""Linux kernels as images: bzImages with any header, and the ELF of one."""

from __future__ import annotations

from hvmlite import images
from hvmlite.model import Image
from makers import elf
from makers.bzimage import BzImage, payload

MIB = 1 << 20
PREF = 16 * MIB
ENTRY = PREF + 0x100


def vmlinux(
    *segments: elf.Segment, bits: int = 64, entry: int = ENTRY, linux: bool = True
) -> bytes:
    """An ELF that says that it is Linux and has a PVH entry as well."""
    notes = elf.phys32_entry(entry) + (elf.note("Linux", 0x101, bytes(4)) if linux else b"")
    kernel = elf.Elf(bits=bits, machine=62 if bits == 64 else 3, entry=entry)
    loaded = segments or (
        elf.Segment(b"\xf4" * 0x2000, paddr=PREF, align=2 * MIB),
        elf.Segment(b"\xcc" * 0x1000, paddr=PREF + 2 * MIB, memsz=MIB, flags=6, align=2 * MIB),
    )
    kernel.segments = [*loaded, elf.notes_segment(notes)]
    return kernel.build()


def parse(data: bytes) -> Image:
    return images.parse(memoryview(data), "kernel")


def bzimage(inside: bytes | None = None, *, code: int = 0x1000, **header: int) -> Image:
    """A bzImage with `code` bytes of protected-mode code and these header fields."""
    version = header.pop("version", 0x20F)
    setup_sects = header.pop("setup_sects", 4)
    packed = payload("gzip", vmlinux() if inside is None else inside)
    made = BzImage(
        packed, version=version, setup_sects=setup_sects, after=b"\x90" * code, header=header
    )
    return parse(made.build())
