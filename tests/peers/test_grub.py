"""What GRUB's commands would load: judged by GRUB itself, and by its grub-file."""

from __future__ import annotations

import dataclasses
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvmlite.peers import grub
from makers import bzimage, elf
from makers import peers as make
from makers.bzimage import BzImage
from peers import grub_itself

AT = 0x100080
REQUEST, ADDRESS, START, CONSOLE, FRAME, ALIGN, BOOT_SERVICES, EFI32, EFI64, MOVABLE = range(1, 11)
RELOCATIONS = elf.Sect(".rela.text", bytes(24), type=4)


def mb2(*tags: bytes, bits: int = 32, architecture: int = 0, **fields) -> bytes:
    made = make.kernel(bits=bits, **fields)
    return make.with_header(made, make.multiboot2(*tags, architecture=architecture))


def moved(bits: int = 32, **changes) -> bytes:
    """A multiboot1 kernel, its first segment changed."""
    made = make.kernel(bits=bits)
    made.segments[0] = dataclasses.replace(made.segments[0], **changes)
    return make.with_header(made, make.multiboot1())


def high(bits: int) -> bytes:
    return make.with_header(
        make.kernel(elf.Segment(b"x", paddr=0xFFFFF000, memsz=0x1000), bits=bits), make.multiboot1()
    )


def late(offset: int, header: bytes) -> bytes:
    """A kernel with a header at this offset of the file."""
    made = make.kernel(bits=32).build()
    return made.ljust(offset, b"\0") + header + bytes(64)


