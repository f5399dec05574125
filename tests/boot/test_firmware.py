"""Disks and CD-ROMs that nobody here wrote, started by a PC's firmware with the usual commands."""

from __future__ import annotations

import hashlib
import json
import re

import pytest

import hvmlite
from hvmlite import cli
from hvmlite.errors import RequestError

pytestmark = pytest.mark.boot
FIRMWARES = {"seabios": "bios", "ovmf": "efi"}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("firmware", FIRMWARES)
def test_the_debian_installer_iso(images, firmware):
    iso = images["debian-netboot"] / "netboot.iso"
    before = digest(iso)
    with hvmlite.run(iso, firmware=firmware, memory=1 << 30) as guest:
        assert guest.protocol == FIRMWARES[firmware]
        guest.expect("GNU GRUB", 120)
        guest.expect("Starting system log daemon: syslogd, klogd", 300)
    assert digest(iso) == before


def test_ipxe_by_a_bios(images):
    with hvmlite.run(images["ipxe"] / "ipxe.iso", firmware="seabios") as guest:
        guest.expect("iPXE initialising devices", 120)


def test_an_iso_needs_no_option_at_all(images, capsys):
    iso = images["grub-rescue"] / "rescue.iso"
    assert cli.main(["run", str(iso), "--json", "-a", "quiet", "--timeout", "120"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["protocol"], document["outcome"]["kind"]) == ("bios", "shutdown")
    assert [each["field"] for each in document["dropped"]] == ["cmdline"]


def test_what_a_plan_says_of_it(images, capsys):
    iso = images["grub-rescue"] / "rescue.iso"
    assert cli.main(["plan", str(iso), "--firmware", "ovmf"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"by efi on q35", text)
    assert re.search(r"^ovmf runs first", text, re.MULTILINE)
    assert re.search(r"rescue\.iso +raw +CD-ROM, read-only$", text, re.MULTILINE)


@pytest.mark.parametrize("firmware", FIRMWARES)
def test_firmware_cannot_start_a_plain_kernel(kernels, firmware):
    with pytest.raises(RequestError, match="offers no way in") as caught:
        hvmlite.plan(kernels["6.12-cloud"], firmware=firmware)
    assert caught.value.hint is not None


def test_firmware_and_another_protocol_contradict_each_other(images):
    iso = images["grub-rescue"] / "rescue.iso"
    with pytest.raises(RequestError, match="firmware seabios: found together with protocol efi"):
        hvmlite.plan(iso, firmware="seabios", protocol="efi")


def test_a_kernel_that_only_a_bios_can_start(images, tmp_path):
    # No kernel header can be followed, but its own boot sector reads disks: plan and run agree.
    data = bytearray((images["memtest86+"] / "memtest86+x64.bin").read_bytes())
    data[0x230:0x235] = b"\3\0\0\0\1"  # relocatable_kernel, by an alignment that is none
    broken = tmp_path / "memtest"
    broken.write_bytes(data.ljust(1 << 20, b"\0"))
    assert hvmlite.plan(broken).machine.firmware == "seabios"
    with hvmlite.run(broken) as guest:
        assert guest.protocol == "bios"
        assert guest.plan.machine.firmware == "seabios"


def test_a_firmware_that_is_not_known(images):
    with pytest.raises(RequestError, match=r"firmware uboot: not known, one of seabios \(bios\), "):
        hvmlite.plan(images["grub-rescue"] / "rescue.iso", firmware="uboot")


def test_what_several_protocols_need_is_said_once(images):
    with pytest.raises(RequestError, match="offers no way in: pvh, xen_pv: image") as caught:
        hvmlite.plan(images["ipxe"] / "ipxe.efi")
    text = str(caught.value)
    assert text.count("linux64, linux32, linux16: image format: pe, a bzImage") == 1
    assert text.count("the ELF of a Linux kernel") == 1
    assert caught.value.hint.startswith("copy it to a FAT partition")
