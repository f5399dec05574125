"""Unified kernel images: parts, profiles, the kernel inside, and what is wrong with some."""

from __future__ import annotations

import re
import subprocess
import time

import pytest

from hvmlite.errors import FormatError
from hvmlite.images import parse as parse_image
from hvmlite.images import uki
from makers import bzimage, elf
from makers.pe import OSREL, STUB, Pe, Sect, addon
from makers.pe import uki as made

ELF = elf.pvh_kernel()
BZIMAGE = bzimage.BzImage(bzimage.payload("gzip", ELF)).build()


def parse(data):
    return parse_image(data, "t")


def names(parts):
    return [(part.name, part.profile) for part in parts]


def test_everything_in_it():
    data = made(
        BZIMAGE,
        (".osrel", OSREL),
        (".cmdline", b"root=/dev/vda quiet\n\0"),
        (".initrd", b"\x1f\x8b" + bytes(999)),
        (".uname", b"6.1.0-test"),
        (".sdmagic", b"#### LoaderInfo: systemd-stub 257 ####\0"),
    )
    image = parse(data)
    facts = dict(image.facts)
    assert image.format == "uki"
    assert image.warnings == ()
    assert facts["os"] == "Debian GNU/Linux 12 (bookworm)"
    assert facts["kernel release"] == "6.1.0-test"
    assert facts["command line"] == "root=/dev/vda quiet"
    assert facts["stub"] == "systemd-stub 257"
    assert facts["subsystem"] == "10 (EFI application)"
    assert [part.name for part in image.parts] == [
        ".linux", ".osrel", ".cmdline", ".initrd", ".uname",
    ]  # fmt: skip
    for part in image.parts:
        assert bytes(part.data) == data[part.offset : part.offset + len(part.data)]
    assert len(image.parts[3].data) == 1001  # as it is, not rounded up to the file's alignment


def test_the_kernel_is_the_payload():
    image = parse(made(BZIMAGE))
    assert (image.payload.compression, image.payload.found) == ("none", "section")
    inner = image.payload.image
    assert (inner.format, inner.source) == ("bzimage", "t:.linux")
    assert bytes(inner.data) == BZIMAGE
    assert bytes(inner.payload.image.data) == ELF


def test_an_elf_as_the_kernel():
    assert parse(made(ELF)).payload.image.format == "elf"


@pytest.mark.parametrize(
    ("kernel", "match"),
    [
        (b"\x1f\x8b\x08" + bytes(2000), r"^t:\.linux: looks like .*, a bzImage or an ELF file was"),
        (bytes(2000), r"^t:\.linux: looks like zeros"),
        (addon((".cmdline", b"x")), r"^t:\.linux: looks like a PE \(EFI or Windows\) program"),
        (BZIMAGE[:0x300], r"^t:\.linux: truncated kernel"),
        (bytes(0x8001) + b"CD001", r"^t:\.linux: looks like an ISO 9660 image"),
    ],
)
def test_a_kernel_that_is_none(kernel, match):
    image = parse(made(kernel))
    with pytest.raises(FormatError, match=match):
        _ = image.payload.image


def test_a_section_that_holds_the_whole_file_again():
    """A UKI in a UKI would go on for ever."""
    data = Pe([*STUB, Sect(".linux", b"", virtual_size=0x200, raw_size=0x200, offset=0)]).build()
    image = parse(data)
    with pytest.raises(FormatError, match="a bzImage or an ELF file was needed"):
        _ = image.payload.image


def test_an_addon_is_no_uki():
    assert parse(addon((".cmdline", b"x"))).format == "pe"


# --- profiles ---------------------------------------------------------------------------------

PROFILES = made(
    BZIMAGE,
    (".cmdline", b"base"),
    (".initrd", b"base initrd"),
    (".profile", b'ID=regular\nTITLE="Regular \\"boot\\""\n'),
    (".profile", b"ID=reset\nTITLE='Factory $reset'\n"),
    (".cmdline", b"reset"),
    (".dtb", b"one"),
    (".dtb", b"two"),
    (".profile", b"# nothing\n"),
    (".linux", ELF),
)


