"""What is a difference between two guests, and what is none."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmlite.matrix._ranges import Named, resources, settled
from hvmlite.matrix.compare import FIELDS, Seen, differences
from hvmlite.matrix.report import Resource, parse
from hvmlite.matrix.result import Difference
from hvmlite.model import MemoryRange
from matrix.reports import MAP, SUM, e820, line, members, zero_page

ALL = frozenset({"cmdline", "modules", "memory_map", "rsdp", "framebuffer"})
OTHER_SUM = "cd" * 32


def seen(carries=ALL, own=(), **changes):
    return Seen(parse(line(**changes)), carries, own)


def names(one, other):
    return [each.field for each in differences(one, other)]


def resource_of(*changes):
    return [*members()["iomem"][:-1], *changes]


CHANGES = {
    "command line": {"cmdline": "console=ttyS0"},
    "memory map": {"boot_params": zero_page(MAP[:2]).hex()},
    "memory resources": {"iomem": resource_of([0, 0x900000, 0x9FFFFF, "Reserved"])},
    "memory total": {"memory_kib": 8000 + 8193},
    "initrd files": {"files": {"/payload/a": OTHER_SUM}},
    "ACPI tables": {"acpi": {"DSDT": SUM, "APIC": OTHER_SUM}},
    "processors": {"cpus": 2},
    "frame buffer": {"framebuffer": {"virtual_size": "1024,768"}},
}


@pytest.mark.parametrize("field", CHANGES)
def test_each_field_is_compared(field):
    assert names(seen(), seen()) == []
    assert names(seen(), seen(**CHANGES[field])) == [field]
    assert names(seen(**CHANGES[field]), seen()) == [field]


def test_the_rsdp_is_compared_where_both_zero_pages_have_it():
    one, two = (zero_page(rsdp=address).hex() for address in (0x9F000, 0x9F010))
    (found,) = differences(seen(boot_params=one), seen(boot_params=two))
    assert found == Difference("RSDP", "0x9f000", "0x9f010")
    assert names(seen(boot_params=one), seen()) == []


def test_every_field_has_a_change_above():
    assert {field.name for field in FIELDS} == {*CHANGES, "RSDP"}


@pytest.mark.parametrize(
    "changes",
    [
        {"release": "6.1"}, {"uptime_ms": 1}, {"hypervisor": "xen"}, {"machine": "i686"},
        {"setup_data": [{"type": 9, "data": "0102"}]},
        {"memory_kib": 8000 + 8192},
        {"iomem": resource_of([1, 0x600000, 0x6FFFFF, "Kernel code"])},
    ],
)  # fmt: skip
def test_what_may_differ(changes):
    assert names(seen(), seen(**changes)) == []


def test_the_loaders_own_fields_of_the_zero_page_may_differ():
    page = bytearray(zero_page())
    page[0x1F1:0x268] = bytes(range(0x77))
    assert names(seen(), seen(boot_params=page.hex())) == []


@pytest.mark.parametrize("field", CHANGES)
def test_only_what_both_protocols_carry_is_compared(field):
    (carried,) = (each.carried for each in FIELDS if each.name == field)
    assert names(seen(ALL - {carried}), seen(**CHANGES[field])) == []
    assert names(seen(), seen(ALL - {carried}, **CHANGES[field])) == []


def test_a_field_that_one_guest_lacks_differs():
    (found,) = differences(seen(), seen(cmdline=None))
    assert found == Difference("command line", "console=ttyS0 \xff", "not reported")


def test_of_a_list_only_what_differs_is_shown():
    more = [*MAP[:2], (0x100000, 0x600000, 1)]
    found = differences(seen(), seen(boot_params=zero_page(more).hex()))
    assert found == (Difference("memory map", "0x100000-0x800000 RAM", "0x100000-0x700000 RAM"),)
    found = differences(seen(), seen(acpi={}))
    assert found == (Difference("ACPI tables", f"DSDT {SUM}", "none of these"),)


def test_a_long_value_is_cut():
    (found,) = differences(seen(), seen(cmdline="x" * 5000))
    assert found.found == "x" * 2000 + "... (5000 characters)"


def test_the_same_map_in_other_words_is_the_same():
    """PVH's Linux appends the legacy hole, whether the map has it or not; a loader may split."""
    hole = (0xA0000, 0x60000, 2)
    plain = zero_page([*MAP, hole]).hex()
    twice = zero_page([hole, (0x100000, 0x1000, 1), (0x101000, 0x6FF000, 1), *MAP[:2], hole]).hex()
    assert names(seen(boot_params=plain), seen(boot_params=twice)) == []
    nodes = [{"type": 1, "data": e820([hole]).hex()}]
    assert names(seen(boot_params=plain), seen(setup_data=nodes)) == []


