"""Binary structures, declared once.

A layout is a class whose fields say their offset, exactly as the specification's table does::

    class HvmModlistEntry(Struct, size=32, c_name="struct hvm_modlist_entry"):
        paddr: int = u64(0x00)
        size: int = u64(0x08)

Size, offsets, encoder and decoder come from that one declaration. A field that overlaps another,
leaves the structure or has an impossible default makes the import fail. Values are little-endian,
as every x86 boot ABI is. This is the only module that uses :mod:`struct`.
"""

# ruff: noqa: ANN401 - a field function stands for a value of any type

from __future__ import annotations

import struct
from functools import cache

from hvmlite.errors import FormatError, RequestError
from hvmlite.values import dataclass_transform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, ClassVar, Self

__all__ = [
    "Buffer",
    "Field",
    "Struct",
    "array",
    "i32",
    "i64",
    "nested",
    "pack_all",
    "patch",
    "raw",
    "u8",
    "u16",
    "u32",
    "u64",
]

Buffer = bytes | bytearray | memoryview
"""What can be decoded; anything else that exports bytes is wrapped in a memoryview first."""

_RUNS = (tuple, list, bytes, bytearray, memoryview)
_INT_FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Field:
    """One field of a layout: `offset` and `size` in bytes, `default` when a value is built.

    :param fmt: the struct code of a plain field, None for nested structures and arrays
    :param item: the structure of a nested field, or the item (structure or code) of an array
    :param count: number of items of an array
    """

    __slots__ = ("count", "default", "fmt", "item", "offset", "size")

    def __init__(
        self,
        offset: int,
        size: int,
        default: Any,
        fmt: str | None,
        item: type[Struct] | str | None = None,
        count: int | None = None,
    ) -> None:
        self.offset = offset
        self.size = size
        self.default = default
        self.fmt = fmt
        self.item = item
        self.count = count


def u8(offset: int, default: int = 0) -> Any:
    """Declare an unsigned 8-bit field at `offset`."""
    return Field(offset, 1, default, "B")


def u16(offset: int, default: int = 0) -> Any:
    """Declare an unsigned 16-bit field at `offset`."""
    return Field(offset, 2, default, "H")


def u32(offset: int, default: int = 0) -> Any:
    """Declare an unsigned 32-bit field at `offset`."""
    return Field(offset, 4, default, "I")


def u64(offset: int, default: int = 0) -> Any:
    """Declare an unsigned 64-bit field at `offset`."""
    return Field(offset, 8, default, "Q")


def i32(offset: int, default: int = 0) -> Any:
    """Declare a signed 32-bit field at `offset`."""
    return Field(offset, 4, default, "i")


def i64(offset: int, default: int = 0) -> Any:
    """Declare a signed 64-bit field at `offset`."""
    return Field(offset, 8, default, "q")


def raw(offset: int, size: int) -> Any:
    """Declare `size` plain bytes at `offset`; a shorter value is filled up with zero bytes."""
    return Field(offset, size, bytes(size), f"{size}s")


def nested(offset: int, layout: type[Struct]) -> Any:
    """Declare a structure inside the structure."""
    return Field(offset, layout.SIZE, layout(), None, layout)


def array(offset: int, item: type[Struct] | int, count: int) -> Any:
    """Declare `count` items at `offset`; `item` is a layout, or the size of an unsigned integer.

    A shorter value is filled up with items of their default.
    """
    if isinstance(item, int):
        code = _INT_FORMATS[item]
        return Field(offset, item * count, (0,) * count, None, code, count)
    return Field(offset, item.SIZE * count, (item(),) * count, None, item, count)


