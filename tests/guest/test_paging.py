"""Page tables, walked by a second implementation written from the manual (SDM volume 3, 4.5.4)."""

from __future__ import annotations

from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmlite.errors import RequestError
from hvmlite.guest import paging
from hvmlite.guest.place import place
from hvmlite.model import BootInfo, CpuState, Entry, Machine, RamBlock, Ref

MACHINE = Machine("test", 64 << 20, (RamBlock(0, 64 << 20, 0),))


def tables(piece):
    """The piece at the address that the placer gives it, and CR3."""
    cpu = CpuState(cr0=0x80000011, cr4=0x20, efer=0x500)
    entry = Entry("test", (piece,), cpu, {"cr3": Ref(piece.name)})
    plan = place(entry, MACHINE, BootInfo())
    return plan.pieces[0], plan.cpu.cr3


def walk(placed, cr3, linear, levels):
    """Translate `linear`: (physical address, page size), or None for a page fault."""
    base = cr3 & 0x000FFFFFFFFFF000
    for level in range(levels, 0, -1):
        index = (linear >> (12 + 9 * (level - 1))) & 0x1FF
        at = base + 8 * index - placed.start
        assert 0 <= at <= placed.end - placed.start - 8, "a table outside the piece"
        entry = int.from_bytes(placed.data[at : at + 8], "little")
        if not entry & 1:
            return None
        assert entry & 2, "not writable"
        assert not entry >> 63, "not executable"
        assert entry & 0x20, "not marked as accessed: the processor would write here"
        assert not entry & 0b11000, "not cached as the MTRRs say"
        if level in (2, 3) and entry & 0x80:
            size = 1 << (12 + 9 * (level - 1))
            assert entry & 0x40
            assert not entry & (size - 1) & ~0x1FFF, "reserved bits"
            return (entry & 0x000FFFFFFFFFF000 & ~(size - 1)) + (linear & (size - 1)), size
        assert not entry & 0x80, "PS is reserved in this level"
        base = entry & 0x000FFFFFFFFFF000
    raise AssertionError("4 KiB pages are not used")


SIZES = MappingProxyType({paging.PAGE_2M: 1 << 34, paging.PAGE_1G: 1 << 40})
RANGES = st.sampled_from(sorted(SIZES)).flatmap(
    lambda page: st.tuples(
        st.just(page),
        st.integers(0, (1 << 46) - SIZES[page]),
        st.integers(1, SIZES[page]),
        st.integers(0, 1 << 46),
    )
)


@given(RANGES, st.sampled_from([4, 5]), st.lists(st.integers(0, (1 << 47) - 1), max_size=5))
def test_maps_the_range_to_itself_and_nothing_else(range_, levels, others):
    page, start, size, inside = range_
    end = start + size
    placed, cr3 = tables(paging.identity_map(end, start=start, levels=levels, page=page))
    low, high = start // page * page, -(-end // page) * page
    for linear in (start, end - 1, start + inside % size, low, high - 1):
        assert walk(placed, cr3, linear, levels) == (linear, page)
    for linear in (low - 1, high, *others):
        if not low <= linear < high and 0 <= linear < 1 << 47:
            assert walk(placed, cr3, linear, levels) is None


@pytest.mark.parametrize(
    ("end", "levels", "page", "count"),
    [
        (1 << 30, 4, paging.PAGE_2M, 3),
        (4 << 30, 4, paging.PAGE_2M, 6),
        (4 << 30, 5, paging.PAGE_2M, 7),
        (8 << 30, 4, paging.PAGE_1G, 2),
        (513 << 30, 4, paging.PAGE_1G, 3),
    ],
)
def test_takes_no_table_too_many(end, levels, page, count):
    assert paging.identity_map(end, levels=levels, page=page).length == count * 4096


@pytest.mark.parametrize(
    ("end", "options", "words"),
    [
        (0, {}, "a range below 0x800000000000 needed"),
        ((1 << 47) + 1, {"start": 1 << 46, "page": paging.PAGE_1G}, "0x800000000000 needed"),
        ((1 << 52) + 1, {"levels": 5}, "0x10000000000000 needed"),
        (1 << 30, {"levels": 3}, "3 levels"),
        (1 << 30, {"page": 4096}, "pages of 0x1000 bytes"),
    ],
)
def test_refuses_what_cannot_be_mapped(end, options, words):
    with pytest.raises(RequestError, match=words):
        paging.identity_map(end, **options)


def test_the_whole_lower_half_fits_with_large_pages():
    placed, cr3 = tables(
        paging.identity_map(1 << 47, start=(1 << 47) - (1 << 40), page=paging.PAGE_1G)
    )
    assert walk(placed, cr3, (1 << 47) - 1, 4) == ((1 << 47) - 1, paging.PAGE_1G)
