"""Every layout that C knows, against gcc: offsets and sizes, and no member forgotten.

Two readings of the same headers: ``offsetof`` and ``sizeof`` of what we declare, and the debug
information that gcc writes, read by readelf, for what the C structures have.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
from pathlib import Path

import pytest

import hvmlite.spec
from hvmlite.spec.pvh import HvmStartInfo, HvmStartInfoV0
from hvmlite.wire import Struct

HEADERS = (
    "stddef.h",
    "stdint.h",
    "stdio.h",
    "elf.h",
    "asm/bootparam.h",
    "linux/apm_bios.h",
    "linux/edd.h",
    "linux/screen_info.h",
    "xen/arch-x86/hvm/start_info.h",
    "multiboot.h",  # the one of this folder
    "universal.h",  # our own stub's
)
FOLDERS = (Path(__file__).parent, Path(__file__).parents[2] / "stub" / "universal")
PADDING = re.compile(r"_*(pad|reserved)\d*")
MODULES = [m.name for m in pkgutil.iter_modules(hvmlite.spec.__path__)]


def layouts() -> list[type[Struct]]:
    found = []
    for name in MODULES:
        module = importlib.import_module(f"hvmlite.spec.{name}")
        found += [
            value
            for value in vars(module).values()
            if isinstance(value, type)
            and issubclass(value, Struct)
            and value.__module__ == module.__name__
        ]
    return found


LAYOUTS = layouts()
IN_C = [layout for layout in LAYOUTS if layout.C_NAME]
by_name = pytest.mark.parametrize("layout", IN_C, ids=lambda layout: layout.__name__)


def program() -> str:
    lines = [f"#include <{header}>" for header in HEADERS]
    # a variable of each type brings its debug information
    lines += [f"{layout.C_NAME} v_{layout.__name__};" for layout in IN_C]
    lines.append("int main(void) {")
    for layout in IN_C:
        lines.append(f'printf("{layout.__name__} - 0 %zu\\n", sizeof({layout.C_NAME}));')
        lines += [
            f'printf("{layout.__name__} {field} %zu %zu\\n", offsetof({layout.C_NAME}, {field}),'
            f" sizeof((({layout.C_NAME} *)0)->{field}));"
            for field in layout.FIELDS
        ]
    return "\n".join([*lines, "return 0; }", ""])


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gcc")
    source, output = folder / "layouts.c", folder / "layouts"
    source.write_text(program())
    command = ["gcc", "-g", "-gdwarf-4", "-Wall", "-Werror", *(f"-I{each}" for each in FOLDERS)]
    command += ["-o", output, source]
    subprocess.run(command, check=True)
    return output


@pytest.fixture(scope="module")
def measured(binary):
    """(layout, field) -> (offset, size), as gcc has them; field "-" is the structure."""
    text = subprocess.run([binary], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in text.splitlines()]
    return {(row[0], row[1]): (int(row[2]), int(row[3])) for row in rows}


class Debug:
    """The structures in ``readelf --debug-dump=info``: members by name with their offsets."""

    ENTRY = re.compile(r"\s*<([0-9a-f]+)><([0-9a-f]+)>: Abbrev Number: \d+ \((DW_TAG_\w+)\)")
    ATTRIBUTE = re.compile(r"\s*<[0-9a-f]+>\s+(DW_AT_\w+)\s*:\s*(.*)")

    def __init__(self, text: str) -> None:
        self.entries: dict[int, dict] = {}
        stack: list[dict] = []
        for line in text.splitlines():
            if found := self.ENTRY.match(line):
                depth, at, tag = int(found[1], 16), int(found[2], 16), found[3]
                entry = {"tag": tag, "children": []}
                self.entries[at] = entry
                del stack[depth:]
                if stack:
                    stack[-1]["children"].append(entry)
                stack.append(entry)
            elif stack and (found := self.ATTRIBUTE.match(line)):
                stack[-1][found[1]] = found[2].rpartition("): ")[2].strip()

    def members(self, variable: str) -> dict[str, int]:
        """The members of the type of a variable."""
        entry = next(
            e
            for e in self.entries.values()
            if e["tag"] == "DW_TAG_variable" and e.get("DW_AT_name") == variable
        )
        while entry["tag"] != "DW_TAG_structure_type":
            entry = self.entries[int(entry["DW_AT_type"].strip("<>"), 16)]
        return {
            member["DW_AT_name"]: int(member["DW_AT_data_member_location"])
            for member in entry["children"]
        }


@pytest.fixture(scope="module")
def debug(binary):
    command = ["readelf", "--debug-dump=info", binary]
    return Debug(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_every_room_of_spec_is_walked():
    assert {"elf", "linux", "pvh", "xen", "x86", "acpi"} <= set(MODULES)
    assert {"BootParams", "SetupHeader", "HvmStartInfo"} <= {layout.__name__ for layout in IN_C}


@by_name
def test_offsets_and_sizes_are_gcc_s(layout, measured):
    ours = {(layout.__name__, "-"): (0, layout.SIZE)}
    ours |= {(layout.__name__, n): (f.offset, f.size) for n, f in layout.FIELDS.items()}
    assert ours == {key: measured[key] for key in ours}


@by_name
def test_no_member_of_the_c_structure_is_missing(layout, debug):
    members = debug.members(f"v_{layout.__name__}")
    ours = {name: field.offset for name, field in layout.FIELDS.items()}
    missing = {n: at for n, at in members.items() if ours.get(n) != at and at < layout.SIZE}
    assert {n: at for n, at in missing.items() if not PADDING.fullmatch(n)} == {}


def test_version_0_of_the_start_info_is_the_beginning_of_version_1():
    assert list(HvmStartInfoV0.FIELDS) == list(HvmStartInfo.FIELDS)[:7]
    for name, field in HvmStartInfoV0.FIELDS.items():
        assert (field.offset, field.size) == (
            HvmStartInfo.FIELDS[name].offset,
            HvmStartInfo.FIELDS[name].size,
        )
    assert HvmStartInfo.FIELDS["memmap_paddr"].offset == HvmStartInfoV0.SIZE


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_every_layout_is_its_own_inverse(layout):
    pattern = bytes(number * 7 % 251 for number in range(layout.SIZE))
    value = layout.unpack(pattern)
    assert layout.unpack(value.pack()) == value
    assert layout(**{name: getattr(value, name) for name in layout.FIELDS}) == value
