"""What is asked of each start, and how a row of the table tells of it."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import pytest

from hvmlite.matrix import report as reports
from hvmlite.matrix.compare import FIELDS, Seen, differences
from hvmlite.model import MemoryType
from loaders import page
from loaders.conftest import BUILT_IN, HANDED_OVER, SUMS
from loaders.rows import KERNELS, LOADERS

if TYPE_CHECKING:
    from loaders.conftest import Starts
    from loaders.rows import Loader

CARRIES = {field.carried for field in FIELDS} - {"cmdline"}
"""All but the command line: where a loader adds its own words to it is another place."""


GRUB_RUNTIME_CODE = 20


def each(*groups: str):
    """A test for each loader of these groups and each kernel."""
    rows = [loader for loader in LOADERS if loader.group in groups]
    assert {loader.group for loader in rows} == set(groups)
    cases = [(row, kernel) for row, kernel in product(rows, KERNELS) if kernel in row.kernels]
    ids = [f"{loader.row}-{kernel}" for loader, kernel in cases]
    return pytest.mark.parametrize(("loader", "kernel"), cases, ids=ids)


def check(starts: Starts, loader: Loader, kernel: str, folder, compared) -> None:
    """Start it, and hold it against the table and against the stock kernel."""
    seen = starts.universal(loader, kernel, folder)
    no = loader.refusal(kernel)
    if no is not None:
        assert seen.report is None, "it does start: the table's reason is wrong"
        assert re.search(no.says, seen.console), seen.said
        page.keep(loader, kernel, page.NO)
        assert page.cell(loader, kernel) == page.NO, page.ADVICE
        return
    assert seen.report is not None, f"the guest did not report:\n{seen.said}"
    told = reports.parse(seen.report)
    line = f"{BUILT_IN} {loader.line.format(HANDED_OVER)}".rstrip()
    assert told.cmdline == line, f"{told.cmdline!r}, not {line!r}"
    expected = dict(list(SUMS.items())[: 2 if loader.initrd else 1])
    assert dict(told.files) == expected, told.files
    if kernel in compared:
        _compare(starts, loader, kernel, told, folder)
    page.keep(loader, kernel, page.entry(told))
    assert page.cell(loader, kernel) == page.entry(told), page.ADVICE


def _compare(starts: Starts, loader: Loader, kernel: str, told: reports.Report, folder) -> None:
    native = starts.native(loader.like or loader.key, kernel, folder)
    carries = CARRIES if loader.initrd else CARRIES - {"modules"}
    found = differences(Seen(_plain(native), carries), Seen(_plain(told), carries))
    wrong = [each for each in found if each.field not in loader.differs]
    assert not wrong, "\n".join(f"{x.field}: native {x.baseline}\nhere {x.found}" for x in wrong)
    assert told.efi == native.efi or "EFI" in loader.differs


def _plain(report: reports.Report) -> reports.Report:
    """Without what may differ between two starts by one loader.

    GRUB's `linux` calls the code of UEFI's runtime services type 20, all others reserve it. BGRT
    has the address of the firmware's picture, which lies elsewhere beside a larger file.
    """
    tables = tuple(each for each in report.acpi or () if each[0] != "BGRT")
    ranges = [
        replace(each, type=MemoryType.RESERVED if each.type == GRUB_RUNTIME_CODE else each.type)
        for each in report.memory_map
    ]
    rows = [
        replace(each, name="Reserved" if each.name == "Unknown E820 type" else each.name)
        for each in report.iomem
    ]
    return replace(report, acpi=tables, memory_map=tuple(ranges), iomem=tuple(rows))
