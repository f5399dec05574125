"""The stub under UEFI of both widths: the kernel learns what it learns when firmware starts it."""

from __future__ import annotations

import re

import pytest

import hvmlite
from boot.reporter import QUICK, Report, sums
from hvmlite.spec.linux import BootParams
from hvmlite.universal import wrap
from hvmlite.wire import patch
from stub.efi_machines import (
    SET_VARIABLE,
    VARIABLE,
    archive,
    compat_loader,
    disk,
    plain,
    run32,
    run64,
    ssdt,
)

pytestmark = pytest.mark.boot
PAYLOAD = {"one": b"1" * 5000, "two": b""}
LINE = rf"console=ttyS0 {QUICK} initrd=\initrd.img efivar_ssdt={VARIABLE} a=b"
ASKED = sums({"ssdt": ssdt()})["ssdt"]
EFI_FRAMEBUFFER = 0x70


@pytest.fixture(scope="module")
def initrd():
    return archive(PAYLOAD).gzip()


@pytest.fixture(scope="module")
def initrd32():
    from boot.conftest import BUSYBOX_I386

    return archive(PAYLOAD, BUSYBOX_I386).gzip()


def wrapped(kernel, **options) -> bytes:
    return wrap(hvmlite.open_image(kernel), **options).image_bytes()


def by_shell(path, image, initrd, line=LINE, **files):
    """A disk whose shell sets a variable and starts the image with load options."""
    files = {name.replace("_", "."): data for name, data in files.items()}
    loader = "loader.efi" if "loader.efi" in files else "linux.efi"
    content = {"linux.efi": image, "initrd.img": initrd, **files}
    return disk(path, content, [SET_VARIABLE, f"{loader} {line}"])


def firmware_map(report):
    """E820 as the stub wrote it: (start, end, kind) of each entry."""
    return sorted(line.split() for line in report["firmware_map"].splitlines())


def words_of_efi(report):
    return re.findall(r"\] (efivars: .*|efi: EFI .*|fb0: .*|efifb: mode .*)", report["dmesg"])


def asked_the_firmware(report):
    """The kernel has called runtime services: the variable's content is its table, and ACPI's."""
    said = f"] efi: loading SSDT from variable {VARIABLE}-"
    return said in report["dmesg"] and ASKED in report["dynamic"]


def same_as_native(report, native):
    """What no loader may change."""
    assert report.release == native.release
    assert report.cmdline == native.cmdline
    assert report.files == native.files == sums(PAYLOAD)
    assert report.tables == native.tables
    assert firmware_map(report) == firmware_map(native)
    for block in ("runtime", "width", "systab", "fb", "loader"):
        assert report[block] == native[block], block
    ours, theirs = (BootParams.unpack(each.boot_params) for each in (report, native))
    assert ours.screen_info == theirs.screen_info
    assert ours.screen_info.orig_video_isVGA == EFI_FRAMEBUFFER
    assert ours.secure_boot == theirs.secure_boot
    assert ours.alt_mem_k == theirs.alt_mem_k
    assert ours.efi_info.efi_loader_signature == theirs.efi_info.efi_loader_signature
    assert ours.efi_info.efi_systab == theirs.efi_info.efi_systab
    assert ours.efi_info.efi_memdesc_size == theirs.efi_info.efi_memdesc_size
    assert ours.acpi_rsdp_addr == int(re.search(r"ACPI 2\.0=(0x\w+)", native["dmesg"])[1], 16)
    assert words_of_efi(report) == words_of_efi(native)
    assert "No EFI runtime" not in report["dmesg"]
    assert asked_the_firmware(native)
    assert asked_the_firmware(report)
    assert report["dynamic"] == native["dynamic"]
    assert abs(report.memory_total - native.memory_total) < 1 << 20


@pytest.mark.parametrize("kernel", ["6.12-cloud", "6.1-cloud"])
def test_it_learns_what_it_learns_natively(kernels, kernel, initrd, tmp_path):
    native = Report.parse(
        run64(by_shell(tmp_path / "native", kernels[kernel].read_bytes(), initrd))
    )
    report = Report.parse(run64(by_shell(tmp_path / "ours", wrapped(kernels[kernel]), initrd)))
    same_as_native(report, native)
    # Runtime services have their virtual addresses: the kernel has called the firmware.
    assert report["runtime_map"] == native["runtime_map"]
    assert report["runtime_map"].count("\n") > 2


def test_built_in_and_handed_in_are_joined(kernels, initrd, tmp_path):
    more = archive({"three": b"3"}).cpio()
    image = wrapped(kernels["6.12-cloud"], initrds=[initrd], cmdline=f"console=ttyS0 {QUICK}")
    line = "initrd=/boot/more.img gr\u00fc\u00df=\U0001f600 initrd=\\last.img"
    files = {"boot/more.img": more, "last.img": archive({"four": b"4" * 9}).cpio()}
    path = disk(tmp_path / "disk", {"linux.efi": image, **files}, [f"linux.efi {line}"])
    report = Report.parse(run64(path))
    assert report.cmdline == f"console=ttyS0 {QUICK} linux.efi {line}".encode()
    assert report.files == sums(PAYLOAD | {"three": b"3", "four": b"4" * 9})