def test_profiles_are_numbered_from_zero():
    image = parse(PROFILES)
    assert names(image.parts) == [
        (".linux", None), (".cmdline", None), (".initrd", None), (".profile", 0),
        (".profile", 1), (".cmdline", 1), (".dtb", 1), (".dtb", 1), (".profile", 2), (".linux", 2),
    ]  # fmt: skip
    assert uki.profiles(image.parts) == (
        (0, "regular", 'Regular "boot"'),
        (1, "reset", "Factory $reset"),
        (2, "", ""),
    )
    facts = dict(image.facts)
    assert facts["profile 0"] == 'regular (Regular "boot")'
    assert facts["command line"] == "base"
    assert image.warnings == ()


@pytest.mark.parametrize(
    ("profile", "cmdline", "trees", "kernel"),
    [
        (None, b"base", [], BZIMAGE),
        (0, b"base", [], BZIMAGE),
        (1, b"reset", [b"one", b"two"], BZIMAGE),
        (2, b"base", [], ELF),
    ],
)
def test_a_profiles_sections_go_before_the_bases(profile, cmdline, trees, kernel):
    own = uki.chosen(parse(PROFILES).parts, profile)
    assert [bytes(part.data) for part in own[".cmdline"]] == [cmdline]
    assert [bytes(part.data) for part in own[".initrd"]] == [b"base initrd"]
    assert [bytes(part.data) for part in own.get(".dtb", ())] == trees
    assert [bytes(part.data) for part in own[".linux"]] == [kernel]


def test_the_kernel_of_the_first_profile_counts():
    data = Pe([*STUB, Sect(".profile", b"ID=x"), Sect(".linux", ELF)]).build()
    assert parse(data).payload.image.format == "elf"
    data = Pe([*STUB, *[Sect(".profile", b"ID=x")] * 2, Sect(".linux", ELF)]).build()
    image = parse(data)
    assert image.format == "uki"
    assert image.payload is None
    assert image.warnings == ("neither the base nor the first profile has a .linux",)


def test_a_second_section_of_one_name_does_not_count():
    image = parse(made(BZIMAGE, (".cmdline", b"one"), (".cmdline", b"two")))
    assert dict(image.facts)["command line"] == "one"
    assert image.warnings == ("a second .cmdline in the base: the first one counts",)


def test_an_empty_section_does_not_count():
    image = parse(made(BZIMAGE, Sect(".initrd", b"", 0), (".cmdline", b"x")))
    assert names(image.parts) == [(".linux", None), (".cmdline", None)]
    assert image.warnings == ("section .initrd is empty, and ignored",)


# --- second opinions ----------------------------------------------------------------------------


@pytest.fixture
def by_objcopy(images, tmp_path):
    """A UKI made as distributions did before ukify: objcopy adds sections to systemd's stub."""
    stub = images["systemd-boot"] / "linuxx64.efi.stub"
    contents = {".osrel": OSREL, ".cmdline": b"root=x", ".linux": BZIMAGE, ".initrd": b"i" * 777}
    command, address = ["objcopy"], 0x20000
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        command += ["--add-section", f"{name}={tmp_path / name}"]
        command += ["--change-section-vma", f"{name}={address:#x}"]
        address += 0x100000
    subprocess.run([*command, str(stub), str(tmp_path / "made.efi")], check=True)
    return tmp_path / "made.efi", contents


