"""What Firecracker would start: linux-loader's walk, by the vectors of its own issues."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvmlite.peers import cloud_hypervisor, firecracker
from makers import elf
from makers import peers as make
from makers.bzimage import BzImage

PVH = make.pvh_note()
PROPERTY = elf.notes_segment(make.property_note(), align=8)
NOTES = {
    "one note": ([elf.notes_segment(PVH)], "pvh"),
    "wide number": ([elf.notes_segment(make.pvh_note(size=8))], "pvh"),
    "build id before it": ([elf.notes_segment(make.build_id(), PVH)], "pvh"),
    "no notes": ([], "linux64"),
    "another owner": ([elf.notes_segment(elf.note("GNU", 18, bytes(4)))], "linux64"),
    # rust-vmm/linux-loader issue 71, fixed in 0.9.0: p_align is not looked at
    "linux-loader-71": ([elf.notes_segment(make.build_id(), PVH, align=0)], "pvh"),
    "osv-1113": ([elf.notes_segment(make.build_id(), PVH, align=8)], "pvh"),
    # notes packed by 8 whose names are longer than one word's padding
    "packed by 8": (
        [elf.notes_segment(elf.note("OpenBSD", 1, bytes(4), 8), make.pvh_note(align=8), align=8)],
        "linux64",
    ),
    # Cloud Hypervisor issue 3222: the last PT_NOTE segment overwrites what the others said
    "ch-3222": ([elf.notes_segment(PVH), PROPERTY], "linux64"),
    "property first": ([PROPERTY, elf.notes_segment(PVH)], "pvh"),
    "kata-3145": ([elf.notes_segment(make.property_note(4), PVH)], "pvh"),
    "short descriptor": ([elf.notes_segment(elf.note("Xen", 18, b"\0\0\x10"))], ""),
    "beyond the file": ([elf.Segment(PVH[:12], type=4, align=4, filesz=64)], ""),
}


@pytest.mark.parametrize("name", NOTES)
def test_notes(name):
    segments, way = NOTES[name]
    image = make.bare(make.kernel(*segments).build())
    assert "".join(firecracker.verdict(image).ways) == way
    assert "".join(cloud_hypervisor.verdict(image).ways) == way.replace("linux64", "")


def test_the_note_that_does_not_count_is_named():
    image = make.parse(make.kernel(*NOTES["ch-3222"][0]).build())
    (warning, *_) = (w for w in firecracker.verdict(image).warnings if "PHYS32_ENTRY" in w)
    assert "PT_NOTE segment 1" in warning
    (reason,) = cloud_hypervisor.verdict(image).reasons
    assert "one is in PT_NOTE segment 1 at 0x" in reason.found
    assert ".note.gnu.property" in reason.hint


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"bits": 32}, "class"),
        ({"ehdr": {"e_phoff": 0x20}}, "e_phoff"),
        ({"ehdr": {"e_phnum": 9000}}, "headers"),
        ({"ehdr": {"e_entry": 0xFFFFF}}, "e_entry"),
        ({"ehdr": {"e_ident": b"\x7fELF\x02\x02\x01".ljust(16, b"\0")}}, "byte order"),
    ],
)
def test_what_the_loader_refuses(change, rule):
    image = make.bare(make.kernel(elf.notes_segment(PVH), **change).build())
    for peer in (firecracker, cloud_hypervisor):
        (reason,) = peer.verdict(image).reasons
        assert reason.needed == peer.REQUIREMENTS[rule].needed


@pytest.mark.parametrize(
    ("fields", "rule", "of_both"),
    [
        ({"version": 0x20B, "header_end": 0x268}, "64-bit entry", False),
        ({"header": {"xloadflags": 0}}, "64-bit entry", False),
        ({"header": {"loadflags": 0}}, "loaded high", True),
        ({"header": {"code32_start": 0}}, "code32_start", True),
    ],
)
def test_bzimages(fields, rule, of_both):
    image = make.parse(BzImage(b"x" * 100, **fields).build())
    (reason,) = firecracker.verdict(image).reasons
    assert reason.needed == firecracker.REQUIREMENTS[rule].needed
    assert cloud_hypervisor.verdict(image).starts is not of_both


@pytest.mark.parametrize(
    ("name", "ways"),
    [
        ("6.1-cloud", ("linux64", "linux32", "pvh", "pvh")),
        ("6.12-cloud", ("linux64", "linux32", "pvh", "pvh")),
        ("6.1-686-pae", ("", "linux32", "", "")),
    ],
)
def test_debians_kernels(kernels, name, ways):
    image = make.parse(kernels[name].read_bytes())
    peers = (firecracker, cloud_hypervisor)
    found = [peer.verdict(each).ways for each in (image, image.payload.image) for peer in peers]
    assert tuple("".join(each) for each in found) == ways
    # Linux's own segments are as the newest linux-loader wants them.
    assert firecracker.verdict(image.payload.image).warnings == ()


def test_small_alignments_are_warned_of():
    image = make.parse(make.kernel(elf.notes_segment(PVH)).build())
    assert any("2 MiB" in warning for warning in firecracker.verdict(image).warnings)


def test_an_elf_that_is_no_linux_is_warned_of():
    said = firecracker.verdict(make.parse(make.kernel().build()))
    assert said.starts
    assert any("may be none" in warning for warning in said.warnings)


@settings(max_examples=300)
@given(make.noted(bits=(64,)), st.binary(max_size=60), st.integers(0, 600))
def test_no_bytes_hurt(good, noise, at):
    broken = good[:at] + noise + good[at + len(noise) :]
    image = dataclasses.replace(make.bare(good), data=memoryview(broken))
    assert firecracker.verdict(image).peer == "firecracker"
    assert cloud_hypervisor.verdict(image).peer == "cloud-hypervisor"
