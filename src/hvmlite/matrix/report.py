"""What our reporter says inside a Linux guest: one line of JSON on the serial port.

The line is written by ``stub/report``; its guest may be hostile, so nothing here is trusted. A
member may be null: the guest has no such thing.
"""

from __future__ import annotations

import binascii
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeVar

from hvmlite.errors import FormatError
from hvmlite.model import MemoryRange, SetupNode
from hvmlite.spec.linux import BootE820Entry, BootParams, SetupType

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LONGEST", "PREFIX", "Report", "Resource", "parse"]

PREFIX = b"hvmlite-report: "
LONGEST = 1 << 20
"""Bytes of the JSON text that are read; Debian's kernels make about 12 KiB of it."""

_T = TypeVar("_T")

_SCHEMA = 1
_LINE = re.compile(rb"^" + PREFIX + rb"(.*)$", re.MULTILINE)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WORD = 1 << 64
_MOST_RECORDS = 128 + 3 * 1024
"""E820_MAX_ENTRIES, with the largest MAX_NUMNODES (arch/x86/include/asm/e820/types.h)."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A line of /proc/iomem: addresses from `start` up to, not including, `end`."""

    depth: int
    start: int
    end: int
    name: str


@dataclass(frozen=True, slots=True)
class Report:
    """What the guest found, in its own words; texts are bytes read as Latin-1.

    `boot_params` is the zero page as the kernel kept it, `setup_data` the list that hangs on it,
    `memory_kib` MemTotal. `files` are the SHA-256 sums of the files below /payload by their path,
    `acpi` those of the ACPI tables by their name in sysfs. `framebuffer` is the first one in its
    driver's words, by attribute.
    """

    release: str | None = None
    machine: str | None = None
    cmdline: str | None = None
    boot_params: bytes | None = None
    setup_data: tuple[SetupNode, ...] | None = None
    iomem: tuple[Resource, ...] | None = None
    memory_kib: int | None = None
    cpus: int | None = None
    files: tuple[tuple[str, str], ...] | None = None
    acpi: tuple[tuple[str, str], ...] | None = None
    efi: bool | None = None
    framebuffer: tuple[tuple[str, str | None], ...] | None = None
    hypervisor: str | None = None
    uptime_ms: int | None = None
    memory_map: tuple[MemoryRange, ...] | None = None
    """From the zero page and its SETUP_E820_EXT node, as they stand there."""
    rsdp: int | None = None
    """`acpi_rsdp_addr` of the zero page; None where the loader told it another way, or not."""


def parse(console: bytes) -> Report:
    """Find the report among what the guest wrote and take it apart.

    :raises FormatError: there is none, or more than one, or it is not as it must be
    """
    lines = _LINE.finditer(console)
    line = next(lines, None)
    if line is None:
        raise FormatError("no report found, one line of it needed", source="console")
    if next(lines, None) is not None:
        raise FormatError("several reports found, one needed", source="console")
    text = line[1].rstrip(b"\r")
    if len(text) > LONGEST:
        raise _wrong(f"{len(text)} bytes found, at most {LONGEST} needed")
    return _report(_json_object(text))


def _wrong(message: str) -> FormatError:
    return FormatError(message, source="report")


def _json_object(text: bytes) -> dict[str, object]:
    try:
        value = json.loads(
            text.decode("ascii"), object_pairs_hook=_no_doubles, parse_constant=_no_constant
        )
    except UnicodeDecodeError as cause:
        raise _wrong(f"a byte {text[cause.start]:#04x} found, ASCII needed") from cause
    except RecursionError as cause:
        raise _wrong("nested too deeply, an object of a few levels needed") from cause
    except json.JSONDecodeError as cause:
        raise _wrong(f"no JSON at byte {cause.pos}, one JSON object needed") from cause
    except ValueError as cause:  # a number with more digits than Python converts
        raise _wrong("a number of thousands of digits found, one below 2^64 needed") from cause
    if not isinstance(value, dict):
        raise _wrong(f"{_type(value)} found, an object needed")
    return value


def _no_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _wrong("a name twice in one object, each once needed")
    return members


def _no_constant(name: str) -> NoReturn:
    raise _wrong(f"{name} found, JSON needed")