IMAGES = {
    "bzImage": BzImage(b"x" * 100).build(),
    "zImage": BzImage(b"x" * 100, header={"loadflags": 0}).build(),
    "big zImage": BzImage(bytes(0x90000), header={"loadflags": 0}).build(),
    "bzImage 2.02": BzImage(b"x" * 100, version=0x202, header_end=0x230).build(),
    "bzImage 2.03": BzImage(b"x" * 100, version=0x203, header_end=0x230).build(),
    "bzImage, 64 setup sectors": BzImage(b"x" * 100, setup_sects=64).build(),
    "bzImage, 65 setup sectors": BzImage(b"x" * 100, setup_sects=64).build(),
    "multiboot": make.with_header(make.kernel(bits=32), make.multiboot1()),
    "multiboot in ELF64": make.with_header(make.kernel(), make.multiboot1()),
    "multiboot, i386 in ELF64": make.with_header(make.kernel(machine=3), make.multiboot1()),
    "multiboot, x86-64 in ELF32": make.with_header(
        make.kernel(bits=32, machine=62), make.multiboot1()
    ),
    "multiboot, flags": make.with_header(make.kernel(bits=32), make.multiboot1(0xB)),
    "multiboot, high flags": make.with_header(make.kernel(bits=32), make.multiboot1(0x20003)),
    "multiboot, text mode": make.with_header(
        make.kernel(bits=32), make.multiboot1(7, 0, 0, 0, 0, 0, 1, 80, 25, 0)
    ),
    "multiboot, odd mode": make.with_header(
        make.kernel(bits=32), make.multiboot1(7, 0, 0, 0, 0, 0, 2, 80, 25, 0)
    ),
    "multiboot, kludge": make.with_header(
        make.kernel(), make.multiboot1(0x10003, AT, 0x100000, 0, 0, AT)
    ),
    "multiboot, relocatable object": make.with_header(
        make.kernel(bits=32, type=1), make.multiboot1()
    ),
    "multiboot, shared object": make.with_header(make.kernel(bits=32, type=3), make.multiboot1()),
    "multiboot, entry nowhere": make.with_header(
        make.kernel(bits=32, entry=0x90000), make.multiboot1()
    ),
    "multiboot, virtual": moved(vaddr=0xC0100000),
    "multiboot, high, 64": high(64),
    "multiboot, in time": late(8180, make.multiboot1()),
    "multiboot, too late": late(8184, make.multiboot1()),
    "multiboot, not aligned": late(4098, make.multiboot1()),
    "multiboot, wrong sum": late(4096, make.word(0x1BADB002, 3, 5)),
    "multiboot, gzip": bzimage.gzip(make.with_header(make.kernel(bits=32), make.multiboot1())),
    "multiboot, xz": bzimage.xz(make.with_header(make.kernel(bits=32), make.multiboot1())),
    "multiboot, lzo": bzimage.lzo(make.with_header(make.kernel(bits=32), make.multiboot1())),
    "multiboot, zstd": bzimage.zstd(make.with_header(make.kernel(bits=32), make.multiboot1())),
    "multiboot2": mb2(),
    "multiboot2 in ELF64": mb2(bits=64),
    "multiboot2, mips": mb2(architecture=4),
    "multiboot2, requests": mb2(make.tag2(REQUEST, 1, 2, 3, 6, 14, 15, 21)),
    "multiboot2, smbios": mb2(make.tag2(REQUEST, 6, 13)),
    "multiboot2, smbios, optional": mb2(make.tag2(REQUEST, 13, optional=True)),
    "multiboot2, request 22": mb2(make.tag2(REQUEST, 22)),
    "multiboot2, EFI32 entry": mb2(make.tag2(EFI32, AT)),
    "multiboot2, EFI32 entry, optional": mb2(make.tag2(EFI32, AT, optional=True)),
    "multiboot2, EFI64 entry": mb2(make.tag2(EFI64, AT), make.tag2(BOOT_SERVICES)),
    "multiboot2, tag 11": mb2(make.tag2(11)),
    "multiboot2, tag 11, optional": mb2(make.tag2(11, optional=True)),
    "multiboot2, console": mb2(make.tag2(CONSOLE, 3), make.tag2(ALIGN)),
    "multiboot2, address": mb2(
        make.tag2(ADDRESS, AT, 0x100040, 0, 0), make.tag2(START, AT), machine=40
    ),
    "multiboot2, address from the file's start": mb2(
        make.tag2(ADDRESS, AT, 0xFFFFFFFF, 0, 0), make.tag2(START, AT), machine=40
    ),
    "multiboot2, address before the file": mb2(
        make.tag2(ADDRESS, AT, 0x100000, 0, 0), make.tag2(START, AT), machine=40
    ),
    "multiboot, kludge before the file": make.with_header(
        make.kernel(), make.multiboot1(0x10003, 0x110000, 0x100000, 0, 0, AT)
    ),
    "multiboot2, address alone": mb2(make.tag2(ADDRESS, AT, 0x100000, 0, 0)),
    "multiboot2, movable": mb2(make.tag2(MOVABLE, 0x200000, 0x8000000, 0x1000, 1)),
    "multiboot2, no room": mb2(make.tag2(MOVABLE, 0x200000, 0x201000, 0x1000, 1)),
    "multiboot2, relocations": mb2(sections=[RELOCATIONS]),
    "multiboot2, in time": late(32744, make.multiboot2()),
    "multiboot2, too late": late(32768, make.multiboot2()),
    "multiboot2, not aligned": late(4100, make.multiboot2()),
    "0x267 bytes": make.kernel(bits=32).build().ljust(0x267, b"\0"),
    "0x268 bytes": make.kernel(bits=32).build().ljust(0x268, b"\0"),
    "no header": make.kernel(bits=32).build(),
    "PVH alone": elf.pvh_kernel(32),
}
REAL = {
    "xen": ("xen.gz", "xen.efi"),
    "xen-shim": ("xen-shim",),
    "tboot": ("tboot.gz",),
    "grub-invaders": ("invaders.exec",),
    "ipxe": ("ipxe.lkrn",),
    "memtest86+": ("memtest86+x64.bin", "memtest86+ia32.efi"),
    "grub-pvh": ("grub.elf",),
    "systemd-boot": ("systemd-bootx64.efi",),
}


@st.composite
def kernels(draw) -> bytes:
    """Any mixture of a kernel that GRUB could take."""
    made = make.kernel(
        bits=draw(st.sampled_from([32, 64])),
        type=draw(st.sampled_from([2, 2, 3, 1])),
        entry=draw(st.sampled_from([AT, AT, make.ENTRY, 0x102000, 0x101FFF, 0xC0100010])),
    )
    made.machine = draw(st.sampled_from([3, 62, 62]))
    made.segments[0].vaddr = draw(st.sampled_from([None, None, 0xC0100000]))
    flags = draw(st.sampled_from([0, 1, 3, 3, 7, 0x13, 0x20000]))
    first = make.multiboot1(flags, 0, 0, 0, 0, AT, draw(st.integers(0, 2)), 0, 0, 0)
    tags = draw(st.lists(st.sampled_from([
        make.tag2(REQUEST, 1, 6), make.tag2(REQUEST, 13), make.tag2(ALIGN), make.tag2(EFI32, 1),
        make.tag2(12, optional=True), make.tag2(START, AT), make.tag2(CONSOLE, 2),
        make.tag2(ADDRESS, AT, 0x100040, 0, 0), make.tag2(MOVABLE, 0, 0xFFFFFFFF, 8, 0),
    ]), max_size=3, unique=True))  # fmt: skip
    headers = [first, make.multiboot2(*tags)]
    code = b"".join(
        part + bytes(-len(part) % 8) for part in draw(st.sampled_from([headers, headers[::-1]]))
    )
    return make.with_header(made, code.ljust(0x100, b"\xf4"))


