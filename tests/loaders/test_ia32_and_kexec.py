"""UEFI firmware of 32 bits, and Linux as a boot loader."""

from __future__ import annotations

import pytest

from loaders.started import check, each

pytestmark = pytest.mark.boot


@each("grub-ia32", "kexec")
def test_it_starts(starts, loader, kernel, tmp_path, compared):
    check(starts, loader, kernel, tmp_path, compared)
