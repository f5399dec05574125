"""wire: one declaration, and what it makes of good and bad values."""

from __future__ import annotations

import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmlite.errors import FormatError, RequestError
from hvmlite.wire import Struct, array, i32, i64, nested, pack_all, patch, raw, u8, u16, u32, u64


class Point(Struct, size=8):
    x: int = u32(0)
    y: int = i32(4, -1)


class Everything(Struct, size=80):
    byte: int = u8(0x00)
    word: int = u16(0x02)
    quad: int = u64(0x08, 7)
    signed: int = i64(0x10)
    text: bytes = raw(0x18, 5)
    point: Point = nested(0x20, Point)
    words: tuple[int, ...] = array(0x28, 2, 3)
    points: tuple[Point, ...] = array(0x30, Point, 3)


def unsigned(bits):
    return st.integers(0, (1 << bits) - 1)


def signed(bits):
    return st.integers(-1 << bits - 1, (1 << bits - 1) - 1)


points = st.builds(Point, x=unsigned(32), y=signed(32))
everything = st.builds(
    Everything,
    byte=unsigned(8),
    word=unsigned(16),
    quad=unsigned(64),
    signed=signed(64),
    text=st.binary(max_size=5),
    point=points,
    words=st.lists(unsigned(16), max_size=3),
    points=st.lists(points, max_size=3),
)


@given(everything)
def test_unpack_undoes_pack(value):
    data = value.pack()
    assert len(data) == Everything.SIZE
    assert Everything.unpack(data) == value
    assert hash(Everything.unpack(data)) == hash(value)


@given(st.binary(min_size=80, max_size=80))
def test_pack_undoes_unpack_except_between_fields(data):
    value = Everything.unpack(data)
    clean = bytearray(80)
    for field in Everything.FIELDS.values():
        clean[field.offset : field.offset + field.size] = data[field.offset :][: field.size]
    assert value.pack() == clean


@given(st.binary(max_size=200), st.integers(-100, 300))
def test_unpack_of_any_bytes_raises_format_error_and_nothing_else(data, offset):
    if 0 <= offset <= len(data) - Everything.SIZE:
        Everything.unpack(data, offset)
    else:
        with pytest.raises(FormatError):
            Everything.unpack(data, offset)


@given(st.lists(points))
def test_unpack_all_undoes_joining(values):
    assert Point.unpack_all(b"".join(v.pack() for v in values)) == tuple(values)


def test_unpack_all_refuses_a_rest():
    with pytest.raises(FormatError, match=r"map: 12 bytes are no whole number of Point"):
        Point.unpack_all(bytes(12), source="map")


def test_layout_matches_the_struct_module():
    value = Everything(byte=1, word=2, quad=3, signed=-4, text=b"abc", words=(5, 6, 7))
    assert value.pack()[:0x1D] == struct.pack("<BxHxxxxQq5s", 1, 2, 3, -4, b"abc")
    assert value.pack()[0x28:0x2E] == struct.pack("<3H", 5, 6, 7)


def test_the_message_says_where_and_how_much():
    with pytest.raises(FormatError, match=r"^vmlinux\+0x40: Point needs 8 bytes, 0 are left$"):
        Point.unpack(bytes(0x40), 0x40, source="vmlinux")


def test_memoryviews_and_bytearrays_are_read_alike():
    data = Point(x=1, y=2).pack()
    assert Point.unpack(memoryview(data)) == Point.unpack(bytearray(data)) == Point(x=1, y=2)


def test_defaults_and_filling_up():
    value = Everything(text=b"ab", words=[1], points=[Point(x=9)])
    assert value.quad == 7
    assert value.text == b"ab\0\0\0"
    assert value.words == (1, 0, 0)
    assert value.points == (Point(x=9), Point(), Point())
    assert value.points[1].y == -1


def test_values_are_read_only_and_compared_by_contents():
    value = Point(x=1)
    with pytest.raises(AttributeError):
        value.x = 2
    with pytest.raises(AttributeError):
        del value.x
    assert value.replace(x=2) == Point(x=2) != value
    assert value != Everything()
    assert repr(value) == "Point(x=0x1)"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("byte", 256),
        ("byte", -1),
        ("byte", "1"),
        ("byte", None),
        ("byte", 1.0),
        ("word", 1 << 16),
        ("quad", 1 << 64),
        ("signed", 1 << 63),
        ("signed", (-1 << 63) - 1),
        ("text", b"longer"),  # struct would cut it in silence
        ("text", memoryview(b"longer")),
        ("text", "abc"),
        ("text", 5),  # bytes(5) would be five zeros
        ("point", None),
        ("point", Everything()),
        ("point", (1, 2)),
        ("words", (1, 2, 3, 4)),
        ("words", (1 << 16,)),
        ("words", (-1,)),
        ("words", ("1",)),
        ("words", 1),
        ("points", (Point(),) * 4),
        ("points", (1,)),
        ("points", (Everything(),)),
        ("points", Point()),
    ],
)
def test_what_a_field_cannot_hold_is_refused_by_name(field, value):
    with pytest.raises(RequestError, match=rf"^Everything\.{field}"):
        Everything(**{field: value})
    with pytest.raises(RequestError, match=rf"^Everything\.{field}"):
        Everything().replace(**{field: value})


