"""Images that are no Linux and start by Linux's boot protocol, by each entry that they offer."""

from __future__ import annotations

import pytest

import hvmlite
from boot.reporter import QUICK
from hvmlite.model import Offer

pytestmark = pytest.mark.boot

MIB = 1 << 20
TIMEOUT = 120


def doors(path):
    offered = hvmlite.offers(hvmlite.open_image(path))
    return [each.protocol for each in offered if isinstance(each, Offer)]


@pytest.mark.parametrize(
    ("file", "protocol"),
    [
        ("memtest86+x64.bin", "linux64"),
        ("memtest86+x64.bin", "linux32"),
        ("memtest86+x64.bin", "linux16"),
        ("memtest86+ia32.bin", "linux32"),
        ("memtest86+ia32.bin", "linux16"),
    ],
)
def test_memtest86_tests_the_memory_that_it_was_told_of(images, file, protocol):
    path = images["memtest86+"] / file
    assert protocol in doors(path)
    line = "console=ttyS0,115200"
    with hvmlite.run(path, cmdline=line, memory=128 * MIB, protocol=protocol) as guest:
        guest.expect(r"Memtest86\+ v6", TIMEOUT)
        found = guest.expect(r"Memory\W*\x1b?\S*\s+(\d+)MB", TIMEOUT)
        assert int(found[1]) == 128
        guest.expect("Status: Testing", TIMEOUT)


def test_ipxe_starts_in_real_mode_only(images):
    path = images["ipxe"] / "ipxe.lkrn"
    assert doors(path) == ["linux16"]
    with hvmlite.run(path, cmdline="echo told by hvmlite", protocol="linux16") as guest:
        guest.expect("iPXE initialising devices...ok", TIMEOUT)
        guest.expect("told by hvmlite", TIMEOUT)


@pytest.mark.parametrize("protocol", ["pvh", "linux64", "linux32", "linux16"])
def test_debian_s_installer_starts_by_every_door(images, protocol):
    """A stock kernel with a UEFI signature behind it, and an initrd of 40 MB."""
    folder = images["debian-netboot"]
    guest = hvmlite.run(
        folder / "linux",
        initrds=[folder / "initrd.gz"],
        protocol=protocol,
        memory=1024 * MIB,
        cmdline=f"console=ttyS0 {QUICK}",
    )
    with guest:
        guest.expect("Run /init as init process", TIMEOUT)
