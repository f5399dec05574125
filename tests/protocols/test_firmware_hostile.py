"""bios, efi and xen_pv about hostile images: an answer, never an exception, and soon."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmlite.errors import FormatError
from hvmlite.images import Limits, parse
from hvmlite.model import Offer, Refusal
from hvmlite.protocols import bios, efi, xen_pv
from images.test_hostile_containers import EXTREMES, PLACES, SAMPLES
from protocols.test_xen_pv import OLD, kernel, old

LIMITS = Limits(output=4 << 20, dictionary=16 << 20)
KERNELS = {"notes": kernel(), "sections": kernel(section=True), "old": old(OLD)}
IMAGES = {**SAMPLES, **KERNELS}


def asked(data):
    try:
        image = parse(data, "t", LIMITS)
    except FormatError:
        return
    started = time.process_time()
    for protocol in (bios, efi, xen_pv):
        answer = protocol.offers(image)
        if isinstance(answer, Refusal):
            assert answer.reasons
            assert all(reason.found and reason.needed for reason in answer.reasons)
        else:
            assert isinstance(answer, Offer)
            assert answer.firmware
        assert all(isinstance(text, str) for fact in answer.facts for text in fact)
    assert time.process_time() - started < 2


@given(st.data())
def test_changed_images(data):
    name = data.draw(st.sampled_from(sorted(IMAGES)))
    hostile = bytearray(IMAGES[name])
    places = PLACES.get(name, range(len(hostile)))
    for _ in range(data.draw(st.integers(1, 8))):
        position = data.draw(st.sampled_from(places))
        value = data.draw(st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from(EXTREMES)))
        hostile[position : position + len(value)] = value
    asked(bytes(hostile))


@given(st.binary(max_size=600))
def test_any_text_for_xen(text):
    asked(old(text.replace(b"\0", b",")))


@pytest.mark.parametrize("name", sorted(IMAGES))
def test_truncated_images(name):
    data = IMAGES[name]
    for end in [*range(0, 0x600, 7), *range(0x600, len(data), 97)]:
        asked(data[:end])
