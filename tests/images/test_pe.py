"""PE files: real ones against objdump and file, and everything that can be wrong with them."""

from __future__ import annotations

import re
import subprocess

import pytest

from hvmlite.errors import FormatError, LimitError
from hvmlite.images import _pe
from hvmlite.images import parse as parse_image
from hvmlite.spec import pe
from makers.pe import STUB, Pe, Sect, addon

REAL = [
    "images/systemd-boot/linuxx64.efi.stub",
    "images/systemd-boot/systemd-bootx64.efi",
    "images/ipxe/ipxe.efi",
    "images/xen/xen.efi",
    "kernels/6.1-cloud/vmlinuz",
    "kernels/6.12-cloud/vmlinuz",
    "kernels/6.1-686-pae/vmlinuz",
]


def parse(data):
    return parse_image(data, "t")


def told(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", REAL)
def test_real_files_as_objdump_reads_them(images, kernels, name):
    kind, folder, file = name.split("/")
    path = kernels[folder] if kind == "kernels" else images[folder] / file
    found = _pe.read(memoryview(path.read_bytes()), "t")
    text = told("objdump", "-p", str(path))

    def said(field, base=16):
        return int(re.search(rf"^{field}\s+([0-9a-f]+)", text, re.MULTILINE)[1], base)

    assert (found.headers.machine, found.headers.bits) == (
        (pe.Machine.AMD64, 64) if "pei-x86-64" in text else (pe.Machine.I386, 32)
    )
    assert found.headers.entry == said("AddressOfEntryPoint")
    assert found.headers.subsystem == said("Subsystem")
    assert found.headers.size_of_image == said("SizeOfImage")
    assert found.headers.dll_characteristics == said("DllCharacteristics")
    assert found.headers.image_version == tuple(
        said(f"{which}ImageVersion", 10) for which in ("Major", "Minor")
    )
    rows = re.findall(
        r"^ +\d+ (\S+) +([0-9a-f]{8}) +([0-9a-f]+) +[0-9a-f]+ +([0-9a-f]{8})  ",
        told("objdump", "-h", str(path)),
        re.MULTILINE,
    )
    ours = [(s.name, s.size, s.address, s.offset) for s in found.sections if s.size]
    base = said("ImageBase")
    theirs = [(n, int(s, 16), int(a, 16) - base, int(o, 16)) for n, s, a, o in rows if int(o, 16)]
    assert ours == theirs


@pytest.mark.parametrize("name", ["systemd-boot/linuxx64.efi.stub", "ipxe/ipxe.efi", "xen/xen.efi"])
def test_programs_that_are_no_kernels(images, name):
    folder, _, file = name.partition("/")
    path = images[folder] / file
    image = parse(path.read_bytes())
    assert image.format == "pe"
    facts = dict(image.facts)
    said = told("file", "-b", str(path))
    assert "PE32+ executable" in said
    assert "(EFI application) x86-64" in said
    assert facts["PE"] == "PE32+, x86-64"
    assert facts["subsystem"] == "10 (EFI application)"
    (count,) = re.findall(r"(\d+) sections", said)
    assert len(facts["sections"].split()) == int(count)


def test_a_real_mixed_mode_kernel(kernels):
    headers = parse(kernels["6.12-cloud"].read_bytes()).pe_headers()
    assert "CONFIG_EFI_MIXED=y" in kernels.config("6.12-cloud")
    ((machine, entry),) = headers.compat
    assert machine == pe.Machine.I386
    assert 0 < entry < headers.size_of_image
    assert headers.dll_characteristics == pe.DllCharacteristics.NX_COMPAT
    # a mask of features from 3.0 on
    assert headers.image_version == (3, 0)


@pytest.mark.parametrize("bits", [32, 64])
def test_what_the_maker_makes_is_what_objdump_reads(tmp_path, bits):
    machine = pe.Machine.AMD64 if bits == 64 else pe.Machine.I386
    data = Pe([*STUB, Sect(".data", b"x" * 513)], bits=bits, machine=machine).build()
    (path := tmp_path / "made.efi").write_bytes(data)
    text = told("objdump", "-h", str(path))
    assert re.search(r"\.data +00000201 ", text)
    assert ("pei-x86-64" if bits == 64 else "pei-i386") in text
    image = parse(data)
    assert dict(image.facts)["sections"] == ".text .reloc .data"
    assert image.pe_headers().bits == bits


def test_addons_have_parts():
    image = parse(addon((".cmdline", b"quiet\0"), (".initrd", b"x" * 600)))
    assert [(p.name, bytes(p.data), p.profile) for p in image.parts] == [
        (".cmdline", b"quiet\0", None), (".initrd", b"x" * 600, None),
    ]  # fmt: skip


@pytest.mark.parametrize("lfanew", [0x40, 0x80, 0x1F0, 0x1234])
def test_the_pe_header_is_anywhere(lfanew):
    assert parse(Pe(list(STUB), lfanew=lfanew).build()).format == "pe"


def refused(match, **fields):
    with pytest.raises(FormatError, match=match):
        parse(Pe(fields.pop("sections", list(STUB)), **fields).build())


def test_what_is_refused():
    refused("optional header magic 0x107, 0x10b or 0x20b", optional={"Magic": 0x107})
    refused("SizeOfOptionalHeader 111, at least 112", coff={"SizeOfOptionalHeader": 111})
    refused("no section, at least one", coff={"NumberOfSections": 0})
    refused("section table ends at", coff={"NumberOfSections": 4000})
    refused("section table ends at", coff={"SizeOfOptionalHeader": 0xFFFF})
    refused(
        r"section \.x: ends at file offset 0x1000000ff, only",
        sections=[Sect(".x", b"", 0x100, raw_size=0x200, offset=0xFFFFFFFF)],
    )


def test_too_many_sections():
    with pytest.raises(LimitError, match="5000 sections, the limit is 4096"):
        parse(Pe([Sect(".x", b"", 0)] * 5000).build())


def test_a_section_that_is_not_in_the_file_may_be_anywhere():
    image = parse(Pe([*STUB, Sect(".bss", virtual_size=0xFFFF0000, raw_size=0, offset=0)]).build())
    assert image.format == "pe"


def test_sections_that_overlap_in_memory_are_a_warning():
    """What becomes of a UKI that objcopy made with addresses inside the stub."""
    image = parse(Pe([*STUB, Sect(".osrel", b"x" * 64, address=0x1010)]).build())
    assert "sections .text and .osrel overlap in memory at 0x1010" in image.warnings[0]


def test_numbers_that_wrap_are_no_trouble():
    sections = [Sect(f".{n}", b"", 0xFFFFFFFF, address=0xFFFFFFFF, raw_size=0) for n in range(20)]
    image = parse(Pe(sections, optional={"SizeOfImage": 0}).build())
    assert len(image.warnings) == 8


def test_a_dos_program_is_none():
    data = b"MZ" + bytes(0x3A) + b"\x40\0\0\0" + b"NE\0\0" + bytes(100)
    with pytest.raises(FormatError, match="looks like a DOS program"):
        parse(data)


@pytest.mark.parametrize(
    ("records", "found"),
    [
        (b"\1\x08\x4c\x01\x00\x10\x00\x00\0", ((0x14C, 0x1000),)),
        (b"\1\x0c\x4c\x01\x00\x10\x00\x00more" + b"\1\x08\x64\xaa\x04\0\0\0" + b"\0" * 8,
         ((0x14C, 0x1000), (0xAA64, 4))),
        (b"\1\x00\x4c\x01\x00\x10\x00\x00", ()),  # a size of 0 would go round for ever
        (b"\1\x08\x4c\x01\x00\x10\x00\x00" * 100, ((0x14C, 0x1000),) * 16),
        (b"\1\x08\x4c", ()),
        (b"", ()),
    ],
)  # fmt: skip
def test_compat_entries(records, found):
    assert parse(Pe([*STUB, Sect(".compat", records)]).build()).pe_headers().compat == found