def _type(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    names |= {int: "a number", float: "a fraction", type(None): "null"}
    return names[type(value)]


def _optional(
    members: dict[str, object], name: str, read: Callable[[str, object], _T]
) -> _T | None:
    # What is absent is what is null.
    value = members.get(name)
    return None if value is None else read(name, value)


def _report(members: dict[str, object]) -> Report:
    if (schema := members.get("schema")) != _SCHEMA or isinstance(schema, bool):
        raise _wrong(f"schema is {_shown(schema)}, {_SCHEMA} needed")
    page = _optional(members, "boot_params", _zero_page)
    nodes = _optional(members, "setup_data", _setup_data)
    params = None if page is None else BootParams.unpack(page, source="report: boot_params")
    return Report(
        release=_optional(members, "release", _text),
        machine=_optional(members, "machine", _text),
        cmdline=_optional(members, "cmdline", _text),
        boot_params=page,
        setup_data=nodes,
        iomem=_optional(members, "iomem", _iomem),
        memory_kib=_optional(members, "memory_kib", _number),
        cpus=_optional(members, "cpus", _number),
        files=_optional(members, "files", _sums),
        acpi=_optional(members, "acpi", _sums),
        efi=_optional(members, "efi", _truth),
        framebuffer=_optional(members, "framebuffer", _attributes),
        hypervisor=_optional(members, "hypervisor", _text),
        uptime_ms=_optional(members, "uptime_ms", _number),
        memory_map=None if params is None else _memory_map(params, nodes or ()),
        rsdp=(params.acpi_rsdp_addr or None) if params is not None else None,
    )


def _shown(value: object) -> str:
    return str(value)[:40] if isinstance(value, int | float) else _type(value)


def _text(where: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(f"{where} is {_type(value)}, a text needed")
    if any(ord(character) > 0xFF for character in value):
        raise _wrong(f"{where} has a character beyond U+00FF, bytes as Latin-1 needed")
    return value


def _number(where: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _WORD:
        raise _wrong(f"{where} is {_shown(value)}, a number from 0 to 2^64-1 needed")
    return value


def _truth(where: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong(f"{where} is {_type(value)}, a truth value needed")
    return value


def _list(where: str, value: object) -> list[object]:
    if not isinstance(value, list):
        raise _wrong(f"{where} is {_type(value)}, a list needed")
    return value


def _bytes(where: str, value: object) -> bytes:
    try:
        return binascii.unhexlify(_text(where, value))
    except ValueError as cause:
        raise _wrong(f"{where} is no hex, two digits for each byte needed") from cause


def _zero_page(where: str, value: object) -> bytes:
    page = _bytes(where, value)
    if len(page) != BootParams.SIZE:
        raise _wrong(f"{where} has {len(page)} bytes, {BootParams.SIZE} needed")
    return page


def _setup_data(where: str, value: object) -> tuple[SetupNode, ...]:
    nodes = []
    for number, item in enumerate(_list(where, value)):
        inside = f"{where}[{number}]"
        if not isinstance(item, dict):
            raise _wrong(f"{inside} is {_type(item)}, an object needed")
        kind = _number(f"{inside}.type", item.get("type"))
        nodes.append(SetupNode(kind, _bytes(f"{inside}.data", item.get("data"))))
    return tuple(nodes)


def _iomem(where: str, value: object) -> tuple[Resource, ...]:
    rows = []
    for number, item in enumerate(_list(where, value)):
        inside = f"{where}[{number}]"
        row = _list(inside, item)
        if len(row) != 4:
            raise _wrong(f"{inside} has {len(row)} members, 4 needed")
        depth, start, last = (_number(inside, word) for word in row[:3])
        if last < start:
            raise _wrong(f"{inside} ends at {last:#x}, an end from its start {start:#x} on needed")
        rows.append(Resource(depth, start, last + 1, _text(inside, row[3])))
    return tuple(rows)


def _attributes(where: str, value: object) -> tuple[tuple[str, str | None], ...]:
    if not isinstance(value, dict):
        raise _wrong(f"{where} is {_type(value)}, an object needed")
    pairs: list[tuple[str, str | None]] = []
    for name, text in sorted(value.items()):
        _text(f"a name in {where}", name)
        pairs.append((name, None if text is None else _text(f"a member of {where}", text)))
    return tuple(pairs)


def _sums(where: str, value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise _wrong(f"{where} is {_type(value)}, an object needed")
    for name, digest in value.items():
        _text(f"a name in {where}", name)
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise _wrong(f"a member of {where} is no SHA-256 sum, 64 hex digits needed")
    return tuple(sorted(value.items()))


def _memory_map(params: BootParams, nodes: tuple[SetupNode, ...]) -> tuple[MemoryRange, ...]:
    if params.e820_entries > len(params.e820_table):
        raise _wrong(
            f"boot_params names {params.e820_entries} memory map records, "
            f"at most {len(params.e820_table)} needed"
        )
    records = list(params.e820_table[: params.e820_entries])
    for node in nodes:
        if node.type == SetupType.SETUP_E820_EXT:
            if len(node.data) % BootE820Entry.SIZE:
                raise _wrong(
                    f"SETUP_E820_EXT has {len(node.data)} bytes, "
                    f"a multiple of {BootE820Entry.SIZE} needed"
                )
            records += BootE820Entry.unpack_all(node.data, source="report: SETUP_E820_EXT")
    if len(records) > _MOST_RECORDS:
        raise _wrong(f"{len(records)} memory map records found, at most {_MOST_RECORDS} needed")
    return tuple(MemoryRange(each.addr, each.addr + each.size, each.type) for each in records)
