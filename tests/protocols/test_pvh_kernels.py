"""PVH on kernels that Debian built: our reading of their notes against readelf's."""

from __future__ import annotations

import re
import subprocess

import pytest

from hvmlite import images
from hvmlite.guest.memory import PlanMemory
from hvmlite.guest.place import place
from hvmlite.model import BootInfo, Machine, Module, Offer, RamBlock, Refusal
from hvmlite.protocols import pvh
from hvmlite.spec.xen import ElfNote

KERNELS = ("6.1-cloud", "6.12-cloud", "6.1-full", "6.1-686-pae")
MIB = 1 << 20
NOTE = re.compile(
    r"^  Xen +0x([0-9a-f]+)\tUnknown note type: \(0x([0-9a-f]+)\)\n"
    r"   description data: ((?:[0-9a-f]{2} )*)$",
    re.MULTILINE,
)


def readelf(path, *options):
    command = ["readelf", *options, path]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def xen_notes(path):
    """Descriptors by type, of the notes of Xen whose type readelf does not take for another's."""
    found = {}
    for size, type_, data in NOTE.findall(readelf(path, "--notes")):
        found[int(type_, 16)] = bytes.fromhex(data)
        assert len(found[int(type_, 16)]) == int(size, 16)
    return found


@pytest.fixture(scope="module", params=KERNELS)
def kernel(request, kernels, tmp_path_factory):
    """Name, image and the path of the ELF inside it, which readelf shall see."""
    path = kernels[request.param]
    image = images.parse(memoryview(path.read_bytes()), path.name)
    elf = tmp_path_factory.mktemp("kernel") / "vmlinux"
    elf.write_bytes(image.payload.image.data)
    return request.param, image, elf


def test_it_is_offered_exactly_if_it_was_configured(kernel, kernels):
    name, image, _ = kernel
    expected = Offer if "CONFIG_PVH=y" in kernels.config(name) else Refusal
    assert type(pvh.offers(image)) is expected


def test_notes_entry_and_relocation_are_readelf_s(kernel):
    _, image, elf = kernel
    notes = xen_notes(elf)
    found = pvh.offers(image)
    assert notes[ElfNote.PHYS32_ENTRY] == found.entry.to_bytes(
        len(notes[ElfNote.PHYS32_ENTRY]), "little"
    )
    ours = {n.type: n.desc for n in found.image.notes if n.name == "Xen"}
    assert {type_: ours[type_] for type_ in notes} == notes
    assert len(ours) == len(set(re.findall(r"^  Xen .*$", readelf(elf, "--notes"), re.MULTILINE)))
    reloc = found.relocation
    words = b"" if reloc is None else reloc.align.to_bytes(4, "little")
    assert notes.get(ElfNote.PHYS32_RELOC, b"")[:4] == words


def test_it_is_offered_alike_from_the_bzimage_and_from_the_elf(kernel):
    _, image, elf = kernel
    inside = pvh.offers(images.parse(memoryview(elf.read_bytes()), "vmlinux"))
    whole = pvh.offers(image)
    assert (whole.nested, inside.nested) == (True, False)
    assert (whole.entry, whole.relocation) == (inside.entry, inside.relocation)
    assert whole.cmdline_limit == inside.cmdline_limit == 2047  # both are known to be Linux
    assert whole.needs >= inside.needs


def test_needs_is_the_end_of_the_segments_or_of_init_size(kernel):
    _, image, elf = kernel
    rows = [line.split() for line in readelf(elf, "--wide", "--segments").splitlines()]
    ends = [int(row[3], 16) + int(row[5], 16) for row in rows if row[:1] == ["LOAD"]]
    header = image.header
    assert pvh.offers(image).needs == max(*ends, header.pref_address + header.init_size)


def test_the_plan_is_read_back_from_what_the_guest_would_have(kernel):
    _, image, _ = kernel
    offer = pvh.offers(image)
    on = Machine("test", 512 * MIB, (RamBlock(0, 512 * MIB, 0),))
    info = BootInfo(b"console=ttyS0 panic=-1", (Module(b"070701" * 1000),))
    made = place(pvh.encode(offer, info, on, None), on, info)
    assert made.cpu.rip == offer.entry
    assert pvh.decode(PlanMemory(made), made.cpu) == made.boot_info
    first = min(s.paddr for s in offer.image.segments if s.memsz)
    assert made.address_of("kernel segment 0") == first
