"""Wrapped microkernels by every door of hvmlite: each looks at the state it is entered in."""

from __future__ import annotations

import subprocess
import zlib
from pathlib import Path

import pytest

import microkernel
from hvmlite import boot
from hvmlite.spec import universal as u
from stub.stub_machine import STATUS, parsed, wrapped

pytestmark = pytest.mark.boot

KERNELS = ("linux64", "linux32", "linux16", "linux64-elf", "linux32-elf")
DOORS = (
    *(("image", door) for door in ("linux64", "linux32", "linux16", "multiboot1", "multiboot2")),
    *(("elf", door) for door in ("pvh", "linux64", "multiboot2")),
)
ONE, TWO = b"the first module", bytes(range(256)) * 40
XLF_5LEVEL = 0x20
STUB = u.HEAD_SIZE + u.PROTECTED_ELF + u.ELF_STUB_OFFSET


@pytest.fixture(scope="module", autouse=True)
def _built():
    microkernel.build()


def files(kernel: str) -> dict[str, bytes]:
    made = wrapped(kernel, cmdline="built in", initrds=[b"an initrd"])
    return {"image": made.image_bytes(), "elf": made.elf_bytes()}


@pytest.mark.parametrize(("file", "door"), DOORS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_kernel_finds_nothing_wrong(kernel, file, door, tmp_path):
    paths = [tmp_path / "one", tmp_path / "two"]
    for path, data in zip(paths, (ONE, TWO), strict=True):
        path.write_bytes(data)
    plan = boot.plan(
        parsed(files(kernel)[file]),
        protocol=door,
        cmdline="handed in",
        initrds=paths,
        memory=64 << 20,
    )
    report = microkernel.start(plan)
    assert report.passed, report.said
    assert report.cmdline == b"built in handed in"
    joined = b"an initrd".ljust(16, b"\0") + ONE + bytes(4) + TWO
    (initrd,) = report["modules"]
    assert (initrd["size"], initrd["crc32"]) == (len(joined), zlib.crc32(joined))
    told = [[each.start, each.end, int(each.type)] for each in plan.boot_info.memory_map]
    assert report["memory_map"] == told


def kexec(folder: Path, image: bytes, *arguments: str, la57: bool, high: int = 0):
    """Enter an image by the 64-bit entry, on 5-level page tables or above 4 GiB, as kexec may."""
    kernel, module = folder / "kexec", folder / "universal"
    module.write_bytes(image)
    command = ["gcc", "-m32", "-nostdlib", "-static", "-no-pie", f"-DLA57={la57:d}"]
    command += [f"-DHIGH={high:#x}", "-Wl,-Ttext=0x100000", "-Wl,-e,start", "-Wl,--build-id=none"]
    command += ["-Wl,-z,noexecstack", "-Wl,--section-start=.note=0x110000"]
    source = Path(__file__).parent / "kexec.S"
    subprocess.run([*command, "-o", kernel, source], check=True)
    paths = ("-kernel", kernel, "-initrd", module)
    return microkernel.by_loader("-cpu", "max,la57=on", *paths, *arguments, memory=5 << 10)


@pytest.mark.parametrize("high", [False, True])
@pytest.mark.parametrize("la57", [False, True])
@pytest.mark.parametrize("kernel", ["linux64", "linux32"])
def test_a_kernel_is_not_left_with_what_it_cannot_have(kernel, la57, high, tmp_path):
    """Neither of these takes 5-level page tables; one runs above 4 GiB, the other is below."""
    image = files(kernel)["image"]
    params = u.Params.unpack(image, STUB + u.PARAMS_OFFSET)
    # The kernel need not be moved there.
    at = 0x110000000 - (STUB + params.kernel_offset) if high else 0
    report = kexec(tmp_path, image, "-append", "handed in", la57=la57, high=at)
    assert report.passed, report.said
    assert report["regs"]["cr4"] == (0x20 if kernel == "linux64" else 0)
    assert report.cmdline == b"built in handed in"
    assert report["modules"][0]["crc32"] == zlib.crc32(b"an initrd")
    assert (report["image"][0] >> 32 > 0) == (high and kernel == "linux64")


def test_five_levels_of_page_tables_stay_for_a_kernel_that_takes_them(tmp_path):
    """The microkernel cannot go on with them, which is how it shows that it has them."""
    image = bytearray(files("linux64")["image"])
    image[STUB + u.HEADER_OFFSET + 0x236 - 0x1F1] |= XLF_5LEVEL
    report = kexec(tmp_path, bytes(image), la57=True)
    assert report["regs"]["cr4"] == 0x1020


@pytest.mark.parametrize("kernel", ["linux64", "linux32"])
def test_a_processor_without_long_mode_is_told(kernel, tmp_path):
    path = tmp_path / "universal.elf"
    path.write_bytes(files(kernel)["elf"])
    command = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-accel", "tcg"]
    command += ["-cpu", "qemu32", "-m", "64", "-serial", "stdio", "-kernel", path]
    command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    result = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )
    words = "hvmlite: processor: no long mode, a 64-bit processor is needed"
    assert [line for line in result.stdout.splitlines() if "hvmlite" in line] == [words]
    assert result.returncode == STATUS << 1 | 1
