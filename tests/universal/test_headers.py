"""The headers, read by programs that nobody here wrote: file, readelf, objdump, grub-file."""

from __future__ import annotations

import re
import subprocess

import pytest

from hvmlite.spec import universal as u
from universal.wrapped import REAL, params, real, wrap

GRUB_TYPES = (
    "i386-xen-domu", "x86_64-xen-domu", "x86-xen-dom0", "x86-multiboot", "x86-multiboot2",
    "x86-linux", "x86-linux32", "i386-efi", "x86_64-efi",
)  # fmt: skip


@pytest.fixture(scope="module", params=REAL)
def made(request, kernels):
    return wrap(real(kernels, request.param), b"initrd" * 1000, cmdline=b"console=ttyS0")


@pytest.fixture(scope="module")
def image(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("universal") / "universal"
    path.write_bytes(made.image_bytes())
    return path


@pytest.fixture(scope="module")
def file(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("universal") / "universal.elf"
    path.write_bytes(made.elf_bytes())
    return path


def said(*command) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def grub_types(path) -> set[str]:
    return {
        kind
        for kind in GRUB_TYPES
        if subprocess.run(["grub-file", f"--is-{kind}", path], check=False).returncode == 0
    }


def test_file_knows_both(made, image, file):
    text = said("file", "--brief", image)
    assert text.startswith("Linux kernel x86 boot executable bzImage, version ")
    assert f"version {made.release} (hvmlite universal image)" in text
    assert said("file", "--brief", file).startswith("ELF 64-bit LSB executable, x86-64")


def test_grub_file_knows_every_header(image, file):
    # Its Xen tests look at the payload of a bzImage.
    xen = {"x86_64-xen-domu", "x86-xen-dom0"}
    linux = {"x86-linux", "x86-linux32"}
    assert grub_types(image) == {*linux, *xen, "x86-multiboot", "x86-multiboot2", "x86_64-efi"}
    # No multiboot1: QEMU would prefer it to PVH.
    assert grub_types(file) == {*xen, "x86-multiboot2"}


def test_readelf_sees_one_segment_and_the_notes(made, file):
    text = said("readelf", "-hlnW", file)
    start = int(re.search(r"Entry point address: +(0x[0-9a-f]+)", text)[1], 16)
    ((offset, vaddr, paddr, size, memory, flags),) = re.findall(
        r"LOAD +(0x\w+) (0x\w+) (0x\w+) (0x\w+) (0x\w+) (RWE) ", text
    )
    base = int(paddr, 16)
    assert (int(offset, 16), int(vaddr, 16), flags) == (0, base, "RWE")
    assert int(size, 16) == file.stat().st_size
    assert start == base + u.ELF_STUB_OFFSET
    told = params(made)
    assert int(memory, 16) >= u.ELF_STUB_OFFSET + told.kernel_offset + told.kernel_memory
    notes = re.findall(r"Xen +0x\w+\s+.*?\((0x\w+)\)\s+description data: ([0-9a-f ]+)", text)
    words = {int(kind, 16): bytes.fromhex(data) for kind, data in notes}
    assert words[18] == start.to_bytes(8, "little")
    assert words[19] == b"".join(x.to_bytes(4, "little") for x in (4096, 1 << 20, 0xFFFFFFFF))
    assert "no relocations" in said("readelf", "-rW", file)


def test_objdump_sees_an_efi_program(made, image):
    text = said("objdump", "-p", "-h", image)
    assert "file format pei-x86-64" in text
    fields = dict(re.findall(r"^(\w+)\t+(?:0x)?([0-9a-f]+)\b", text, re.MULTILINE))
    assert int(fields["Subsystem"], 16) == 10
    assert int(fields["AddressOfEntryPoint"], 16) == u.STUB_AT
    assert int(fields["SectionAlignment"], 16) == 0x1000
    base = int(fields["ImageBase"], 16)
    assert base + u.STUB_AT + params(made).kernel_offset == made.address
    sections = re.findall(r" \d+ (\.\w+) +(\w+) +(\w+) +(\w+) +(\w+) ", text)
    at = 0x1000
    for _, size, address, _, offset in sections:
        assert (int(address, 16) - base, int(offset, 16)) == (at, at)  # RVA is file offset
        at += int(size, 16)
    assert [name for name, *_ in sections] == [".setup", ".compat", ".text"]
    assert at == image.stat().st_size
    assert int(fields["SizeOfImage"], 16) >= made.address - base + params(made).kernel_memory


def test_objdump_sees_a_program_for_32_bit_firmware(kernels, tmp_path):
    path = tmp_path / "universal"
    path.write_bytes(wrap(real(kernels, REAL[0]), efi="ia32").image_bytes())
    text = said("objdump", "-p", "-h", path)
    assert "file format pei-i386" in text
    assert re.search(r"^Magic\t+010b\t", text, re.MULTILINE)
    assert re.search(rf"^AddressOfEntryPoint\t+0*{u.STUB_AT:x}$", text, re.MULTILINE)
    assert re.findall(r"^ +\d+ (\.\w+) ", text, re.MULTILINE) == [".setup", ".compat", ".text"]


def test_every_entry_goes_to_the_stub(image, tmp_path):
    # The page of jumps, by a disassembler that knows 32-bit and 64-bit mode apart.
    page = tmp_path / "jumps"
    page.write_bytes(image.read_bytes()[u.HEAD_SIZE : u.HEAD_SIZE + u.PROTECTED_ELF])
    target = u.PROTECTED_ELF + u.ELF_STUB_OFFSET
    for machine, entries in (
        ("i386", (u.PROTECTED_ENTRY32, u.PROTECTED_HANDOVER)),
        ("i386:x86-64", (u.PROTECTED_ENTRY64, u.PROTECTED_HANDOVER + 0x200)),
    ):
        for at in entries:
            text = said("objdump", "-D", "-b", "binary", "-m", machine,
                        f"--start-address={at}", f"--stop-address={at + 5}", page)  # fmt: skip
            assert re.search(rf"{at:x}:\s+e9 .*jmp +0x{target:x}$", text, re.MULTILINE), text
