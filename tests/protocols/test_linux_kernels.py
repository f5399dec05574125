"""The Linux protocols on kernels that Debian built: ours against readelf, file and grub-file."""

from __future__ import annotations

import re
import subprocess

import pytest

import hvmlite
from hvmlite.guest.memory import PlanMemory
from hvmlite.model import Offer
from hvmlite.protocols import linux16, linux32, linux64
from protocols.linux_plans import number

KERNELS = ("6.1-cloud", "6.12-cloud", "6.1-full", "6.12-full", "6.1-686-pae")
MIB = 1 << 20
by_name = pytest.mark.parametrize("name", KERNELS)


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def extracted(path, tmp_path):
    vmlinux = tmp_path / "vmlinux"
    vmlinux.write_bytes(hvmlite.open_image(path).payload.image.data)
    return vmlinux


@by_name
def test_the_64_bit_entry_is_offered_exactly_if_it_was_configured(kernels, name):
    image = hvmlite.open_image(kernels[name])
    configured = "CONFIG_X86_64=y" in kernels.config(name)
    assert isinstance(linux64.offers(image), Offer) == configured
    assert isinstance(linux32.offers(image), Offer)
    assert isinstance(linux16.offers(image), Offer)


@by_name
def test_where_it_may_lie_is_what_was_configured(kernels, name):
    config = kernels.config(name)
    start, align = (
        int(re.search(rf"^CONFIG_PHYSICAL_{what}=(0x[0-9a-f]+)$", config, re.MULTILINE)[1], 16)
        for what in ("START", "ALIGN")
    )
    found = linux32.offers(hvmlite.open_image(kernels[name]))
    assert found.entry % align == 0
    assert found.entry == -(-start // align) * align
    assert found.relocation.align == align


@by_name
def test_the_window_holds_what_readelf_sees_in_the_kernel(kernels, name, tmp_path):
    """init_size covers all segments, where they will be: from the window's start on."""
    vmlinux = extracted(kernels[name], tmp_path)
    rows = [line.split() for line in run("readelf", "-lW", vmlinux).splitlines()]
    loads = [(int(r[3], 16), int(r[5], 16)) for r in rows if r[:1] == ["LOAD"]]
    found = linux32.offers(hvmlite.open_image(kernels[name]))
    first = min(start for start, _ in loads)
    last = max(start + size for start, size in loads)
    assert last - first <= found.needs - found.entry


@by_name
def test_an_elf_is_entered_at_readelf_s_entry(kernels, name, tmp_path):
    vmlinux = extracted(kernels[name], tmp_path)
    header = run("readelf", "-h", vmlinux)
    entry = int(re.search(r"Entry point address: +(0x[0-9a-f]+)", header)[1], 16)
    door = linux64 if "X86-64" in header else linux32
    assert door.offers(hvmlite.open_image(vmlinux)).entry == entry


@by_name
def test_grub_and_file_take_it_for_what_we_do(kernels, name):
    path = kernels[name]
    run("grub-file", "--is-x86-linux", path)
    if "686" not in name:
        run("grub-file", "--is-x86_64-efi", path)
    told = run("file", "-bL", path)
    assert told.startswith("Linux kernel x86 boot executable bzImage")
    assert f"version {dict(hvmlite.open_image(path).facts)['kernel version']}" in told


@by_name
@pytest.mark.parametrize("door", [linux64, linux32, linux16], ids=lambda door: door.NAME)
def test_the_plan_is_read_back_from_what_the_guest_would_have(kernels, name, door, tmp_path):
    if not isinstance(door.offers(hvmlite.open_image(kernels[name])), Offer):
        assert (door, "686" in name) == (linux64, True)
        return
    initrd = tmp_path / "initrd"
    initrd.write_bytes(b"070701" * 1000)
    made = hvmlite.plan(
        kernels[name], initrds=[initrd], cmdline="console=ttyS0", protocol=door.NAME
    )
    read = door.decode(PlanMemory(made), made.cpu)
    told = made.boot_info
    assert (read.cmdline, read.memory_map, read.rsdp) == (told.cmdline, told.memory_map, told.rsdp)
    assert [bytes(m.data) for m in read.modules] == [bytes(m.data) for m in told.modules]
    # The protected-mode code, from the byte that `dd` would skip to.
    data = kernels[name].read_bytes()
    skip = (data[0x1F1] + 1) * 512
    assert PlanMemory(made).read(made.address_of("kernel"), len(data) - skip) == data[skip:]
    assert number(data, 0x1FE, 2) == 0xAA55
