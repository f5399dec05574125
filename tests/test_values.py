"""Frozen values do all that a frozen dataclass of the same declaration does."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import pprint
import subprocess
import sys
from typing import TYPE_CHECKING, get_type_hints

import pytest

from hvmlite.model import CpuState
from hvmlite.values import Value, field

if TYPE_CHECKING:
    from typing import ClassVar


class Point(Value):
    x: int
    y: int = 2
    names: list[str] = field(default_factory=list)
    note: str = field(default="", repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class Model:
    x: int
    y: int = 2
    names: list[str] = dataclasses.field(default_factory=list)
    note: str = dataclasses.field(default="", repr=False, compare=False)


GOOD = [
    ((1,), {}),
    ((1, 3), {}),
    ((), {"x": 1}),
    ((), {"y": 5, "x": 1}),
    ((1,), {"note": "n"}),
    ((1, 2, ["a"], "n"), {}),
]
BAD = [
    ((), {}, "Point: x not given"),
    ((), {"y": 1}, "Point: x not given"),
    ((1,), {"x": 1}, "Point: x is given twice"),
    ((1,), {"z": 1}, "Point: z is no field"),
    ((), {"z": 1}, "Point: z is no field"),  # as many as are needed, but not those
    ((1, 2, [], "", 5), {}, "Point: 5 values, 4 fields"),
]


@pytest.mark.parametrize(("args", "named"), GOOD)
def test_it_takes_what_a_dataclass_takes(args, named):
    ours, theirs = Point(*args, **named), Model(*args, **named)
    assert dataclasses.asdict(ours) == dataclasses.asdict(theirs)
    assert repr(ours) == repr(theirs).replace("Model", "Point")


@pytest.mark.parametrize(("args", "named", "why"), BAD)
def test_it_refuses_what_a_dataclass_refuses(args, named, why):
    with pytest.raises(TypeError):
        Model(*args, **named)
    with pytest.raises(TypeError) as caught:
        Point(*args, **named)
    assert str(caught.value) == why


@pytest.mark.parametrize("left", GOOD)
@pytest.mark.parametrize("right", GOOD)
def test_it_equals_what_a_dataclass_equals(left, right):
    ours = [Point(*args, **named) for args, named in (left, right)]
    theirs = [Model(*args, **named) for args, named in (left, right)]
    assert (ours[0] == ours[1]) == (theirs[0] == theirs[1])
    assert Point(1) != Model(1)


def test_the_hash_is_of_what_is_compared():
    one, other = Point(1, names=(), note="a"), Point(1, names=(), note="b")
    assert hash(one) == hash(other)
    assert len({one, other, Point(2, names=())}) == 2
    with pytest.raises(TypeError):
        hash(Point(1))  # a list in it


def test_a_factory_makes_a_new_one_each_time():
    assert Point(1).names is not Point(1).names


@pytest.mark.parametrize("name", ["x", "z"])
def test_it_is_read_only(name):
    point = Point(1)
    with pytest.raises(AttributeError, match=f"Point.{name} is read-only"):
        setattr(point, name, 5)
    with pytest.raises(AttributeError, match=f"Point.{name} is read-only"):
        delattr(point, name)


def test_a_default_is_no_attribute_of_the_class():
    assert not hasattr(Point, "y")
    assert not hasattr(Point, "names")


def test_copies():
    point = Point(1, 2, ["a"], "n")
    for made in (copy.copy(point), copy.deepcopy(point), pickle.loads(pickle.dumps(point))):
        assert made == point
        assert made.note == "n"
    assert copy.deepcopy(point).names is not point.names


def test_replace_is_that_of_dataclasses():
    point = Point(1, note="n")
    assert point.replace(y=7).note == "n"
    assert point.replace(y=7) == dataclasses.replace(point, y=7) == Point(1, 7)
    with pytest.raises(TypeError, match="z is no field"):
        point.replace(z=1)


def test_the_functions_of_dataclasses_take_it_as_one():
    assert dataclasses.is_dataclass(Point)
    told = {each.name: (each.type, each.repr, each.compare) for each in dataclasses.fields(Point)}
    assert told == {
        each.name: (each.type, each.repr, each.compare) for each in dataclasses.fields(Model)
    }


def test_looking_at_the_base_takes_nothing_from_its_subclasses():
    class Late(Value):
        x: int

    inspect.getmembers(Value)  # as help() does
    assert dataclasses.fields(Value) == ()
    assert [each.name for each in dataclasses.fields(Late)] == ["x"]
    assert dataclasses.replace(Late(1), x=2) == Late(2)


def test_its_signature_is_that_of_a_dataclass():
    assert inspect.signature(Point) == inspect.signature(Model)
    assert str(inspect.signature(CpuState)).startswith("(rax: 'int' = 0, ")


def test_its_type_hints_can_be_looked_up():
    assert get_type_hints(Point) == get_type_hints(Model)


def test_it_is_printed_prettily_though_it_is_long():
    assert pprint.pformat(CpuState()) == repr(CpuState())


def test_a_class_variable_is_no_field():
    class Counted(Value):
        unit: ClassVar[str] = "bytes"
        x: int

    assert repr(Counted(1)).endswith("Counted(x=1)")
    assert Counted.unit == Counted(1).unit == "bytes"


@pytest.mark.parametrize("default", [[], {}, set()])
def test_a_default_that_all_would_share_is_refused(default):
    with pytest.raises(TypeError, match=r"Shared\.x: a default that can change"):
        type("Shared", (Value,), {"__annotations__": {"x": "object"}, "x": default})


def test_patterns_match_by_position():
    match Point(1, 7):
        case Point(x, y):
            assert (x, y) == (1, 7)


def test_it_is_derived_from_value_alone():
    with pytest.raises(TypeError, match="Further: a value is derived from Value alone"):
        type("Further", (Point,), {"__annotations__": {}})


def test_declaring_one_imports_nothing_costly():
    code = (
        "import sys; before = set(sys.modules); from hvmlite.values import Value\n"
        "class X(Value):\n    '''A value.'''\n    a: 'int' = 0\n"
        "X(1).replace(a=2); print(*set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert set(done.stdout.split()) <= {"__future__", "hvmlite", "hvmlite.values"}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("", "Success"),
        ("Point()", "Missing positional argument"),
        ("Point(x='1')", "arg-type"),
        ("Point(1).x = 2", "read-only"),
        ("Point(1).z", "attr-defined"),
    ],
)
def test_mypy_sees_frozen_dataclasses(tmp_path, line, complaint):
    user = tmp_path / "user.py"
    user.write_text(
        "from hvmlite.values import Value, field\nclass Point(Value):\n    x: int\n"
        f"    y: int = 2\n    z_: list[int] = field(default_factory=list)\n{line}\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir"]
    command += [str(tmp_path.parent / "mypy"), str(user)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert complaint in done.stdout
    assert (done.returncode == 0) == (not line)
