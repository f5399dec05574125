"""Images that loaders disagree about: notes of every packing, multiboot headers, and mixtures."""

from __future__ import annotations

from hypothesis import strategies as st

from hvmlite import images
from hvmlite.model import Image
from hvmlite.spec import elf as spec
from makers import elf

ENTRY = 0x100010
PROPERTY = bytes.fromhex("020000c0 04000000 03000000 00000000")
"""What -fcf-protection leaves: GNU_PROPERTY_X86_FEATURE_1_AND, padded to 8."""


def parse(data: bytes) -> Image:
    return images.parse(memoryview(data), "image")


def bare(data: bytes) -> Image:
    """The file as an ELF image of which nothing was read: for bytes that our own reader refuses."""
    return Image("elf", "image", memoryview(data))


def kernel(*segments: elf.Segment, bits: int = 64, machine: int | None = None, **fields) -> elf.Elf:
    """Code at 1 MiB, and these segments after it."""
    made = elf.Elf(bits=bits, machine=(3, 62)[bits == 64] if machine is None else machine, **fields)
    made.entry = fields.get("entry", ENTRY)
    code = elf.Segment(b"\xf4" * 0x100, paddr=0x100000, memsz=0x2000)
    made.segments = [code, *segments]
    return made


def property_note(align: int = 8) -> bytes:
    """The note of .note.gnu.property as binutils pack it on x86-64."""
    return elf.note("GNU", 5, PROPERTY, align)


def build_id(align: int = 4) -> bytes:
    return elf.note("GNU", 3, bytes(range(20)), align)


def pvh_note(entry: int = ENTRY, size: int = 4, align: int = 4) -> bytes:
    return elf.phys32_entry(entry, size, align)


def word(*values: int) -> bytes:
    return b"".join((value & 0xFFFFFFFF).to_bytes(4, "little") for value in values)


def multiboot1(flags: int = 3, *rest: int) -> bytes:
    """A header; `rest` are the fields after the checksum."""
    return word(0x1BADB002, flags, -(0x1BADB002 + flags), *rest)


def multiboot2(*tags: bytes, architecture: int = 0) -> bytes:
    """A header with these tags, each padded to 8, and the end tag."""
    body = b"".join(tag + bytes(-len(tag) % 8) for tag in tags) + word(0, 8)
    length = 16 + len(body)
    return word(0xE85250D6, architecture, length, -(0xE85250D6 + architecture + length)) + body


def tag2(type_: int, *values: int, optional: bool = False) -> bytes:
    return word(type_ | optional << 16, 8 + 4 * len(values), *values)


def with_header(made: elf.Elf, header: bytes, align: int = 8) -> bytes:
    """The file of `made`, with a header put into its code."""
    code = made.segments[0]
    code.data = header + code.data[len(header) :] if len(header) < 0x100 else header
    code.align = max(code.align, align)
    return made.build()


# The walk over notes is where loaders differ: names, sizes and packing are drawn freely.
NOTE = st.builds(
    elf.note,
    st.sampled_from(["Xen", "GNU", "Linux", "", "OpenBSD", "Xe"]),
    st.sampled_from([18, 18, 18, 19, 5, 3, 1, 0x101]),
    st.sampled_from([b"", word(ENTRY), word(ENTRY, 0), bytes(20), b"\x01" * 7, PROPERTY]),
    st.sampled_from([4, 4, 8]),
)


@st.composite
def noted(draw, bits=(32, 64)) -> bytes:
    """An ELF file with up to three PT_NOTE segments, which state any alignment."""
    segments = [
        elf.Segment(
            b"".join(draw(st.lists(NOTE, max_size=3))),
            type=spec.PType.NOTE,
            align=draw(st.sampled_from([4, 4, 8, 8, 1])),
            flags=4,
        )
        for _ in range(draw(st.integers(0, 3)))
    ]
    return kernel(*segments, bits=draw(st.sampled_from(bits))).build()
