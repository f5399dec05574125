"""QEMU's own loader, a BIOS, and iPXE."""

from __future__ import annotations

import pytest

from loaders.started import check, each

pytestmark = pytest.mark.boot


@each("qemu", "bios", "ipxe")
def test_it_starts(starts, loader, kernel, tmp_path, compared):
    check(starts, loader, kernel, tmp_path, compared)
