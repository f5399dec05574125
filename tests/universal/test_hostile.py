"""Arbitrary and broken kernels: two files, or an error of ours; and images that were damaged."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvmlite import images, universal
from hvmlite.errors import FormatError, RequestError
from hvmlite.spec import universal as u
from hvmlite.spec.linux import SetupHeader
from universal.wrapped import REAL, bzimage, parse, real, vmlinux, wrap

SAMPLES = {"bzimage": bzimage(), "elf64": vmlinux(), "elf32": vmlinux(bits=32)}


def try_it(data) -> None:
    """Wrap it: either that succeeds, and the result can be read, or it says why not."""
    with contextlib.suppress(FormatError, RequestError):
        made = universal.wrap(images.parse(data, "t"), cmdline="x")
        assert sum(map(len, made.image)) == sum(map(len, made.elf)) + u.HEAD_SIZE + u.PROTECTED_ELF
        if sum(map(len, made.image)) < 1 << 24:
            assert "universal image" in dict(parse(made.image_bytes()).facts)


@given(st.binary(max_size=4096))
def test_arbitrary_bytes(data):
    try_it(data)


@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_flipped_and_cut(name, data):
    sample = bytearray(SAMPLES[name])
    first = 0x1F1 if name == "bzimage" else 0
    for _ in range(data.draw(st.integers(1, 6))):
        sample[data.draw(st.integers(first, first + 0x200))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 2)) == 0
    try_it(bytes(sample[: data.draw(st.integers(0, len(sample))) if cut else None]))


@pytest.mark.parametrize("name", REAL)
def test_a_real_kernel_with_any_header(kernels, name):
    kernel = bytearray(real(kernels, name))
    whole = bytes(kernel[0x1F1:0x270])
    fields = sorted(SetupHeader.FIELDS.values(), key=lambda field: field.offset)

    @settings(max_examples=150)
    @given(st.data())
    def check(data):
        kernel[0x1F1:0x270] = whole
        for _ in range(data.draw(st.integers(1, 3))):
            field = data.draw(st.sampled_from(fields))
            value = data.draw(st.integers(0, (1 << 8 * field.size) - 1))
            at = 0x1F1 + field.offset
            kernel[at : at + field.size] = value.to_bytes(field.size, "little")
        try_it(memoryview(kernel))

    check()


@given(st.data())
def test_a_damaged_image_is_read_all_the_same(data):
    made = wrap(SAMPLES["bzimage"], b"initrd", cmdline=b"x")
    for whole, start in ((made.image_bytes(), u.STUB_AT), (made.elf_bytes(), u.ELF_STUB_OFFSET)):
        sample = bytearray(whole)
        for _ in range(data.draw(st.integers(1, 8))):
            at = start + u.PARAMS_OFFSET + 4 + data.draw(st.integers(0, u.Params.SIZE - 5))
            sample[at] = data.draw(st.integers(0, 255))
        facts = dict(parse(bytes(sample)).facts)
        assert "universal image" in facts
        assert all(value.isprintable() for value in facts.values())