def test_what_a_protocol_reserves_for_itself_is_no_difference():
    """The BIOS of linux16 lies in base memory."""
    bios = (0x98000, 0x9A000)
    split = [(0, 0x98000, 1), (0x98000, 0x2000, 2), (0x9A000, 0x5000, 1), *MAP[1:]]
    rows = [
        [0, 0, 0xFFF, "Reserved"], [0, 0x1000, 0x97FFF, "System RAM"],
        [0, 0x98000, 0x99FFF, "Reserved"], [0, 0x9A000, 0x9EFFF, "System RAM"],
        *members()["iomem"][2:],
    ]  # fmt: skip
    changes = {"boot_params": zero_page(split).hex(), "iomem": rows}
    assert names(seen(), seen(own=(bios,), **changes)) == []
    assert names(seen(), seen(**changes)) == ["memory map", "memory resources"]


RANGES = st.lists(
    st.builds(
        lambda start, size, kind: MemoryRange(start, start + size, kind),
        st.integers(0, 30), st.integers(0, 10), st.integers(1, 9),
    ),
    max_size=8,
)  # fmt: skip
OWN = st.lists(
    st.builds(lambda a, n: (a, a + n), st.integers(0, 30), st.integers(1, 5)), max_size=2
)


@given(RANGES, OWN)
def test_a_settled_map_says_of_each_address_what_linux_takes_it_for(ranges, own):
    flat = settled(ranges, own)
    types = {"RAM": 1, "RESERVED": 2, "ACPI": 3, "NVS": 4, "UNUSABLE": 5, "DISABLED": 6,
             "PERSISTENT": 7, "type 8": 8, "type 9": 9}  # fmt: skip
    for address in range(45):
        wanted = {each.type for each in ranges if each.start <= address < each.end}
        wanted = {max(wanted)} if wanted else set()
        if any(start <= address < end for start, end in own):
            wanted = {1}
        found = {types[each.name] for each in flat if each.start <= address < each.end}
        assert found == wanted
    for one, two in pairwise(flat):
        assert one.end < two.start or (one.end == two.start and one.name != two.name)


@given(RANGES)
def test_a_settled_map_is_settled(ranges):
    flat = settled(ranges)
    assert settled(ranges + ranges[::-1]) == flat


def test_3200_records_are_settled_at_once():
    many = [MemoryRange(n, (1 << 64) - n, n % 7 + 1) for n in range(3200)]
    assert settled(many)[0] == Named(0, 1, "RAM")


def test_resources_are_the_maps_only():
    rows = [
        Resource(0, 0, 10, "System RAM"), Resource(1, 2, 4, "Kernel code"),
        Resource(0, 10, 20, "PCI Bus 0000:00"), Resource(1, 12, 14, "Reserved"),
        Resource(0, 20, 30, "Reserved"), Resource(0, 30, 40, "Reserved"),
    ]  # fmt: skip
    assert resources(rows) == (
        Named(0, 10, "System RAM"), Named(12, 14, "Reserved"), Named(20, 40, "Reserved"),
    )  # fmt: skip
