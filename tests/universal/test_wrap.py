"""What is in the two files: the kernel bit for bit, and what the stub is told of it."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hvmlite
from hvmlite.errors import FormatError, RequestError
from hvmlite.spec import universal as u
from hvmlite.spec.linux import SetupHeader, XLoadFlags
from makers import elf
from makers.pe import uki
from universal.wrapped import (
    MIB,
    REAL,
    bzimage,
    params,
    parse,
    part,
    protected_mode,
    real,
    vmlinux,
    wrap,
)


def header(made) -> SetupHeader:
    return SetupHeader.unpack(made.image_bytes(), 0x1F1)


@pytest.mark.parametrize("name", REAL)
def test_a_real_kernel_is_inside_bit_for_bit(kernels, name):
    kernel = real(kernels, name)
    made = wrap(kernel, b"one", b"second!", cmdline=b"console=ttyS0")
    told = params(made)
    assert part(made, told.kernel_offset, told.kernel_size) == protected_mode(kernel)
    assert part(made, told.initrd_offset, told.initrd_size) == b"one\0\0\0\0\0second!"
    assert part(made, told.command_line_offset, told.command_line_size) == b"console=ttyS0"
    end = 0x202 + kernel[0x201]
    raw = kernel[0x1F1:end].ljust(0x290 - 0x1F1, b"\0")
    assert part(made, u.HEADER_OFFSET, len(raw)) == raw
    assert told.kernel_kind == (2 if "686" in name else 1)
    inside = SetupHeader.unpack(kernel, 0x1F1)
    assert (told.kernel_address, told.kernel_memory) == (inside.pref_address, inside.init_size)
    assert told.kernel_align == inside.kernel_alignment
    assert made.release.encode() in kernel


def test_the_elf_file_ends_the_image():
    made = wrap(bzimage(), b"initrd")
    image, file = made.image_bytes(), made.elf_bytes()
    assert image[u.HEAD_SIZE + u.PROTECTED_ELF :] == file
    head = header(made)
    start = (head.setup_sects + 1) * 512 + head.payload_offset
    assert image[start : start + head.payload_length] == file
    assert start + head.payload_length == len(image) == u.HEAD_SIZE + 16 * head.syssize


def test_the_head_has_a_copy_of_the_stubs_beginning():
    image = wrap(bzimage(), cmdline=b"x").image_bytes()
    first = image[u.STUB_AT : u.STUB_AT + u.STUB16_SIZE]
    assert image[u.HEAD_STUB16 : u.HEAD_STUB16 + u.STUB16_SIZE] == first
    assert first[u.PARAMS_OFFSET :][:4] == b"HVMU"


def test_the_same_input_gives_the_same_bytes(kernels):
    kernel = real(kernels, "6.1-cloud")
    one, other = (wrap(kernel, b"initrd", cmdline=b"x") for _ in range(2))
    assert one.image_bytes() == other.image_bytes()


def test_images_with_other_contents_have_another_identity():
    made = [wrap(bzimage(), b"one"), wrap(bzimage(), b"two"), wrap(bzimage(), cmdline=b"three")]
    made.append(wrap(bzimage(b"\x91" * 0x3000)))
    found = {each.image_bytes()[u.HEAD_ID : u.HEAD_ID + u.HEAD_ID_SIZE] for each in made}
    assert len(found) == 4


@settings(max_examples=200)
@given(
    code=st.integers(0x1000, 0x9000),
    initrd=st.integers(0, 3 * MIB),
    cmdline=st.binary(max_size=300).filter(lambda line: 0 not in line),
    align=st.sampled_from([0x1000, 0x100000, 0x200000, 0x1000000]),
    pref=st.integers(1, 64).map(lambda number: number * MIB),
    init_size=st.integers(0, 40 * MIB),
    relocatable=st.booleans(),
)
def test_the_kernel_lies_where_it_may_run(
    code, initrd, cmdline, align, pref, init_size, relocatable
):
    kernel = bzimage(
        bytes(code), kernel_alignment=align, pref_address=pref, init_size=init_size,
        relocatable_kernel=int(relocatable),
    )  # fmt: skip
    made = wrap(kernel, bytes(initrd), cmdline=cmdline)
    told, head = params(made), header(made)
    base = head.pref_address + u.PROTECTED_ELF
    start = base + u.ELF_STUB_OFFSET
    at = start + told.kernel_offset
    assert at == made.address
    assert head.pref_address - u.HEAD_SIZE >= MIB
    end = head.pref_address + head.init_size
    assert end >= base + told.image_size
    assert told.image_size == len(made.elf_bytes())
    assert told.kernel_memory >= told.kernel_size == len(protected_mode(kernel))
    if relocatable:
        assert at % align == 0
        assert at >= told.kernel_address >= pref
    if at == told.kernel_address or relocatable:
        assert end >= at + told.kernel_memory
    else:  # it will be moved there: the image must not be in the way
        assert head.pref_address >= told.kernel_address + told.kernel_memory
    for offset in (told.kernel_offset, told.initrd_offset):
        assert offset % 4096 == 0
    inside = [told.command_line_offset, told.initrd_offset, told.kernel_offset]
    assert inside == sorted(inside)
    assert inside[0] == u.PAYLOAD_OFFSET


def test_what_loaders_are_told_of_the_kernel():
    plain = header(wrap(bzimage(cmdline_size=1000, initrd_addr_max=0x12345678)))
    assert (plain.cmdline_size, plain.initrd_addr_max) == (1000, 0x12345678)
    # what is handed over comes behind the built-in line and a space
    assert header(wrap(bzimage(cmdline_size=1000), cmdline=b"12345")).cmdline_size == 994
    assert header(wrap(bzimage(cmdline_size=1000), cmdline=b"x" * 1000)).cmdline_size == 0


@pytest.mark.parametrize(("theirs", "ours"), [(0x01, 0x0D), (0x03, 0x0F), (0x7F, 0x7F), (0, 0x0D)])
def test_flags_are_the_stubs_or_the_kernels(theirs, ours):
    made = wrap(bzimage(xloadflags=theirs))
    assert header(made).xloadflags == ours
    if not theirs & XLoadFlags.XLF_KERNEL_64:
        assert params(made).kernel_kind == u.KernelKind.BZIMAGE32


def test_a_kernel_below_4_gib_bounds_the_initrd():
    assert params(wrap(bzimage(xloadflags=3))).initrd_max == (1 << 64) - 1
    assert params(wrap(bzimage(xloadflags=1))).initrd_max == 0x7FFFFFFF
    assert params(wrap(bzimage(xloadflags=0))).initrd_max == 0x7FFFFFFF


@pytest.mark.parametrize(("bits", "kind"), [(64, u.KernelKind.ELF64), (32, u.KernelKind.ELF32)])
def test_a_vmlinux_is_wrapped_as_it_lies_in_memory(bits, kind):
    segments = (
        elf.Segment(b"\xf4" * 0x2000, paddr=16 * MIB, align=2 * MIB),
        elf.Segment(b"Linux version 6.1.0-test (x)", paddr=18 * MIB, memsz=MIB, align=2 * MIB),
    )
    made = wrap(vmlinux(*segments, bits=bits))
    told = params(made)
    assert told.kernel_kind == kind
    assert (told.kernel_address, told.kernel_memory) == (16 * MIB, 3 * MIB)
    assert told.kernel_entry == 0x100
    flat = part(made, told.kernel_offset, told.kernel_size)
    assert flat == bytes(segments[0].data).ljust(2 * MIB, b"\0") + bytes(segments[1].data)
    assert made.release == "6.1.0-test"


def test_a_packed_kernel_is_unpacked():
    assert params(wrap(gzip.compress(vmlinux()))) == params(wrap(vmlinux()))


def test_of_a_uki_all_is_taken():
    whole = uki(bzimage(), (".cmdline", b"root=x"), (".initrd", b"theirs"))
    made = hvmlite.wrap(parse(whole), initrds=[b"ours"])
    told = params(made)
    assert part(made, told.kernel_offset, told.kernel_size) == protected_mode(bzimage())
    assert part(made, told.initrd_offset, told.initrd_size) == b"theirs\0\0\0\0\0\0ours"
    assert made.cmdline == b"root=x"
    assert hvmlite.wrap(parse(whole), cmdline="mine").cmdline == b"mine"


@pytest.mark.parametrize(
    ("kernel", "match"),
    [
        (bzimage(loadflags=0), "LOADED_HIGH .* needed: a zImage is entered in real mode only$"),
        (elf.pvh_kernel(), "no such note among 2, a note of Linux"),
        (elf.Elf(machine=183).build(), "183 \\(AArch64\\)"),
        (bzimage(kernel_alignment=3), "kernel_alignment: 0x3, a power of two needed"),
        (bzimage(xloadflags=0, code32_start=0), "linux32: code32_start: 0x0"),
    ],
)
def test_what_is_no_kernel_for_it_is_refused_with_all_reasons(kernel, match):
    with pytest.raises(RequestError, match=match):
        wrap(kernel)


def test_a_universal_image_is_not_wrapped_again():
    made = wrap(bzimage())
    for data in (made.image_bytes(), made.elf_bytes(), gzip.compress(made.elf_bytes())):
        with pytest.raises(RequestError, match="a universal image already") as caught:
            wrap(data)
        assert "wrap the kernel itself" in caught.value.hint


def test_a_truncated_kernel_is_refused():
    with pytest.raises(FormatError, match=r"truncated kernel: 0x[0-9a-f]+ bytes of protected-mode"):
        wrap(bzimage()[:-64])


def test_segments_far_apart_are_refused():
    far = elf.Segment(b"x", paddr=3 << 30, align=2 * MIB)
    near = elf.Segment(b"\xf4" * 0x2000, paddr=16 * MIB, align=2 * MIB)
    with pytest.raises(FormatError, match="between PT_LOAD segments, at most 0x4000000 needed"):
        wrap(vmlinux(near, far))


def test_what_the_kernel_cannot_take_is_refused():
    kernel = bzimage(cmdline_size=20, xloadflags=1, initrd_addr_max=17 * MIB - 1)
    wrap(kernel, bytes(12 * MIB), cmdline=b"x" * 20)
    with pytest.raises(RequestError, match="command line: 21 bytes, at most 20 needed"):
        wrap(kernel, cmdline=b"x" * 21)
    with pytest.raises(RequestError, match="a NUL"):
        wrap(kernel, cmdline=b"x\0y")
    with pytest.raises(RequestError, match=r"initrd: 0x1000000 bytes, the last one at 0x[0-9a-f]+"):
        wrap(kernel, bytes(16 * MIB))


@pytest.mark.parametrize("fields", [{"init_size": 0xFFFFF000}, {"pref_address": 0xFFFFFFFF}])
def test_a_kernel_that_needs_all_memory_is_refused(fields):
    match = r"^kernel: 0x[0-9a-f]+ bytes of memory .* at or below 0x100000000 needed$"
    with pytest.raises(RequestError, match=match) as caught:
        wrap(bzimage(**fields))
    assert caught.value.field == "kernel"


class Huge(bytes):
    """An initrd that nobody has memory for."""

    def __len__(self) -> int:
        return 4 << 30


def test_an_image_beyond_4_gib_is_refused():
    with pytest.raises(RequestError, match="an end at or below 0x100000000 needed"):
        wrap(bzimage(), Huge())
