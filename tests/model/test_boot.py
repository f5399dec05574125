"""What a boot tells: memory ranges and their order."""

from __future__ import annotations

import operator

import pytest

from hvmlite.model import MemoryRange, MemoryType

RANGES = [
    MemoryRange(0, 1),
    MemoryRange(0, 2),
    MemoryRange(0, 2, MemoryType.ACPI),
    MemoryRange(1, 2),
]


@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge])
def test_ranges_are_ordered_as_their_fields_are(compare):
    for i, left in enumerate(RANGES):
        for k, right in enumerate(RANGES):
            assert compare(left, right) == compare(i, k)
    with pytest.raises(TypeError, match="not supported between instances of 'MemoryRange'"):
        compare(RANGES[0], (0, 1, 1))
