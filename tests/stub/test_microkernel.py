"""The microkernels as files: other programs take them for what they are meant to be."""

from __future__ import annotations

import re
import subprocess
import zlib

import pytest

import hvmlite
import microkernel
from hvmlite.model import Offer
from hvmlite.spec.linux import SetupHeader

BZIMAGES = ("linux16", "linux32", "linux64")
ELFS = tuple(name for name in microkernel.ABIS if re.search(r"elf|pvh|relocatable", name))
FLAT = ("multiboot1-kludge", "multiboot2-address")
BY_BUILD = pytest.mark.parametrize("build", microkernel.ABIS)

pytestmark = pytest.mark.usefixtures("microkernels")


def told(*command) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_each_build_is_of_one_kind():
    assert sorted((*BZIMAGES, *ELFS, *FLAT)) == sorted(microkernel.ABIS)


@pytest.mark.parametrize("build", ELFS)
def test_readelf_has_no_complaint(build):
    path = microkernel.FOLDER / build
    result = subprocess.run(
        ["readelf", "--wide", "--all", path], check=True, capture_output=True, text=True
    )
    assert result.stderr == ""
    wide = build in {"pvh64", "linux64-elf", "multiboot1-elf64", "multiboot2-elf64"}
    assert ("Class:                             ELF64" in result.stdout) == wide
    assert "There are no relocations in this file." in result.stdout
    # Nothing is both written and executed, nothing is demanded of a loader but to load.
    flags = re.findall(r"^ +(\w+) +0x\w+ 0x\w+ 0x\w+ 0x\w+ 0x\w+ (\w ?\w?)", result.stdout, re.M)
    assert [kind for kind, _ in flags if kind != "NOTE"] == ["LOAD", "LOAD"]
    assert [rights.replace(" ", "") for kind, rights in flags if kind == "LOAD"] == ["RE", "RW"]


@pytest.mark.parametrize("build", ["linux32-elf", "linux64-elf"])
def test_a_vmlinux_is_linked_elsewhere_and_entered_where_it_lies(build):
    listing = told("readelf", "--wide", "--segments", microkernel.FOLDER / build)
    (entry,) = re.findall(r"Entry point 0x(\w+)", listing)
    loads = re.findall(r"LOAD +0x\w+ 0x(\w+) 0x(\w+)", listing)
    assert int(entry, 16) >> 24 == 1
    assert all(int(virtual, 16) > int(physical, 16) for virtual, physical in loads)


@pytest.mark.parametrize("build", BZIMAGES)
def test_file_knows_a_bzimage(build):
    assert "Linux kernel x86 boot executable bzImage" in told("file", microkernel.FOLDER / build)


@pytest.mark.parametrize("build", BZIMAGES)
def test_a_bzimage_keeps_the_boot_protocol(build):
    """Documentation/arch/x86/boot.rst: the CRC of all is 0, syssize is the size of the code."""
    data = (microkernel.FOLDER / build).read_bytes()
    assert zlib.crc32(data) ^ 0xFFFFFFFF == 0
    header = hvmlite.open_image(microkernel.FOLDER / build).header
    assert isinstance(header, SetupHeader)
    assert (header.boot_flag, header.version) == (0xAA55, 0x20F)
    assert 0x202 + data[0x201] == 0x26C
    assert (header.setup_sects + 1) * 512 + header.syssize * 16 + 4 == len(data)
    assert bool(header.xloadflags & 1) == (build == "linux64")
    assert bool(header.relocatable_kernel) == (build != "linux16")


@pytest.mark.parametrize(
    ("option", "builds"),
    [
        ("--is-x86-multiboot", [b for b in microkernel.ABIS if "multiboot1" in b]),
        ("--is-x86-multiboot2", [b for b in microkernel.ABIS if "multiboot2" in b]),
        ("--is-x86-linux", list(BZIMAGES)),
        ("--is-x86-linux32", list(BZIMAGES)),
    ],
)
def test_grub_knows_what_they_are(option, builds):
    known = [
        build
        for build in microkernel.ABIS
        if subprocess.run(["grub-file", option, microkernel.FOLDER / build], check=False).returncode
        == 0
    ]
    assert sorted(known) == sorted(builds)


@pytest.mark.parametrize("build", [build for build, _ in dict(microkernel.DOORS).items()])
def test_they_offer_the_entries_that_they_are_built_for(build):
    image = hvmlite.open_image(microkernel.FOLDER / build)
    offered = {each.protocol for each in hvmlite.offers(image) if isinstance(each, Offer)}
    assert offered & {abi for _, abi in microkernel.DOORS} == {
        abi for name, abi in microkernel.DOORS if name == build
    }


def test_a_build_depends_on_nothing_but_its_sources(tmp_path):
    told("make", "--silent", "-C", microkernel.SOURCE, f"OUT={tmp_path}")
    for build in microkernel.ABIS:
        assert (tmp_path / build).read_bytes() == (microkernel.FOLDER / build).read_bytes(), build
