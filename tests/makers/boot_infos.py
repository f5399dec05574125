"""Hypothesis strategies for what a boot protocol hands over."""

from __future__ import annotations

from hypothesis import strategies as st

from hvmlite.model import BootInfo, Framebuffer, MemoryRange, MemoryType, Module
from makers.multiboot import HOLE

PAGE = 0x1000
lines = st.binary(max_size=300).map(lambda text: text.replace(b"\0", b" "))
modules = st.builds(Module, st.binary(max_size=5000), lines)
channels = st.tuples(st.integers(0, 255), st.integers(0, 255))


def frames(sizes, depths):
    """Frame buffers anywhere: `sizes` are of pitch, width and height."""
    place = st.integers(0, (1 << 64) - 1)
    return st.builds(Framebuffer, place, sizes, sizes, sizes, depths, channels, channels, channels)


def boot_infos(framebuffers, most):
    """Up to `most` modules, a command line, and perhaps a frame buffer."""
    return st.builds(
        BootInfo,
        cmdline=lines,
        modules=st.lists(modules, max_size=most).map(tuple),
        framebuffer=st.one_of(st.none(), framebuffers),
    )


@st.composite
def reserved(draw, memory):
    """A PC's hole and ranges of all kinds, in `memory` bytes and a little beyond them."""
    found = [HOLE]
    for start in draw(st.lists(st.integers(0x300, memory // PAGE), max_size=40)):
        size = draw(st.integers(1, 64 * PAGE))
        type_ = draw(st.sampled_from([*MemoryType, 12, 0xFFFFFFFF]))
        found.append(MemoryRange(start * PAGE, start * PAGE + size, type_))
    return found
