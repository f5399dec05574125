"""What tests of the emulator share."""

from __future__ import annotations

import pytest

from engines import raw_guests as raw
from hvmlite.engines import qemu
from hvmlite.engines._unicorn_emulator import Emulator


@pytest.fixture(scope="module")
def emulator():
    """One for all: each test loads a plan of its own."""
    found = Emulator(qemu.machine(16 * raw.MIB, 1))
    yield found
    found.close()
