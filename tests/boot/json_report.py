"""The guest reporter of stub/report: initrds with it, and its words taken apart."""

from __future__ import annotations

import json
import re

from hvmlite import blobs
from initramfs import Archive


def blob(kernel: str) -> bytes:
    """The reporter for a kernel of this name."""
    return blobs.read("report-i386" if "686" in kernel else "report-amd64")


def initrd(path, kernel: str, payload: dict[str, bytes]):
    """An initrd at `path` that holds the reporter, the payload and nothing else."""
    made = Archive().file("/init", blob(kernel), 0o755)
    for name, content in payload.items():
        made.file(f"/payload/{name}", content)
    path.write_bytes(made.gzip())
    return path


def parse(console: str) -> dict:
    """The one report on a console, which is ASCII."""
    (line,) = re.findall(r"^hvmlite-report: (.*?)\r?$", console, re.MULTILINE)
    assert line.isascii()
    return json.loads(line)
