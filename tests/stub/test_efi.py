"""What the stub makes of load options and of the firmware's memory map, without any firmware."""

from __future__ import annotations

import re
import struct
import subprocess
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent.parent / "stub" / "universal"
FLAGS = (
    *("-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-g"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)
NAME_ROOM = 256

RAM, KEPT, SOFT_RESERVED, SPECIAL_PURPOSE = 1, 0x10000001, 0xEFFFFFFF, 0x40000
E820 = {
    **dict.fromkeys((0, 5, 6, 11, 12, 13), 2),
    **dict.fromkeys((1, 7), RAM),
    **dict.fromkeys((2, 3, 4), KEPT),
    8: 5,
    9: 3,
    10: 4,
    14: 7,
}
"""By EFI_MEMORY_TYPE; 15 has to be accepted before it is memory, what is above is unknown."""


class Pure:
    """The running program, `efi_pure.c`; `close` it."""

    def __init__(self, folder: Path) -> None:
        program = folder / "efi_pure"
        sources = [HERE / "efi_pure.c", SOURCE / "from_efi_text.c", SOURCE / "from_efi_map.c"]
        subprocess.run(["gcc", *FLAGS, f"-I{SOURCE}", "-o", program, *sources], check=True)
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([program], stdin=pipe, stdout=pipe, stderr=pipe)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _ask(self, what, data, room, start=0, own=(0, 0)):
        question = struct.pack("<2I4Q", what, len(data), room, start, *own)
        self._process.stdin.write(question + data)
        self._process.stdin.flush()
        head = self._process.stdout.read(16)
        assert len(head) == 16, self._process.stderr.read().decode()
        number, size = struct.unpack("<2Q", head)
        return number, self._process.stdout.read(size)

    def utf8(self, units: bytes, room: int) -> tuple[int, bytes]:
        return self._ask(0, units, room)

    def initrds(self, units: bytes) -> list[str]:
        found, at = [], 0
        while True:
            at, name = self._ask(1, units, NAME_ROOM, at)
            if not at:
                return found
            found.append(name.decode("utf-16-le", "surrogatepass").partition("\0")[0])

    def e820(self, table: bytes, step: int, own=(0, 0)) -> list[tuple[int, int, int]]:
        _, entries = self._ask(2, table, step, 0, own)
        return list(struct.iter_unpack("<QQI", entries))


@pytest.fixture(scope="module")
def pure(tmp_path_factory):
    program = Pure(tmp_path_factory.mktemp("efi"))
    yield program
    program.close()


def units(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


# Surrogates with and without their other half, the kernel's whole alphabet, an end in the middle.
TEXT = st.text(
    st.one_of(
        st.characters(codec="utf-16"),
        st.sampled_from(
            "\ud800\udbff\udc00\udfff\0\n\x7f\x80\u07ff\u0800\uffff\U00010000\U0010ffff"
        ),
    ),
    max_size=60,
)


def as_linux_sees_it(text: str) -> bytes:
    # Halves that Python kept apart become one character, as they are to whoever reads UTF-16.
    whole = units(text).decode("utf-16-le", "surrogatepass")
    return re.sub("[\ud800-\udfff]", "\ufffd", re.split("[\0\n]", whole)[0]).encode()


@given(text=TEXT, room=st.integers(0, 300))
@example(text="\ud83d", room=300)  # the other half lies behind the end
@example(text="\ude00\ud83d", room=300)
@example(text="root=/dev/vda1", room=14)
@example(text="\U0001f600", room=3)
def test_load_options_as_utf8(pure, text, room):
    expected = as_linux_sees_it(text)
    assert pure.utf8(units(text), room) == (len(expected), expected[:room])


def test_an_odd_byte_behind_the_options_is_not_read(pure):
    assert pure.utf8(units("quiet") + b"x", 100) == (5, b"quiet")


WORDS = st.sampled_from(
    [
        "initrd=",
        "initrd",
        "=",
        " ",
        "\t",
        "\0",
        "\n",
        "/",
        "\\",
        "a.img",
        "noinitrd=",
        "\u20ac",
        "i",
    ]
)


def named(text: str) -> list[str]:
    text = re.split("[\0\n]", text)[0]
    found = re.findall(r"(?:(?<=[\x01-\x20])|^)initrd=[/\\]*([^\x01-\x20]*)", text)
    return [name.replace("/", "\\")[: NAME_ROOM - 1] for name in found]


@given(text=st.lists(WORDS, max_size=30).map("".join))
@example(text="vmlinuz initrd=\\EFI\\a.img initrd=/b/c.img")
@example(text="rd.initrd=none xinitrd=none initrd")
@example(text="initrd=initrd=initrd=")
def test_the_files_that_options_name(pure, text):
    assert pure.initrds(units(text)) == named(text)


def test_a_name_that_is_too_long_has_no_end(pure):
    _, name = pure._ask(1, units("initrd=" + "n" * 300), NAME_ROOM)
    assert name == units("n" * NAME_ROOM)  # what load_named() refuses


@dataclass(frozen=True)
class Descriptor:
    kind: int
    start: int
    pages: int
    attribute: int

    def pack(self, step: int) -> bytes:
        packed = struct.pack(
            "<2I4Q", self.kind, 0, self.start, 0x5A5A5A5A, self.pages, self.attribute
        )
        return packed.ljust(step, b"\xa5")

    @property
    def type(self) -> int:
        """E820's, 0 for none."""
        found = E820.get(self.kind, 0)
        special = found in (RAM, KEPT) and self.attribute & SPECIAL_PURPOSE
        return SOFT_RESERVED if special else found

    @property
    def end(self) -> int:
        return self.start + self.pages * 4096


def translated(descriptors, own) -> list[tuple[int, int, int]]:
    """As the map is described, with neighbours of one type joined in the order of the table."""
    runs: list[tuple[int, int, int]] = []
    for one in descriptors:
        if not one.type or not one.pages or one.end >= 1 << 64:
            continue
        cuts = sorted({one.start, one.end, *(x for x in own if one.start < x < one.end)})
        for start, end in pairwise(cuts):
            mine = own[0] <= start and end <= own[1]
            kind = RAM if mine and one.type == KEPT else one.type
            if runs and runs[-1][1] == start and runs[-1][2] == kind:
                runs[-1] = (runs[-1][0], end, kind)
            else:
                runs.append((start, end, kind))
    return [(start, end - start, kind) for start, end, kind in runs]


ADDRESSES = st.one_of(st.integers(0, 40), st.integers(0, (1 << 52) - 1)).map(
    lambda page: page << 12
)
DESCRIPTORS = st.builds(
    Descriptor,
    st.one_of(st.integers(0, 16), st.integers(0, (1 << 32) - 1)),
    ADDRESSES,
    st.one_of(st.integers(0, 8), st.integers(0, (1 << 64) - 1)),
    st.sampled_from([0, 0xF, SPECIAL_PURPOSE, 1 << 63]),
)


@given(
    st.lists(DESCRIPTORS, max_size=40),
    st.integers(40, 120),
    st.tuples(ADDRESSES, st.integers(0, 20).map(lambda pages: pages << 12)),
    st.integers(0, 39),
)
def test_the_memory_map(pure, descriptors, step, own, tail):
    table = b"".join(one.pack(step) for one in descriptors) + bytes(tail)
    end = min(own[0] + own[1], (1 << 64) - 1)
    own = (own[0], end - own[0])
    assert pure.e820(table, step, own) == translated(descriptors, (own[0], end))


@given(st.integers(0, 39), st.binary(max_size=200))
def test_descriptors_that_are_too_small_say_nothing(pure, step, table):
    assert pure.e820(table, step) == []


def test_neighbours_are_one_entry_whatever_they_held(pure):
    # loader's code and free memory; then what boot services left, of three types
    held = [(1, 0x1000, 2), (7, 0x3000, 1), (3, 0x4000, 1), (4, 0x5000, 1), (2, 0x6000, 1)]
    table = b"".join(Descriptor(*each, 0).pack(48) for each in held)
    assert pure.e820(table, 48) == [(0x1000, 0x3000, RAM), (0x4000, 0x3000, KEPT)]
    # what a loader allocated for the image is the image's
    assert pure.e820(table, 48, (0x5000, 0x1000)) == [
        (0x1000, 0x3000, RAM),
        (0x4000, 0x1000, KEPT),
        (0x5000, 0x1000, RAM),
        (0x6000, 0x1000, KEPT),
    ]
