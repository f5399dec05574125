"""The same meaning through any door: one field after the other, by what two guests reported.

Only fields that both protocols carry are compared. What may differ is not in the list:

- the setup header in the zero page: `type_of_loader`, `version`, the addresses of command line and
  initrd are the loader's own; PVH's is made by the kernel itself;
- `setup_data`: the loader's means, not what it means; a seed in it is another one at each start;
- where the kernel runs and what lies in its RAM, since it may choose its address (KASLR);
- `hypervisor`, `uptime_ms`, `release`: not the loader's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hvmlite.matrix._ranges import Named, resources, settled
from hvmlite.matrix.result import Difference

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from hvmlite.matrix.report import Report

__all__ = ["FIELDS", "Field", "Seen", "differences"]

_ABSENT = "not reported"
_LONGEST = 2000  # characters of a value that is shown
_RAM_SLACK = 8 << 10
"""KiB by which MemTotal may differ: it lacks what the kernel took for itself before it counted, and
that depends on where it lies. Debian's kernels show up to 2 MiB. RAM that is really lost is missing
in the map or in /proc/iomem, too."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a guest saw through one door.

    :param carries: the fields of BootInfo that its protocol carries
    :param own: address ranges that the protocol reserved for its own use (the BIOS of linux16);
        they are RAM for every other one
    """

    report: Report
    carries: Collection[str]
    own: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Field:
    """A field that is compared: which member of BootInfo brings it, and how it is read.

    A value is what `read` returns: something with a text, a tuple of such things, or None.
    :param optional: None means that the guest was told in another way, which is no difference
    :param slack: how far apart two numbers may be
    """

    name: str
    carried: str
    read: Callable[[Seen], object]
    optional: bool = False
    slack: int = 0

    def same(self, one: object, other: object) -> bool:
        """Whether two values mean the same."""
        if self.optional and (one is None or other is None):
            return True
        if self.slack and isinstance(one, int) and isinstance(other, int):
            return abs(one - other) <= self.slack
        return one == other


@dataclass(frozen=True, slots=True)
class _Pair:
    name: str
    value: str | None

    def __str__(self) -> str:
        return f"{self.name} {self.value}"


def _pairs(pairs: Iterable[tuple[str, str | None]] | None) -> tuple[_Pair, ...] | None:
    return None if pairs is None else tuple(_Pair(*pair) for pair in pairs)


def _memory_map(seen: Seen) -> tuple[Named, ...] | None:
    told = seen.report.memory_map
    return None if told is None else settled(told, seen.own)


def _iomem(seen: Seen) -> tuple[Named, ...] | None:
    rows = seen.report.iomem
    return None if rows is None else resources(rows, seen.own)


FIELDS: tuple[Field, ...] = (
    Field("command line", "cmdline", lambda seen: seen.report.cmdline),
    Field("memory map", "memory_map", _memory_map),
    Field("memory resources", "memory_map", _iomem),
    Field("memory total", "memory_map", lambda seen: seen.report.memory_kib, slack=_RAM_SLACK),
    Field("initrd files", "modules", lambda seen: _pairs(seen.report.files)),
    Field("ACPI tables", "rsdp", lambda seen: _pairs(seen.report.acpi)),
    Field("RSDP", "rsdp", lambda seen: seen.report.rsdp, optional=True),
    Field("processors", "rsdp", lambda seen: seen.report.cpus),
    Field("frame buffer", "framebuffer", lambda seen: _pairs(seen.report.framebuffer)),
)
"""In the order in which they are shown."""


def differences(baseline: Seen, other: Seen) -> tuple[Difference, ...]:
    """Compare two reports, field by field."""
    found = []
    for field in FIELDS:
        if field.carried not in baseline.carries or field.carried not in other.carries:
            continue
        one, two = field.read(baseline), field.read(other)
        if not field.same(one, two):
            found.append(Difference(field.name, *_texts(field, one, two)))
    return tuple(found)


def _texts(field: Field, one: object, two: object) -> tuple[str, str]:
    # Of two lists only what the other one lacks.
    if isinstance(one, tuple) and isinstance(two, tuple):
        left, right = set(one), set(two)
        return (
            _joined([item for item in one if item not in right]),
            _joined([item for item in two if item not in left]),
        )
    return _text(field, one), _text(field, two)


def _joined(items: list[object]) -> str:
    return _cut(", ".join(map(str, items)) or "none of these")


def _text(field: Field, value: object) -> str:
    if value is None:
        return _ABSENT
    if isinstance(value, tuple):
        return _joined(list(value))
    if isinstance(value, int):
        return f"{value:#x}" if field.name == "RSDP" else str(value)
    return _cut(str(value))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"
