"""A second opinion on headers: GRUB's own reader, ``grub-file``, over generated files."""

from __future__ import annotations

import subprocess

import pytest

from hvmlite.model import Offer
from hvmlite.protocols import multiboot1, multiboot2
from makers.multiboot import CODE, START, elf, header1, header2, image, tag


def grub_says(option, data, tmp_path) -> bool:
    path = tmp_path / "kernel"
    path.write_bytes(data)
    return subprocess.run(["grub-file", option, path], check=False).returncode == 0


def flat1(before, after=bytes(0x40)):
    at = START + len(before)
    return before + header1(0x10003, addresses=(at, START, 0, 0, at)) + after


def flat2(before, after=bytes(0x40)):
    at = START + len(before)
    return before + header2(tag(2, at, START, 0, 0), tag(3, at)) + after


FILES1 = {
    "elf32": elf(header1()),
    "elf64": elf(header1(), bits=64),
    "elf, wrong checksum": elf(header1(checksum=1)),
    "elf, header at 8180": elf(header1(), offset=8180),
    "elf, header at 8184": elf(header1(), offset=8184),
    "elf, header at 8192": elf(header1(), offset=8192),
    "flat": flat1(b""),
    "flat, at 4": flat1(bytes(4)),
    "flat, at 2": flat1(bytes(2)),
    "flat, at 8": flat1(bytes(8)),
    "flat, at 8160": flat1(bytes(8160)),
    "flat, at 8192": flat1(bytes(8192)),
    "nothing": bytes(0x100),
    "multiboot2 only": elf(header2()),
}
FILES2 = {
    "elf32": elf(header2()),
    "elf64": elf(header2(), bits=64),
    "elf, wrong checksum": elf(header2(checksum=1)),
    "elf, header at 32744": elf(header2(), offset=32744),
    "elf, header at 32768": elf(header2(), offset=32768),
    "flat": flat2(b""),
    "flat, at 4": flat2(bytes(4)),
    "flat, at 8": flat2(bytes(8)),
    "flat, at 32768": flat2(bytes(32768)),
    "relocatable": elf(header2(tag(10, 0, 0xFFFFFFFF, 1, 2))),
    "multiboot1 only": elf(header1()),
    "nothing": CODE * 64,
}


@pytest.mark.parametrize("name", FILES1)
def test_grub_finds_the_multiboot1_header_where_we_do(name, tmp_path):
    ours = isinstance(multiboot1.offers(image(FILES1[name])), Offer)
    assert ours == grub_says("--is-x86-multiboot", FILES1[name], tmp_path)


@pytest.mark.parametrize("name", FILES2)
def test_grub_finds_the_multiboot2_header_where_we_do(name, tmp_path):
    ours = isinstance(multiboot2.offers(image(FILES2[name])), Offer)
    assert ours == grub_says("--is-x86-multiboot2", FILES2[name], tmp_path)


def test_grub_file_does_not_look_at_the_architecture_but_grub_s_loader_does(tmp_path):
    data = elf(header2(architecture=4))
    assert grub_says("--is-x86-multiboot2", data, tmp_path)
    assert not isinstance(multiboot2.offers(image(data)), Offer)
