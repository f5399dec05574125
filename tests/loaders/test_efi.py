"""UEFI firmware of 64 bits, and what it starts."""

from __future__ import annotations

import pytest

from loaders.started import check, each

pytestmark = pytest.mark.boot


@each("grub-efi", "efi")
def test_it_starts(starts, loader, kernel, tmp_path, compared):
    check(starts, loader, kernel, tmp_path, compared)
