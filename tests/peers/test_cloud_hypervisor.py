"""What Cloud Hypervisor would start, where it differs from Firecracker (see test_firecracker)."""

from __future__ import annotations

from hvmlite.peers import cloud_hypervisor
from makers import bzimage, elf
from makers import peers as make
from makers.bzimage import BzImage


def test_an_elf_needs_the_note():
    # issue 1231 the other way round: e_entry is never used
    said = cloud_hypervisor.verdict(make.parse(make.kernel().build()))
    assert not said.starts
    assert str(said.reasons[0]).startswith("elf: PHYS32_ENTRY note: none, ")


def test_a_bzimage_is_entered_in_32_bit_mode():
    said = cloud_hypervisor.verdict(make.parse(BzImage(b"x" * 100).build()))
    assert said.ways == ("linux32",)
    assert said.facts == (("entry", "0x100000"),)


def test_a_compressed_vmlinux_is_none_of_both():
    said = cloud_hypervisor.verdict(make.parse(bzimage.gzip(elf.pvh_kernel())))
    assert said.reasons[0].what == "bzimage: setup header"
    assert said.reasons[0].hint == "Unpack the file first."