def test_unknown_fields_are_refused():
    with pytest.raises(TypeError, match="Point has no field z"):
        Point(z=1)


def declare(**namespace):
    hints = dict.fromkeys(namespace, "int")
    return lambda size, **more: type(
        "Bad", (Struct,), {"__annotations__": hints, **namespace, **more}, size=size
    )


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: declare(a=u32(0), b=u16(2))(8), "Bad.b: 2 bytes at 0x2 do not fit"),
        (lambda: declare(a=u32(6))(8), "Bad.a: 4 bytes at 0x6 do not fit"),
        (lambda: declare(a=u8(-1))(8), "do not fit"),
        (lambda: declare(a=5)(8), "Bad: a needs a type and a field"),
        (lambda: declare()(8, a=u8(0)), "Bad: a needs a type and a field"),
        (lambda: declare(pack=u8(0))(8), "pack is a name of Struct itself"),
        (lambda: type("Bad", (Point,), {}, size=8), "derived from Struct alone"),
        (lambda: type("Bad", (Struct,), {}), "size"),
    ],
)
def test_a_wrong_declaration_fails_at_import(make, match):
    with pytest.raises(TypeError, match=match):
        make()


def test_an_impossible_default_fails_at_import():
    with pytest.raises(RequestError, match=r"Bad\.a: 0x100 does not fit"):
        declare(a=u8(0, 256))(8)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_patch_writes_what_int_to_bytes_says(size):
    value = 0x1122334455667788 & (1 << 8 * size) - 1
    data = bytearray(b"\xff" * 12)
    patch(data, 3, size, value)
    assert data == b"\xff" * 3 + value.to_bytes(size, "little") + b"\xff" * (9 - size)


@pytest.mark.parametrize(
    ("offset", "size", "value"), [(0, 4, 1 << 32), (0, 8, -1), (5, 4, 0), (-1, 1, 0), (8, 1, 0)]
)
def test_patch_refuses_what_does_not_fit(offset, size, value):
    data = bytearray(8)
    with pytest.raises(RequestError, match=r"^patch: "):
        patch(data, offset, size, value)
    assert data == bytes(8)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_many_are_packed_as_int_to_bytes_says(size):
    values = range(0, 1 << 8 * size, (1 << 8 * size) // 5)
    assert pack_all(size, values) == b"".join(v.to_bytes(size, "little") for v in values)
    assert pack_all(size, ()) == b""


@pytest.mark.parametrize("value", [-1, 1 << 16])
def test_of_many_none_may_be_too_large(value):
    with pytest.raises(RequestError, match=r"^pack_all: "):
        pack_all(2, (1, value))


USER = """
from __future__ import annotations
from hvmlite.wire import Struct, array, nested, raw, u32

class Inner(Struct, size=4):
    a: int = u32(0)

class Outer(Struct, size=16, c_name="struct outer"):
    magic: int = u32(0, 5)
    inner: Inner = nested(4, Inner)
    text: bytes = raw(8, 4)
    words: tuple[int, ...] = array(12, 2, 2)

number: int = Outer(magic=1).inner.a
text: bytes = Outer.unpack(b"", source="x").replace(magic=2).text
every: tuple[Outer, ...] = Outer.unpack_all(b"")
"""


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("", "Success"),
        ("Outer(magik=1)", "call-arg"),
        ("Outer(magic=b'')", "arg-type"),
        ("Outer(1)", "Too many positional arguments"),
        ("Outer().magic = 1", "read-only"),
        ("Outer().magik", "attr-defined"),
    ],
)
def test_mypy_sees_layouts_as_read_only_keyword_dataclasses(tmp_path, line, complaint):
    user = tmp_path / "user.py"
    user.write_text(USER + line + "\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir"]
    command += [str(tmp_path.parent / "mypy"), str(user)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert complaint in done.stdout
    assert (done.returncode == 0) == (not line)