def test_a_uki_of_objcopy(by_objcopy):
    path, contents = by_objcopy
    image = parse(path.read_bytes())
    assert image.format == "uki"
    assert {
        part.name: bytes(part.data) for part in image.parts if part.name in contents
    } == contents
    assert dict(image.facts)["stub"].startswith("systemd-stub 252")
    listed = subprocess.run(["objdump", "-h", path], capture_output=True, text=True, check=True)
    for part in image.parts:
        size, offset = re.search(
            rf"\{part.name} +([0-9a-f]+) +\S+ +\S+ +([0-9a-f]+) ", listed.stdout
        ).groups()
        assert (int(size, 16), int(offset, 16)) == (len(part.data), part.offset)
    said = subprocess.run(["file", "-b", path], capture_output=True, text=True, check=True)
    assert "PE32+ executable (EFI application) x86-64" in said.stdout


# --- advisories ---------------------------------------------------------------------------------


def test_cve_2022_28737_a_raw_size_beyond_the_virtual_one_is_not_copied():
    """shim copied SizeOfRawData bytes into a place of VirtualSize bytes."""
    data = made(BZIMAGE, Sect(".cmdline", b"A" * 0x200 + b"B" * 0x200, virtual_size=16))
    (part,) = [part for part in parse(data).parts if part.name == ".cmdline"]
    assert bytes(part.data) == b"A" * 16


@pytest.mark.parametrize("size", [0x10000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_cve_2022_28737_a_raw_size_beyond_the_file(size):
    with pytest.raises(FormatError, match=r"section \.initrd: ends at file offset"):
        parse(made(BZIMAGE, Sect(".initrd", b"x", virtual_size=size, raw_size=size)))


def test_a_virtual_size_beyond_the_raw_one_reads_what_is_there():
    data = made(BZIMAGE, Sect(".initrd", b"x" * 0x200, virtual_size=0xFFFFFFF0))
    (part,) = [part for part in parse(data).parts if part.name == ".initrd"]
    assert bytes(part.data) == b"x" * 0x200


def test_systemd_40342_a_kernel_whose_sections_go_beyond_its_image():
    """sd-stub 258 compared an inner kernel's section addresses with the wrong end: 5.x was refused.

    The kernel inside is entered by its setup header; what its PE headers say cannot close that way.
    """
    kernel = bytearray(BZIMAGE)
    header = Pe(
        [Sect(".setup", b""), Sect(".bss", b"", 0x2000000, address=0x1000, raw_size=0, offset=0)],
        lfanew=0x40, optional={"SizeOfImage": 0x1000},
    ).build()[:0x1F1]  # fmt: skip
    kernel[: len(header)] = header
    inner = parse(made(bytes(kernel))).payload.image
    assert inner.format == "bzimage"
    assert inner.warnings == ()
    assert inner.pe_headers().size_of_image == 0x1000
    assert bytes(inner.payload.image.data) == ELF


@pytest.mark.parametrize("block", [b"", bytes(8), b"\0\x10\0\0" + bytes(4), b"\xff" * 12])
def test_rhf_132_an_odd_relocation_block_is_of_no_interest(block):
    """rust-hypervisor-firmware refused a PE file with a relocation block of size zero."""
    sections = [Sect(".text", b"\xc3"), Sect(".reloc", block), Sect(".linux", BZIMAGE)]
    assert parse(Pe(sections).build()).payload.image.format == "bzimage"


def test_more_profiles_than_systemd_counts_cost_no_time():
    # Headers are cheap: 4000 sections over the same 64 KiB took most of a minute.
    name = b"ID=a\n" * 13000
    data = bytearray(made(ELF, *[(".profile", name if n == 0 else b"x") for n in range(2000)]))
    first = data.index(b".profile")
    for at in range(first, first + 2000 * 40, 40):
        data[at + 8 : at + 12] = data[first + 8 : first + 12]  # VirtualSize
        data[at + 16 : at + 24] = data[first + 16 : first + 24]  # SizeOfRawData, PointerToRawData
    started = time.process_time()
    image = parse(bytes(data))
    assert time.process_time() - started < 5
    assert [part.profile for part in image.parts[1:]] == list(range(256))
    assert image.warnings[-1] == "more than 256 profiles: the others are left out"
