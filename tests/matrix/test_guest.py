"""Which reporter an image's guest gets: none for what is no Linux."""

from __future__ import annotations

from dataclasses import replace

import pytest

import hvmlite
from hvmlite.matrix._guest import kind
from hvmlite.matrix.result import GuestKind
from hvmlite.spec.elf import EM_386
from makers import pvh


def scanned(inside):
    """A bzImage whose payload was found by a search for magic numbers."""
    image = pvh.bzimage(inside)
    return replace(image, payload=replace(image.payload, found="scan"))


GUEST_OS = pvh.note(b"linux\0", 6)


@pytest.mark.parametrize(
    ("name", "expected"), [("6.12-cloud", "linux-amd64"), ("6.1-686-pae", "linux-i386")]
)
def test_stock_kernels(kernels, name, expected):
    assert kind(hvmlite.open_image(kernels[name])) == expected
    assert kind(hvmlite.open_image(kernels[name]).payload.image) == expected


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (pvh.kernel(pvh.LINUX), GuestKind.LINUX_AMD64),
        (pvh.kernel(GUEST_OS, machine=EM_386), GuestKind.LINUX_I386),
        (pvh.kernel(pvh.note(b"Mini-OS\0", 6)), GuestKind.OTHER),
        (pvh.kernel(), GuestKind.OTHER),
        (pvh.bzimage(pvh.kernel(machine=EM_386)), GuestKind.LINUX_I386),
        (replace(pvh.bzimage(pvh.kernel()), payload=None), GuestKind.OTHER),
        (scanned(pvh.kernel()), GuestKind.LINUX_AMD64),
        (scanned("broken"), GuestKind.OTHER),
        (pvh.bzimage("broken", xloadflags=1), GuestKind.LINUX_AMD64),
        (pvh.bzimage("broken", xloadflags=0), GuestKind.LINUX_I386),
        (pvh.bzimage("broken", version=0x20B, xloadflags=1), GuestKind.LINUX_I386),
    ],
)
def test_made_images(image, expected):
    assert kind(image) is expected
