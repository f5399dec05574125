"""What the tests of the stub share."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def hand_offs_library(tmp_path_factory):
    """hand_offs.c, compiled."""
    path = tmp_path_factory.mktemp("stub") / "hand_offs.so"
    source = Path(__file__).with_name("hand_offs.c")
    command = ["gcc", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-o", path, source]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(path))


@pytest.fixture(scope="module")
def runners(hand_offs_library):
    """The runner for a world; those of the last few are kept."""
    from stub.hand_offs import SETUPS, Runner

    last: list[Runner] = []

    def runner(world):
        for each in last:
            if each.world is world:
                return each
        while len(last) >= len(SETUPS):
            last.pop(0).close()
        last.append(Runner(world, hand_offs_library))
        return last[-1]

    yield runner
    for each in last:
        each.close()