# No field_specifiers: to a type checker `u32(0)` is then a plain default, every argument optional.
@dataclass_transform(kw_only_default=True, frozen_default=True)
class Struct:
    """The base of all layouts: an immutable value with the fields of the declaration.

    Subclass with `size` (the `sizeof` that the document or the C header gives, checked here) and
    `c_name` (the C type that tests compare every offset with). Fields take keyword arguments; those
    left out have their default, zero unless the declaration says otherwise. A value that its field
    cannot hold is refused at once (RequestError), so what was built can always be encoded.
    """

    SIZE: ClassVar[int] = 0
    C_NAME: ClassVar[str | None] = None
    FIELDS: ClassVar[dict[str, Field]] = {}
    _codec: ClassVar[struct.Struct]
    _defaults: ClassVar[dict[str, Any]] = {}
    _compound: ClassVar[tuple[tuple[int, Field], ...]] = ()
    # (position among the decoded values, declaration) of fields that are no plain number or bytes
    _limits: ClassVar[dict[str, tuple[int, int]]] = {}
    # of fields that are one number: the least, and the first that is too much

    def __init_subclass__(cls, *, size: int, c_name: str | None = None) -> None:
        super().__init_subclass__()
        fields = {n: f for n, f in vars(cls).items() if isinstance(f, Field)}
        _check_declaration(cls, fields)
        ordered = dict(sorted(fields.items(), key=lambda item: item[1].offset))
        fmt, position = ["<"], 0
        for name, field in ordered.items():
            if field.offset < position or field.offset + field.size > size:
                msg = f"{cls.__name__}.{name}: {field.size} bytes at {field.offset:#x} do not fit"
                raise TypeError(msg)
            fmt.append(f"{field.offset - position}x{field.fmt or f'{field.size}s'}")
            position = field.offset + field.size
        fmt.append(f"{size - position}x")
        cls.SIZE, cls.C_NAME, cls.FIELDS = size, c_name, ordered
        cls._codec = struct.Struct("".join(fmt))
        cls._defaults = {n: f.default for n, f in ordered.items()}
        cls._compound = tuple((i, f) for i, f in enumerate(ordered.values()) if f.fmt is None)
        cls._limits = {
            n: _limits(f.fmt)
            for n, f in ordered.items()
            if f.count is None and f.fmt and not f.fmt.endswith("s")
        }
        for name, field in ordered.items():
            if field.default != 0:  # which fits every number
                _checked(f"{cls.__name__}.{name}", field, field.default)

    def __init__(self, **values: Any) -> None:
        unknown = values.keys() - self._defaults.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(sorted(unknown))}")
        held, limits = self.__dict__, self._limits
        held.update(self._defaults)
        for name, value in values.items():
            if name in limits and isinstance(value, int):
                low, high = limits[name]
                if low <= value < high:  # as most are
                    held[name] = value
                    continue
            where = f"{type(self).__name__}.{name}"
            held[name] = _checked(where, self.FIELDS[name], value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} is read-only, use replace()")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} is read-only")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}={value:#x}" if isinstance(value, int) else f"{name}={value!r}"
            for name, value in self.__dict__.items()
            if value != self._defaults[name]
        )
        return f"{type(self).__name__}({shown})"

    def replace(self, **values: Any) -> Self:
        """Return a copy with some fields changed."""
        return type(self)(**{**self.__dict__, **values})

    @classmethod
    def unpack(cls, data: Buffer, offset: int = 0, *, source: str = "") -> Self:
        """Decode the structure at `offset` of `data`.

        :param source: what the bytes are, for messages
        :raises FormatError: fewer than :attr:`SIZE` bytes are left
        """
        if not 0 <= offset <= len(data) - cls.SIZE:
            left = max(0, len(data) - offset) if offset >= 0 else 0
            raise FormatError(
                f"{cls.__name__} needs {cls.SIZE} bytes, {left} are left",
                source=source or "data",
                offset=offset,
            )
        values = list(cls._codec.unpack_from(data, offset))
        for position, field in cls._compound:
            values[position] = _decode(field, values[position])
        self = cls.__new__(cls)
        self.__dict__.update(zip(cls.FIELDS, values, strict=True))
        return self

    @classmethod
    def unpack_all(cls, data: Buffer, *, source: str = "") -> tuple[Self, ...]:
        """Decode `data` as a packed run of this structure; its length must be a multiple."""
        if len(data) % cls.SIZE:
            raise FormatError(
                f"{len(data)} bytes are no whole number of {cls.__name__} ({cls.SIZE} bytes each)",
                source=source or "data",
            )
        return tuple(cls.unpack(data, at, source=source) for at in range(0, len(data), cls.SIZE))

    def pack(self) -> bytes:
        """Encode the structure; bytes between fields are zero."""
        values = [self.__dict__[name] for name in self.FIELDS]
        for position, field in self._compound:
            values[position] = _encode(field, values[position])
        return self._codec.pack(*values)