def test_a_32_bit_kernel_does_without_runtime_services(kernels, initrd32, tmp_path):
    image = wrapped(kernels["6.1-686-pae"])
    report = Report.parse(run64(by_shell(tmp_path / "disk", image, initrd32)))
    assert report["width"].strip() == "64"
    assert report["fb"] == "0 EFI VGA\n"
    assert report.files == sums(PAYLOAD)
    assert "No EFI runtime due to 32/64-bit mismatch with kernel" in report["dmesg"]
    assert not asked_the_firmware(report)


def test_a_64_bit_kernel_on_32_bit_firmware(kernels, initrd, tmp_path):
    kernel, loader = kernels["6.12-cloud"], compat_loader(tmp_path)
    native = by_shell(tmp_path / "native", kernel.read_bytes(), initrd, loader_efi=loader)
    ours = by_shell(tmp_path / "ours", wrapped(kernel), initrd, loader_efi=loader)
    report, native = Report.parse(run32(ours)), Report.parse(run32(native))
    same_as_native(report, native)
    assert report["width"].strip() == "32"


def test_an_initrd_that_the_kernels_own_stub_would_not_find(kernels, initrd, tmp_path):
    """Linux 6.1's does not read load options when it is entered by .compat."""
    files = {"loader_efi": compat_loader(tmp_path)}
    ours = by_shell(tmp_path / "ours", wrapped(kernels["6.1-cloud"]), initrd, **files)
    report = Report.parse(run32(ours))
    assert report.files == sums(PAYLOAD)
    assert report["width"].strip() == "32"
    assert asked_the_firmware(report)


def test_a_32_bit_kernel_on_32_bit_firmware(kernels, initrd32, tmp_path):
    kernel = kernels["6.1-686-pae"]
    native = by_shell(tmp_path / "native", kernel.read_bytes(), initrd32)
    loader = compat_loader(tmp_path)
    ours = by_shell(tmp_path / "ours", wrapped(kernel), initrd32, loader_efi=loader)
    report, native = Report.parse(run32(ours)), Report.parse(run32(native))
    # the native image is started by its own name
    native.blocks["cmdline"] = native["cmdline"].replace("6c 69 6e 75 78", "6c 6f 61 64 65 72", 1)
    same_as_native(report, native)


def nowhere(kernel, folder) -> bytes:
    """An image of a kernel that takes an initrd below 1 MiB only, where no two are joined."""
    content = bytearray(kernel.read_bytes())
    patch(content, 0x22C, 4, 0xFFFFF)  # initrd_addr_max
    patch(content, 0x236, 2, 0x7D)  # xloadflags without XLF_CAN_BE_LOADED_ABOVE_4G
    (folder / "kernel").write_bytes(content)
    return wrapped(folder / "kernel")


def test_what_fails_goes_back_to_the_firmware(kernels, tmp_path):
    """And leaves it as it was: the image can be started again and again."""
    commands = [
        r"linux.efi initrd=\linux.efi initrd=\none.img",
        r"nowhere.efi initrd=\startup.nsh initrd=\startup.nsh",
        "linux.efi " + "x" * 2048,
        "echo still alive",
    ]
    kernel = kernels["6.12-cloud"]
    images = {"linux.efi": wrapped(kernel), "nowhere.efi": nowhere(kernel, tmp_path)}
    text = plain(run64(disk(tmp_path / "disk", images, commands)))
    # the last thing that is asked before boot services end
    assert text.count("\nhvmlite: efi: initrd: 0x") == 2, text
    assert text.count(", as many bytes of free RAM are needed") == 2
    # on the port and on the firmware's console, which is the same port
    assert text.count(f"\nhvmlite: efi: initrd=: {len(commands[0]):#x}, a file of the name") == 2
    assert text.count("\nhvmlite: efi: command line: 0x80a, no more bytes than") == 2, text
    assert text.index("command line: 0x80a") < text.rindex("still alive")


def test_a_built_in_line_that_leaves_no_room(kernels, tmp_path):
    """Of exactly as many bytes as the kernel takes: load options are too many, not 2^64 - 1."""
    image = wrapped(kernels["6.12-cloud"], cmdline="x" * 2047)
    path = disk(tmp_path / "disk", {"linux.efi": image}, ["linux.efi quiet", "echo still alive"])
    text = plain(run64(path))
    assert text.count("\nhvmlite: efi: command line: 0xf, no more bytes than") == 2, text
    assert text.index("command line: 0xf") < text.rindex("still alive")


def test_a_kernel_without_mixed_mode_is_refused(kernels, tmp_path):
    kernel = bytearray(kernels["6.12-cloud"].read_bytes())
    patch(kernel, 0x236, 2, 0x7B)  # xloadflags without XLF_EFI_HANDOVER_32
    (tmp_path / "kernel").write_bytes(kernel)
    files = {"linux.efi": wrapped(tmp_path / "kernel"), "loader.efi": compat_loader(tmp_path)}
    text = plain(run32(disk(tmp_path / "disk", files, ["loader.efi", "echo still alive"])))
    assert text.count("\nhvmlite: efi: xloadflags: 0x7b, EFI mixed mode or a 32-bit kernel") == 2
    assert text.index("xloadflags") < text.rindex("still alive")
