"""Multiboot2: what is read back, and hostile memory gives FormatError and nothing else."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmlite.errors import FormatError, LimitError
from hvmlite.guest.memory import FlatMemory, fill
from hvmlite.model import BootInfo, CpuState, MemoryRange, Module
from hvmlite.protocols import multiboot2
from makers.multiboot import elf, header2, machine, symbols
from protocols.multiboot_plans import plan
from protocols.test_multiboot1_decode import BASE, RAM, Ram

MAGIC = 0x36D76289


def tag(kind, body=b"", size=None):
    raw = struct.pack("<II", kind, 8 + len(body) if size is None else size) + body
    return raw + bytes(-len(raw) % 8)


END = tag(0)


def put(*tags, total=None, at=BASE):
    body = b"".join(tags)
    size = 8 + len(body) if total is None else total
    return Ram().put(at, struct.pack("<II", size, 0) + body)


def decode(ram, rbx=BASE, rax=MAGIC):
    return multiboot2.decode(ram, CpuState(rbx=rbx, rax=rax))


def test_nothing_but_an_end():
    assert decode(put(END)) == BootInfo()
    assert decode(put(END), BASE | 1 << 32, MAGIC | 1 << 32) == BootInfo()


def test_unknown_tags_and_those_without_a_place_are_passed_over():
    tags = [tag(kind, b"x" * 5) for kind in (99, 5, 7, 14, 15, 21, 0xFFFFFFFF)]
    assert decode(put(*tags, tag(1, b"line\0more"), END)).cmdline == b"line"


def test_what_follows_the_end_tag_is_not_read():
    assert decode(put(END, tag(1, b"no", size=3))) == BootInfo()


@pytest.mark.parametrize("size", [24, 32])
def test_records_have_the_size_that_the_map_says(size):
    records = struct.pack("<QQII", 1, 2, 1, 0).ljust(size, b"x")
    records += struct.pack("<QQII", 5, 0, 99, 7).ljust(size, b"x")
    body = struct.pack("<II", size, 0) + records
    assert decode(put(tag(6, body), END)).memory_map == (MemoryRange(1, 3), MemoryRange(5, 5, 99))


def test_modules_in_their_order():
    ram = put(tag(3, struct.pack("<II", 0x20000, 0x20003) + b"a\0"),
              tag(3, struct.pack("<II", 0, 0) + b"\0"), END)  # fmt: skip
    ram.put(0x20000, b"abc")
    assert decode(ram).modules == (Module(b"abc", b"a"), Module(b"", b""))


def test_frame_buffers_of_other_kinds_are_left_out():
    text = struct.pack("<QIIIBBH", 0xB8000, 160, 80, 25, 16, 2, 0)
    assert decode(put(tag(8, text), END)).framebuffer is None
    assert decode(put(tag(8, text[:5]), END)).framebuffer is None


@pytest.mark.parametrize(
    ("tags", "total", "message"),
    [
        ((), 8, "8 bytes, 16 or more at a multiple of 8 needed"),
        ((), 0, "0 bytes, 16 or more"),
        ((tag(1, b"a\0"),), None, "needs 8 bytes, 0 are left"),
        ((tag(1, size=0),), None, "tag 1 of 0 bytes, 8 or more within"),
        ((tag(1, size=7),), None, "tag 1 of 7 bytes"),
        ((tag(1, size=0xFFFFFFFF), END), None, "tag 1 of 4294967295 bytes"),
        ((tag(1, b"text"), END), None, "a string without its NUL"),
        ((tag(3, b"1234"), END), None, "Multiboot2TagModule needs 16 bytes"),
        ((tag(3, struct.pack("<II", 1, 1)), END), None, "a string without its NUL"),
        ((tag(3, struct.pack("<II", 5, 4) + b"\0"), END), None, "module 0: from 0x5 to 0x4"),
        ((tag(3, struct.pack("<II", RAM - 1, RAM + 1) + b"\0"), END), None, ""),
        ((tag(6, struct.pack("<II", 23, 0)), END), None, "records of 23 bytes, 24 or more needed"),
        ((tag(6, struct.pack("<II", 0, 0)), END), None, "records of 0 bytes"),
        (
            (tag(6, struct.pack("<IIQQII", 24, 0, (1 << 64) - 1, 2, 1, 0)), END),
            None,
            "record 0 is 0x2 bytes at 0xffffffffffffffff",
        ),
    ],
)
def test_what_is_broken_is_a_format_error(tags, total, message):
    with pytest.raises(FormatError) as caught:
        decode(put(*tags, total=total))
    assert message in str(caught.value)
    assert type(caught.value) is FormatError


def test_the_information_is_aligned_and_in_ram():
    for rbx in (BASE + 4, 0, RAM, RAM - 8, 0xFFFFFFF8):
        with pytest.raises(FormatError):
            decode(put(END).put(BASE + 4, struct.pack("<II", 16, 0)), rbx)


def test_another_loader_s_magic_is_refused():
    with pytest.raises(FormatError, match="EAX: 0x2badb002, the loader's magic 0x36d76289 needed"):
        decode(put(END), rax=0x2BADB002)


@pytest.mark.parametrize(
    ("tags", "total", "limit"),
    [
        ((), 0xFFFFFFFF, "bytes"),
        ((tag(3, struct.pack("<II", 0, 0) + b"\0"),) * 4097, None, "records"),
        ((tag(3, struct.pack("<II", 0, 0xFFFFFFFF) + b"\0"), END), None, "module bytes"),
    ],
)
def test_budgets_name_themselves(tags, total, limit):
    ram = put(*tags, END, total=total)
    with pytest.raises(LimitError) as caught:
        decode(ram)
    assert limit in caught.value.limit


ON = machine(4 << 20)
INFO = BootInfo(b"quiet", (Module(b"initrd" * 100, b"one"), Module(b"two")))
MADE, _ = plan(multiboot2, elf(header2(), sections=symbols()), INFO, ON)
GOOD = bytearray(ON.memory)
fill(MADE, GOOD)
AT = MADE.cpu.rbx


def test_the_unchanged_information_is_read():
    assert multiboot2.decode(FlatMemory(GOOD, ON), MADE.cpu).cmdline == b"quiet"


@given(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1))
def test_changed_information_gives_boot_info_or_format_error(changes):
    before = {AT + offset: GOOD[AT + offset] for offset, _ in changes}
    for offset, value in changes:
        GOOD[AT + offset] = value
    try:
        assert isinstance(multiboot2.decode(FlatMemory(GOOD, ON), MADE.cpu), BootInfo)
    except FormatError:
        pass
    finally:
        for address, value in before.items():
            GOOD[address] = value


words = st.binary(max_size=64)
made_tags = st.builds(tag, st.integers(0, 22), words, st.one_of(st.none(), st.integers(0, 80)))


@given(st.lists(made_tags, max_size=8), st.one_of(st.none(), st.integers(0, 700)))
def test_arbitrary_tags_give_boot_info_or_format_error(tags, total):
    with contextlib.suppress(FormatError):
        assert isinstance(decode(put(*tags, END, total=total)), BootInfo)


def test_no_more_tags_than_modules_need_are_read():
    # 16 MiB have room for two million, which took 13 seconds.
    assert decode(put(tag(99) * 4160, END)) == BootInfo()
    with pytest.raises(LimitError, match="4161 tags, at most 4160 are read"):
        decode(put(tag(99) * 4161, END))
