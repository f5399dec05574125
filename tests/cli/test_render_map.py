"""The picture of memory: nothing forgotten, nothing overlapping, nothing escaping."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import values
from hvmlite import model as m
from hvmlite.cli._style import Style
from hvmlite.cli.render import _map

PAGE = 0x1000


@st.composite
def plans(draw):
    """Plans with any RAM, any reserved ranges (overlapping RAM too) and pieces in order."""

    def ranges(most, apart):
        cuts = sorted(draw(st.sets(st.integers(0, 3 << 20), max_size=most)))
        return [(a * PAGE, b * PAGE) for a, b in zip(cuts[::apart], cuts[1::apart], strict=False)]

    pieces = ranges(12, 2)
    return values.plan(
        machine=m.Machine(
            "any",
            1 << 20,
            tuple(m.RamBlock(a, b - a, 0) for a, b in ranges(6, 2)),
            tuple(m.MemoryRange(a, b, 2) for a, b in ranges(6, 1)),
        ),
        pieces=tuple(
            m.PlacedPiece(f"p{a:x}", draw(st.sampled_from(list(m.Kind))), a, b, b"")
            for a, b in pieces
        ),
    )


@given(plans())
def test_regions_cover_everything_once(plan):
    found = _map.regions(plan)
    ends = [each.end for each in (*plan.machine.ram, *plan.machine.reserved, *plan.pieces)]
    here = 0
    for region in found:
        assert region.start == here
        assert region.end > region.start
        here = region.end
    assert here == max(ends, default=0)
    named = [(r.start, r.end, r.name) for r in found if r.kind in list(m.Kind)]
    assert named == [(p.start, p.end, p.name) for p in plan.pieces]
    for region in found:
        if region.kind in list(m.Kind):
            continue
        probe = range(region.start, region.end, max(PAGE, (region.size // 64) & -PAGE))
        for at in probe:
            reserved = any(r.start <= at < r.end for r in plan.machine.reserved)
            ram = any(r.start <= at < r.end for r in plan.machine.ram)
            assert region.kind == ("reserved" if reserved else "free RAM" if ram else "no RAM")


@given(plans(), st.booleans(), st.integers(40, 120))
def test_any_plan_can_be_drawn(plan, unicode, width):
    style = Style(unicode=unicode, width=width)
    text = [*_map.draw(plan, style), *_map.strip(plan, style)]
    assert all(line.isascii() for line in text) or unicode
    for piece in plan.pieces:
        assert any(f"0x{piece.start:08x}" in line and piece.name in line for line in text)
    assert all(len(line) <= width for line in _map.strip(plan, style))


def test_an_empty_plan():
    plan = values.plan(machine=m.Machine("none", 0, ()), pieces=())
    assert list(_map.draw(plan, Style())) == []
    assert list(_map.strip(plan, Style())) == []


def test_pieces_without_bytes_are_shown():
    plan = values.plan(pieces=(m.PlacedPiece("nothing", m.Kind.CODE, 0x5000, 0x5000, b""),))
    assert any(re.search(r"0x00005000 .* 0 B  nothing", line) for line in _map.draw(plan, Style()))


def test_the_picture_in_ascii():
    lines = [re.sub(" {20,}", " ... ", line) for line in _map.draw(values.plan(), Style())]
    assert lines[:9] == [
        "              +------------+ below 1 MiB",
        "   0x00000000 |            |      4 KiB  free RAM",
        "   0x00001000 |============|       56 B  start info ... boot-info",
        "   0x00002000 |============|       32 B  GDT ... descriptors",
        "   0x00002020 |            |  632.0 KiB  free RAM",
        "              |            |",
        "              |            |",
        "   0x000a0000 |xxxxxxxxxxxx|    384 KiB  reserved",
        "              |xxxxxxxxxxxx|",
    ]
    assert lines[-1] == "  0x200000000 +------------+"


@pytest.mark.parametrize("unicode", [True, False])
def test_larger_is_never_drawn_smaller(unicode):
    heights = [
        _map._height(_map.Region(1 << 20, (1 << 20) + (1 << bits), "x", m.Kind.KERNEL))
        for bits in range(12, 40)
    ]
    assert heights == sorted(heights)
    assert heights[0] == 1
    assert heights[-1] > 3


def test_the_strip_is_to_scale():
    plan = values.plan(
        machine=m.Machine("m", 100 << 20, (m.RamBlock(0, 100 << 20, 0),)),
        pieces=(m.PlacedPiece("k", m.Kind.KERNEL, 50 << 20, 75 << 20, b""),),
    )
    (line,) = _map.strip(plan, Style(width=120))
    assert line == f"  0 |{' ' * 50}{'#' * 25}{' ' * 25}| 100 MiB"