def _check_declaration(cls: type[Struct], fields: dict[str, Field]) -> None:
    # What a type checker takes for a field and what is one here must be the same set.
    if cls.__mro__[1] is not Struct:
        raise TypeError(f"{cls.__name__}: a layout is derived from Struct alone")
    hints = {n for n, hint in cls.__annotations__.items() if "ClassVar" not in str(hint)}
    if odd := hints ^ fields.keys():
        raise TypeError(f"{cls.__name__}: {', '.join(sorted(odd))} needs a type and a field")
    if taken := fields.keys() & _names_of_struct():
        raise TypeError(f"{cls.__name__}: {', '.join(sorted(taken))} is a name of Struct itself")


@cache
def _names_of_struct() -> set[str]:
    return set(dir(Struct))


def _checked(where: str, field: Field, value: Any) -> Any:
    # The value as the field holds it: bytes and tuples of full length.
    if field.count is not None:
        return _checked_items(where, field, value)
    if field.fmt is None:
        return _checked_item(where, field.item, value)
    if field.fmt.endswith("s"):
        if not isinstance(value, Buffer):
            raise RequestError(f"{where}: {value!r}, bytes are needed", field=where)
        if len(data := bytes(value)) > field.size:
            raise RequestError(f"{where}: {len(data)} bytes, at most {field.size}", field=where)
        return data.ljust(field.size, b"\0")
    return _checked_item(where, field.fmt, value)


def _checked_items(where: str, field: Field, values: Any) -> tuple[Any, ...]:
    if not isinstance(values, _RUNS):
        raise RequestError(f"{where}: {values!r}, a tuple is needed", field=where)
    if len(values) > len(field.default):
        raise RequestError(
            f"{where}: {len(values)} items, at most {len(field.default)}", field=where
        )
    items = tuple(_checked_item(f"{where}[{i}]", field.item, v) for i, v in enumerate(values))
    return (*items, *field.default[len(items) :])


def _checked_item(where: str, item: type[Struct] | str | None, value: Any) -> Any:
    # One number (item is its struct code) or one structure.
    if not isinstance(item, str):
        if type(value) is not item:
            needed = item.__name__ if item else "nothing"
            raise RequestError(f"{where}: {value!r}, a {needed} is needed", field=where)
        return value
    if not isinstance(value, int):
        raise RequestError(f"{where}: {value!r}, a whole number is needed", field=where)
    low, high = _limits(item)
    if not low <= value < high:
        raise RequestError(f"{where}: {value:#x} does not fit the field", field=where)
    return value


@cache
def _limits(fmt: str) -> tuple[int, int]:
    bits = 8 * struct.calcsize("<" + fmt)
    return (-1 << bits - 1, 1 << bits - 1) if fmt.islower() else (0, 1 << bits)


def _decode(field: Field, data: bytes) -> Any:
    if isinstance(field.item, str):
        return struct.unpack(f"<{field.count}{field.item}", data)
    assert field.item is not None
    return field.item.unpack(data) if field.count is None else field.item.unpack_all(data)


def _encode(field: Field, value: Any) -> bytes:
    if field.count is None:
        data: bytes = value.pack()  # of a structure
        return data
    if isinstance(field.item, str):
        return struct.pack(f"<{field.count}{field.item}", *value)
    return b"".join(item.pack() for item in value)


def pack_all(size: int, values: Sequence[int]) -> bytes:
    """Encode unsigned integers of `size` bytes (1, 2, 4 or 8), one after the other.

    :raises RequestError: one does not fit
    """
    try:
        return struct.pack(f"<{len(values)}{_INT_FORMATS[size]}", *values)
    except struct.error as error:
        raise RequestError(f"pack_all: {error}", field="pack_all") from error


def patch(data: bytearray | memoryview, offset: int, size: int, value: int) -> None:
    """Write `value` as an unsigned integer of `size` bytes (1, 2, 4 or 8) at `offset`.

    :raises RequestError: the value does not fit, or the place is not inside `data`
    """
    if not 0 <= offset <= len(data) - size:
        raise RequestError(
            f"patch: {size} bytes at {offset:#x} leave the {len(data)} bytes there are",
            field="patch",
        )
    if not 0 <= value < 1 << 8 * size:
        raise RequestError(f"patch: {value:#x} does not fit {size} bytes", field="patch")
    struct.pack_into("<" + _INT_FORMATS[size], data, offset, value)
