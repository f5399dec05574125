"""The 16-bit entry of universal images, by loaders of Linux's 16-bit boot protocol and by none."""

from __future__ import annotations

import struct
import subprocess

import pytest

import hvmlite
from hvmlite import blobs
from hvmlite.spec import universal as u
from microkernel import Report, finish
from stub.bios_start import boot, drive, image, natively, padded

pytestmark = [pytest.mark.boot, pytest.mark.usefixtures("microkernels")]

REALMODE_SWTCH = 0x208
SPARE = 0x5E0
"""The end of the head's version string: nothing is there."""


@pytest.fixture
def file(tmp_path, microkernels):
    path = tmp_path / "universal"
    path.write_bytes(image(microkernels / "linux64", cmdline="built in"))
    return path


def changed(file, at, data):
    content = bytearray(file.read_bytes())
    content[at : at + len(data)] = data
    file.write_bytes(content)
    return file


def assembled(folder, source: str) -> bytes:
    (folder / "code.S").write_text(f"\t.code16\n{source}\n")
    link = ["-Wl,-Ttext=0", "-Wl,--oformat=binary", "-Wl,--build-id=none", "-Wl,-e0"]
    command = ["gcc", "-m32", "-nostdlib", "-static", "-no-pie", *link, "code.S", "-o", "code"]
    subprocess.run(command, check=True, cwd=folder)
    return (folder / "code").read_bytes()


def test_qemu_s_loader(file):
    report = boot("-kernel", file, "-append", "handed in").report
    assert report.passed
    assert report.cmdline == b"built in handed in"
    assert report["memory_map"] == natively("linux16")["memory_map"]
    assert report["facts"]["type_of_loader"] == natively("linux16")["facts"]["type_of_loader"]


def test_our_own_loader_and_bios(file):
    guest = hvmlite.run(file, protocol="linux16", cmdline="handed in", memory=64 << 20)
    ranges = guest.plan.boot_info.memory_map
    report: Report = finish(guest)
    assert report.passed
    assert report.cmdline == b"built in handed in"
    assert report["memory_map"] == [[each.start, each.end, int(each.type)] for each in ranges]


def test_the_hook_before_protected_mode(file, tmp_path):
    """boot.rst, "Advanced Boot Loader Hooks": it may change all registers."""
    hook = assembled(
        tmp_path,
        """
	cli
	mov	$0x80, %al
	out	%al, $0x70
	mov	$0x3f8, %dx
	mov	$'%', %al
	out	%al, %dx
	mov	$10, %al
	out	%al, %dx
	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %fs
	mov	%ax, %gs
	std
	mov	$0x5555, %bx
	lretw
""",
    )
    assert len(hook) <= u.HEAD_CODE - SPARE
    changed(file, SPARE, hook)
    changed(file, REALMODE_SWTCH, struct.pack("<HH", SPARE, 0x1000))
    ran = boot("-kernel", file)
    assert ran.report.passed
    assert ran.console.startswith("%\n")


def test_setup_code_that_was_loaded_in_part(file):
    changed(file, u.HEAD_SIZE - 4, bytes(4))
    assert boot("-kernel", file).complaint == (
        "hvmlite: linux16: setup code: its end is not in memory, all 32 sectors are needed"
    )


@pytest.mark.parametrize("segment", [0x0800, 0x0910, 0x2000, 0x5FF8])
def test_16_bit_mode_somewhere_else(tmp_path, segment):
    """A boot sector that takes the stub for what it is to call in 16-bit mode."""
    sector = assembled(
        tmp_path,
        f"""
	cli
	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %ss
	mov	$0x7c00, %sp
	mov	${segment}, %ax
	mov	%ax, %es
	xor	%bx, %bx
	mov	$0x0208, %ax
	mov	$0x0002, %cx
	xor	%dh, %dh
	int	$0x13
	mov	$0xdead, %ax
	mov	%ax, %ds
	mov	%ax, %ss
	xor	%sp, %sp
	std
	ljmp	${segment}, $0
	.org	510
	.word	0xaa55
""",
    )
    (tmp_path / "disk").write_bytes(padded(sector + blobs.read("universal")[: u.STUB16_SIZE]))
    ran = boot(*drive(tmp_path / "disk"), "-device", "ide-hd,drive=image")
    assert ran.complaint == (
        "hvmlite: 16-bit mode: no setup header 0xe00 before the entry, "
        "Linux's 16-bit boot protocol is needed"
    )
