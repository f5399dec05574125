"""Universal images for the tests, and what of them is looked at by its place."""

from __future__ import annotations

from hvmlite import boot, images, universal
from hvmlite.model import Image
from hvmlite.spec import universal as u
from hvmlite.universal import Universal
from makers import linux as make
from makers.bzimage import BzImage

REAL = ("6.1-cloud", "6.12-cloud", "6.1-686-pae")
MIB = 1 << 20


def parse(data: bytes) -> Image:
    return images.parse(data, "t")


def bzimage(code: bytes = b"\x90" * 0x3000, **fields) -> bytes:
    """A small bzImage that says of itself what today's kernels say."""
    header = {"pref_address": 16 * MIB, "init_size": 2 * MIB, "xloadflags": 0x3F} | fields
    version = header.pop("version", 0x20F)
    return BzImage(before=code, version=version, header=header).build()


def protected_mode(kernel: bytes) -> bytes:
    """What of a bzImage is loaded."""
    return kernel[((kernel[0x1F1] or 4) + 1) * 512 :]


def wrap(kernel: bytes, *initrds: bytes, **options) -> Universal:
    return universal.wrap(parse(kernel), initrds=initrds, **options)


def params(made: Universal) -> u.Params:
    return u.Params.unpack(made.elf_bytes(), u.ELF_STUB_OFFSET + u.PARAMS_OFFSET)


def part(made: Universal, offset: int, size: int) -> bytes:
    """Bytes at an offset from _start."""
    return made.elf_bytes()[u.ELF_STUB_OFFSET + offset :][:size]


def real(kernels, name: str) -> bytes:
    return bytes(boot.map_file(kernels[name], "kernel"))


vmlinux = make.vmlinux
