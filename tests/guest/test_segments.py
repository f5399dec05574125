"""Descriptors, against the constants that every kernel's GDT shows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmlite.errors import FormatError, RequestError
from hvmlite.guest import segments
from hvmlite.model import SegmentRegister


def number(descriptor):
    return int.from_bytes(descriptor, "little")


@pytest.mark.parametrize(
    ("segment", "descriptor"),
    [
        (segments.CODE32, 0x00CF9B000000FFFF),  # Linux GDT_ENTRY_INIT(DESC_CODE32, 0, 0xfffff)
        (segments.DATA32, 0x00CF93000000FFFF),
        (segments.CODE64, 0x00AF9B000000FFFF),
        (segments.LINUX_CODE32, 0x00CF9B000000FFFF),
        (segments.LINUX_CODE64, 0x00AF9B000000FFFF),
        (segments.LINUX_DATA, 0x00CF93000000FFFF),
        (segments.TSS, 0x00008B0000000067),
        (segments.UNUSABLE, 0),
        (SegmentRegister(base=0xF0000, type=0xB), 0x00009B0F0000FFFF),  # real mode's CS
        (SegmentRegister(base=0x12345678, limit=0xABCDE, avl=1, dpl=3), 0x121AF3345678BCDE),
    ],
)
def test_encode_known_descriptors(segment, descriptor):
    assert number(segments.encode(segment)) == descriptor
    assert segments.decode(segments.encode(segment), segment.selector) == segment


@pytest.mark.parametrize(
    ("segment", "attributes"),
    [(segments.CODE32, 0xC09B), (segments.DATA32, 0xC093), (segments.TSS, 0x008B)],
)
def test_the_state_that_pvh_asks_for(segment, attributes):
    # ABI.md 8.b: Xen's attribute bytes C9B and C93, Firecracker's C09B, C093 and 008B.
    assert segment.attributes == attributes
    assert segment.base == 0


def test_selectors_of_the_linux_boot_protocol():
    assert segments.LINUX_CODE32.selector == segments.LINUX_CODE64.selector == 0x10
    assert segments.LINUX_DATA.selector == 0x18


SEGMENTS = st.builds(
    SegmentRegister,
    selector=st.integers(0, 0xFFFF),
    base=st.integers(0, 0xFFFFFFFF),
    limit=st.integers(0, 0xFFFFF),
    type=st.integers(0, 15),
    s=st.integers(0, 1),
    dpl=st.integers(0, 3),
    present=st.integers(0, 1),
    avl=st.integers(0, 1),
    l=st.integers(0, 1),
    db=st.integers(0, 1),
    g=st.integers(0, 1),
).map(lambda s: replace(s, limit=s.limit << 12 | 0xFFF) if s.g else s)


@given(SEGMENTS)
def test_round_trip(segment):
    assert segments.decode(segments.encode(segment), segment.selector) == segment


@given(SEGMENTS, st.integers(0, (1 << 64) - 1))
def test_round_trip_of_system_descriptors_in_long_mode(segment, base):
    system = replace(segment, s=0, base=base)
    descriptor = segments.encode(system, long=True)
    assert len(descriptor) == 16
    assert descriptor[12:] == bytes(4)
    assert segments.decode(descriptor, segment.selector) == system


@given(st.binary(min_size=8, max_size=8))
def test_any_descriptor_decodes_and_encodes_to_itself(descriptor):
    assert segments.encode(segments.decode(descriptor)) == descriptor


@given(st.binary(max_size=7))
def test_a_short_descriptor_is_refused(descriptor):
    with pytest.raises(FormatError, match="needs 8 bytes"):
        segments.decode(descriptor)


@pytest.mark.parametrize(
    ("segment", "words"),
    [
        (SegmentRegister(limit=0x100000), "limit 0x100000 found, 20 bits needed"),
        (SegmentRegister(limit=0x12345678, g=1), "an end in 0xfff needed"),
        (SegmentRegister(base=1 << 32), "base 0x100000000 found, 32 bits needed"),
    ],
)
def test_what_no_descriptor_can_say_is_refused(segment, words):
    with pytest.raises(RequestError, match=words):
        segments.encode(segment)


def test_gdt_has_each_segment_where_its_selector_says():
    piece = segments.gdt(segments.CODE32, segments.DATA32, segments.TSS, segments.DATA32)
    assert [number(piece.data[at : at + 8]) for at in range(0, piece.length, 8)] == [
        0,
        0x00CF9B000000FFFF,
        0x00CF93000000FFFF,
        0x00008B0000000067,
    ]


def test_gdt_of_the_linux_boot_protocol_leaves_unnamed_places_null():
    tss = replace(segments.TSS, selector=0x20)
    piece = segments.gdt(segments.LINUX_CODE64, segments.LINUX_DATA, tss, long=True)
    assert [number(piece.data[at : at + 8]) for at in range(0, piece.length, 8)] == [
        0,
        0,
        0x00AF9B000000FFFF,
        0x00CF93000000FFFF,
        0x00008B0000000067,
        0,  # the upper half of the 64-bit TSS's base
    ]


def test_gdt_skips_null_selectors_and_ignores_the_requested_privilege():
    piece = segments.gdt(segments.UNUSABLE, replace(segments.DATA32, selector=0x13))
    assert piece.length == 24
    assert number(piece.data[16:]) == 0x00CF93000000FFFF


def test_gdt_refuses_two_descriptors_in_one_place():
    with pytest.raises(RequestError, match="segment 0x10: another descriptor found"):
        segments.gdt(segments.DATA32, segments.LINUX_CODE32)
    with pytest.raises(RequestError, match="another descriptor found"):  # 16 bytes reach 0x20
        segments.gdt(segments.TSS, replace(segments.DATA32, selector=0x20), long=True)
