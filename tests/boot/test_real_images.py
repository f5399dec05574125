"""Images that nobody here wrote, by the ways in that they offer: see docs/real-images.md."""

from __future__ import annotations

import re
import subprocess
import time

import pytest

import hvmlite
from boot.reporter import QUICK
from hvmlite.errors import FormatError
from hvmlite.model import Ending, Offer

PVH = {
    "xen": {"xen.gz": False, "xen.efi": False},  # Debian builds it without CONFIG_XEN_GUEST
    "xen-shim": {"xen-shim": True},
    "memtest86+": {"memtest86+x64.bin": False, "memtest86+ia32.bin": False},
    "ipxe": {"ipxe.lkrn": False, "ipxe.efi": False, "ipxe.iso": False},
    "tboot": {"tboot.gz": False},
    "grub-invaders": {"invaders.exec": False},
    "systemd-boot": {"linuxx64.efi.stub": False},
    "debian-netboot": {"linux": True, "netboot.iso": False},
    "grub-pvh": {"grub.elf": True},
}
"""Whether there is a PVH entry, by name and file."""


def offered(path):
    """The protocols that a file offers; what is no image offers none."""
    try:
        image = hvmlite.open_image(path)
    except FormatError:
        return set()
    return {each.protocol for each in hvmlite.offers(image) if isinstance(each, Offer)}


def elf_of(path, tmp_path):
    """The ELF file that the image is or has in it, for readelf; None if there is none."""
    try:
        image = hvmlite.open_image(path)
    except FormatError:
        return None
    while image.payload is not None and image.payload.image is not None:
        image = image.payload.image
    if bytes(image.data[:4]) != b"\x7fELF":
        return None
    (tmp_path / "elf").write_bytes(image.data)
    return tmp_path / "elf"


@pytest.mark.parametrize(("name", "file"), [(name, file) for name in PVH for file in PVH[name]])
def test_the_pvh_entry_is_there_or_not_as_readelf_says(images, tmp_path, name, file):
    path = images[name] / file
    assert ("pvh" in offered(path)) is PVH[name][file]
    elf = elf_of(path, tmp_path)
    if elf is not None:
        run = ["readelf", "--notes", "--wide", elf]
        told = subprocess.run(run, capture_output=True, text=True, check=True).stdout
        assert bool(re.search(r"Xen .*0x00000012", told)) is PVH[name][file]


def debug_port(tmp_path):
    """A file, and what makes QEMU write there what the guest sends to port 0xE9."""
    return tmp_path / "port-e9", ("-debugcon", f"file:{tmp_path / 'port-e9'}")


def wait_for(text, file, seconds=60):
    deadline = time.monotonic() + seconds
    while text not in file.read_text():
        assert time.monotonic() < deadline, f"{text!r} is not in {file.read_text()!r}"
        time.sleep(0.05)


@pytest.mark.boot
def test_xen_by_pvh_asks_the_xen_below_it(images, tmp_path):
    """There is none: its first hypercall is an invalid opcode, and it says so on Xen's port."""
    log, extra = debug_port(tmp_path)
    shim = images["xen-shim"] / "xen-shim"
    with hvmlite.run(shim, cmdline="console=com1", protocol="pvh", extra=extra) as guest:
        outcome = guest.wait(60)
    text = log.read_text()
    assert outcome.kind is Ending.TRIPLE_FAULT, f"{outcome}\n{text}"
    assert re.match(r"\(XEN\) ----\[ Xen-4\.17\.\d+  x86_64 ", text)
    wanted = r"early_hypercall.*pvh_init.*__start_xen.*Panic on CPU 0:.*\(invalid opcode\)"
    assert re.search(wanted, text, re.DOTALL), text


@pytest.mark.boot
def test_grub_by_pvh_looks_for_xen(images, tmp_path):
    log, extra = debug_port(tmp_path)
    with hvmlite.run(images["grub-pvh"] / "grub.elf", protocol="pvh", extra=extra) as guest:
        wait_for("System halted!", log)
        assert guest.wait(0.5).kind is Ending.TIMEOUT  # it halts, and is no more heard of
        assert guest.console.text() == ""
    assert log.read_text().split("\n")[:2] == ["Found no Xen signature!", "System halted!"]


@pytest.mark.boot
def test_the_debian_installer_by_pvh_reaches_its_user_space(images):
    netboot = images["debian-netboot"]
    initrds = [netboot / "initrd.gz"]
    line = f"console=ttyS0 {QUICK}"
    with hvmlite.run(
        netboot / "linux", initrds=initrds, cmdline=line, memory=1 << 30, protocol="pvh"
    ) as guest:
        guest.expect("Linux version 6.1", timeout=60)
        guest.expect("Run /init as init process", timeout=200)
        guest.expect("Starting system log daemon: syslogd, klogd", timeout=200)