@pytest.fixture(scope="module")
def answers(tmp_path_factory, images) -> tuple[dict[str, bytes], dict]:
    """All files, and what GRUB says of them."""
    files = dict(IMAGES)
    for name, members in REAL.items():
        files |= {member: (images[name] / member).read_bytes() for member in members}
    return files, grub_itself.ask(files, tmp_path_factory.mktemp("grub"))


def check(data: bytes, answer: dict[str, str]) -> None:
    said = grub.verdict(make.parse(data))
    assert list(said.ways) == [way for way in grub_itself.COMMANDS if not answer[way]], (
        answer,
        [str(reason) for reason in said.reasons],
    )
    for reason in said.reasons:
        (rule,) = {
            rule
            for rule in grub.REQUIREMENTS.values()
            if rule.unmet("") == dataclasses.replace(reason, found="", hint=None)
        }
        if rule.way != "any":
            assert rule.says in answer[rule.way], (reason, answer[rule.way])


@pytest.mark.boot
@pytest.mark.parametrize("name", [*IMAGES, *(file for files in REAL.values() for file in files)])
def test_grub_does_what_the_verdict_says(answers, name):
    files, said = answers
    check(files[name], said[name])


@pytest.mark.boot
def test_mixtures(tmp_path_factory):
    found: list[bytes] = []

    @settings(max_examples=60, database=None)
    @given(kernels())
    def collect(data):
        found.append(data)

    collect()
    files = {str(number): data for number, data in enumerate(dict.fromkeys(found))}
    said = grub_itself.ask(files, tmp_path_factory.mktemp("grub"))
    for name, data in files.items():
        check(data, said[name])


def grub_file(kind: str, path) -> bool:
    return subprocess.run(["grub-file", f"--is-x86-{kind}", path], check=False).returncode == 0


@settings(max_examples=60)
@given(kernels())
def test_grub_file_sees_the_headers_that_the_commands_need(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "grub-file"
    path.write_bytes(data)
    ways = grub.verdict(make.parse(data)).ways
    assert "multiboot" not in ways or grub_file("multiboot", path)
    assert "multiboot2" not in ways or grub_file("multiboot2", path)
    assert "linux" not in ways


@pytest.mark.parametrize("name", [name for name in IMAGES if "mage" in name])
def test_grub_file_and_linux(tmp_path, name):
    path = tmp_path / "kernel"
    path.write_bytes(IMAGES[name])
    if "linux" in grub.verdict(make.parse(IMAGES[name])).ways:
        assert grub_file("linux32", path)


def test_a_kernel_without_a_32_bit_entry_is_warned_of(images):
    said = grub.verdict(make.parse((images["ipxe"] / "ipxe.lkrn").read_bytes()))
    assert "linux16" in said.ways
    assert any("use `linux16`" in warning for warning in said.warnings)


def test_the_header_that_a_linker_pushed_out_is_named():
    # BFTK issue 2 and minix pull 370, PEERS 35
    said = grub.verdict(make.parse(IMAGES["multiboot, too late"]))
    reason = next(r for r in said.reasons if r.what == "multiboot: header")
    assert "nearest: at 0x1ff8" in reason.found


@settings(max_examples=300)
@given(st.binary(max_size=200), st.sampled_from(list(IMAGES)), st.data())
def test_no_bytes_hurt(noise, name, data):
    good = IMAGES[name]
    at = data.draw(st.integers(0, len(good) - 1))
    broken = good[:at] + noise + good[at + len(noise) :]
    image = dataclasses.replace(make.parse(good), data=memoryview(broken))
    assert grub.verdict(image).peer == "grub"


def test_tags_without_end_end():
    endless = make.word(0xE85250D6, 0, 16, -(0xE85250D6 + 16)) + make.word(6, 8) * 5000
    said = grub.verdict(make.bare(endless))
    assert not said.starts
