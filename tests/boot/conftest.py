"""The initrds that report, for both kinds of user space."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from boot.reporter import archive

BUSYBOX_I386 = Path(__file__).resolve().parents[2] / "build" / "busybox-i386"
PAYLOAD = {f"part-{n}": random.Random(n).randbytes(size) for n, size in enumerate((0, 1, 4097))}


@dataclass(frozen=True)
class Initrds:
    """``initrds.of("6.1-686-pae")`` is a path; each holds the files of :attr:`payload`."""

    amd64: Path
    i386: Path
    payload: dict[str, bytes]

    def of(self, kernel: str) -> Path:
        return self.i386 if "686" in kernel else self.amd64


@pytest.fixture(scope="session")
def initrds(tmp_path_factory) -> Initrds:
    if not BUSYBOX_I386.is_file():
        text = f"{BUSYBOX_I386} is missing, run: python3 tools/busybox_i386.py"
        pytest.fail(text, pytrace=False)
    folder = tmp_path_factory.mktemp("initrds")
    (folder / "amd64.gz").write_bytes(archive(PAYLOAD).gzip())
    (folder / "i386.gz").write_bytes(archive(PAYLOAD, BUSYBOX_I386).gzip())
    return Initrds(folder / "amd64.gz", folder / "i386.gz", PAYLOAD)
