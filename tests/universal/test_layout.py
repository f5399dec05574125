"""What Python believes of the stub, against the stub's own headers, by the C compiler."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hvmlite import blobs
from hvmlite.spec import universal as u
from universal.wrapped import bzimage, wrap

STUB = Path(__file__).resolve().parents[2] / "stub" / "universal"
# Said in Python only: where the ELF file has what people look at, and what follows from others.
OURS = {"COMMAND_LINE_MAX", "HEAD_ID_SIZE", "STUB_AT", "VERSION_AT", "VERSION_MAX"}


def defined(program: Path, *names: str) -> dict[str, int]:
    """The values of macros of layout.h, by the compiler."""
    lines = [f"unsigned long long v_{name} = {name};" for name in names]
    source = "\n".join(['#include "layout.h"', '#include <stdio.h>', *lines, "int main(void) {",
        *(f'printf("{name} %llu\\n", v_{name});' for name in names), "return 0; }"])  # fmt: skip
    subprocess.run(
        ["gcc", "-I", STUB, "-o", program, "-x", "c", "-"], input=source, text=True, check=True
    )
    said = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    return {name: int(value) for name, value in map(str.split, said.splitlines())}


def test_every_constant_is_the_stubs(tmp_path):
    ours = {name: value for name, value in vars(u).items() if name.isupper()} | {
        f"KERNEL_{kind.name}": kind.value for kind in u.KernelKind
    }
    ours |= {f"PARAMS_{flag.name}": flag.value for flag in u.ParamsFlag}
    shared = {name: ours[name] for name in ours.keys() - OURS}
    assert len(shared) > 20
    assert defined(tmp_path / "values", *shared) == shared
    assert u.STUB_AT == u.HEAD_SIZE + u.PROTECTED_ELF + u.ELF_STUB_OFFSET


def test_the_parts_of_the_stub_do_not_overlap():
    assert u.PARAMS_OFFSET + u.Params.SIZE <= u.HEADER_OFFSET
    assert u.HEADER_OFFSET + 0x290 - 0x1F1 <= u.STUB16_SIZE <= u.STUB_MAX < u.PAYLOAD_OFFSET
    assert len(blobs.read("universal")) <= u.STUB_MAX
    assert len(blobs.read("universal-head")) == u.HEAD_SIZE


def test_nothing_is_written_over_the_blobs_own_bytes():
    # What they have at those places already (the boot signature) is what is written there. The
    # linker fills gaps between code with no-operations.
    image = wrap(bzimage(), b"initrd", cmdline=b"x").image_bytes()
    stub, head = blobs.read("universal"), blobs.read("universal-head")
    for start, blob in ((0, head), (u.STUB_AT, stub), (u.HEAD_STUB16, stub[: u.STUB16_SIZE])):
        blob = blob.replace(b"\x66\x90" * 4, bytes(8))
        lost = [hex(at) for at, byte in enumerate(blob) if byte and image[start + at] != byte]
        assert lost == []
