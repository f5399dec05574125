"""Frozen values: declared and used like dataclasses, but cheap to declare.

:func:`dataclasses.dataclass` writes half a dozen functions for every class and compiles them, and
imports :mod:`inspect` to do it. For the vocabulary of hvmlite that takes longer than all the work
of most commands. Here the classes share their functions, and :mod:`dataclasses` is imported only if
somebody passes a value to its functions.
"""

# ruff: noqa: ANN401 - a field's default, and a value's argument, may be anything

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import dataclasses
    from collections.abc import Callable
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_: object) -> Callable[[type], type]:
        """Nothing at run time: importing typing takes 3 ms."""
        return lambda cls: cls


__all__ = ["Value", "dataclass_transform", "field"]

_REQUIRED = object()


class _Field:
    # What is said of one field.
    __slots__ = ("compare", "default", "factory", "repr")

    def __init__(self, default: Any, factory: Any, repr: bool, compare: bool) -> None:
        self.default = default
        self.factory = factory
        self.repr = repr
        self.compare = compare


def field(
    *,
    default: Any = _REQUIRED,
    default_factory: Any = None,
    repr: bool = True,
    compare: bool = True,
) -> Any:
    """Declare a field, with the meaning of :func:`dataclasses.field`."""
    return _Field(default, default_factory, repr, compare)


class _OfDataclass:
    # An attribute by which `dataclasses`, `inspect` and `pprint` know what they can work with: that
    # of a dataclass of the same declaration. The base's own must not become its subclasses'.
    def __init__(self, find: Callable[[Any], Any]) -> None:
        self._find = find

    def __get__(self, _: object, owner: type[Value]) -> Any:
        if "_like" not in owner.__dict__:
            owner._like = _dataclass(owner)
        return self._find(owner._like)


def _signature(cls: type) -> Any:
    import inspect

    return inspect.signature(cls)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Value:
    """The base of frozen values: a subclass is what ``@dataclass(frozen=True)`` would make of it.

    :func:`dataclasses.replace`, `fields`, `asdict` and `is_dataclass` take it as one, and
    :func:`inspect.signature` tells its fields. It is derived from this class alone.
    """

    if TYPE_CHECKING:  # typing.get_type_hints() of a subclass looks up what is written here, too
        __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]
        _like: ClassVar[type]
        _names: ClassVar[tuple[str, ...]]
        _declared: ClassVar[dict[str, _Field]]
        _defaults: ClassVar[dict[str, Any]]
        _factories: ClassVar[dict[str, Any]]
        _compared: ClassVar[tuple[str, ...]]
    else:
        __dataclass_fields__ = _OfDataclass(lambda cls: cls.__dataclass_fields__)
        __dataclass_params__ = _OfDataclass(lambda cls: cls.__dataclass_params__)
        __signature__ = _OfDataclass(_signature)
        _names = _compared = ()
        _declared, _defaults, _factories = {}, {}, {}

    def __init_subclass__(cls) -> None:
        if cls.__bases__ != (Value,):
            raise TypeError(f"{cls.__name__}: a value is derived from Value alone")
        declared = {}
        for name, hint in cls.__annotations__.items():
            if "ClassVar" in str(hint):
                continue
            said = cls.__dict__.get(name, _REQUIRED)
            declared[name] = said if isinstance(said, _Field) else _Field(said, None, True, True)
            if declared[name].default.__class__.__hash__ is None:
                raise TypeError(f"{cls.__name__}.{name}: a default that can change, shared by all")
            if said is not _REQUIRED:
                delattr(cls, name)  # it is an attribute of the values only
        cls._names = tuple(declared)
        type.__setattr__(cls, "__match_args__", cls._names)  # mypy has its own opinion of these
        cls._declared = declared
        cls._defaults = {n: f.default for n, f in declared.items() if f.default is not _REQUIRED}
        cls._factories = {n: f.factory for n, f in declared.items() if f.factory is not None}
        cls._compared = tuple(n for n, f in declared.items() if f.compare)

    def __init__(self, *args: Any, **named: Any) -> None:
        values = self.__dict__
        values.update(self._defaults)
        values.update(zip(self._names, args, strict=False))
        values.update(named)
        for name, factory in self._factories.items():
            if name not in values:
                values[name] = factory()
        if values.keys() != self._declared.keys() or len(args) + len(named) > len(values):
            raise _wrong_arguments(type(self), args, named)
        if args and named and not named.keys().isdisjoint(self._names[: len(args)]):
            raise _wrong_arguments(type(self), args, named)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} is read-only, use replace()")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} is read-only")

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        ours, theirs = self.__dict__, other.__dict__
        return all(ours[name] == theirs[name] for name in self._compared)

    def __hash__(self) -> int:
        values = self.__dict__
        return hash(tuple([values[name] for name in self._compared]))

    def __repr__(self) -> str:
        values = self.__dict__
        shown = ", ".join(f"{n}={values[n]!r}" for n, f in self._declared.items() if f.repr)
        return f"{type(self).__qualname__}({shown})"

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return type(self)(**{**self.__dict__, **changes})

    __replace__ = replace  # of copy.replace(), since Python 3.13


def _wrong_arguments(cls: type[Value], args: tuple[Any, ...], named: dict[str, Any]) -> TypeError:
    names = cls._names
    given = names[: len(args)]
    if len(args) > len(names):
        return TypeError(f"{cls.__name__}: {len(args)} values, {len(names)} fields")
    for name in named:
        if name in given or name not in names:
            return TypeError(
                f"{cls.__name__}: {name} is {'given twice' if name in given else 'no field'}"
            )
    missing = [n for n in names if n not in {*given, *named, *cls._defaults, *cls._factories}]
    return TypeError(f"{cls.__name__}: {', '.join(missing)} not given")


def _dataclass(cls: type[Value]) -> type:
    import dataclasses

    def told(name: str) -> tuple[str, Any, Any]:
        said = cls._declared[name]
        default = dataclasses.MISSING if said.default is _REQUIRED else said.default
        made = dataclasses.field(
            default=default,
            default_factory=said.factory or dataclasses.MISSING,
            repr=said.repr,
            compare=said.compare,
        )
        return name, cls.__annotations__[name], made

    return dataclasses.make_dataclass(
        cls.__name__, [told(name) for name in cls._declared], frozen=True
    )
