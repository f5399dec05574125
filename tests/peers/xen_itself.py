"""What Xen's own domain builder does with a kernel: libxenguest, without a hypervisor."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

_SOURCE = Path(__file__).parent / "xen_domain_builder.c"
_WAYS = {
    ("pv", "xen-3.0-x86_64"): "pv",
    ("pv", "xen-3.0-x86_32p"): "pv",
    ("pvh", "hvm-3.0-x86_32"): "pvh",
}
_FIRMWARE = "HVM-generic"
"""The loader that takes any ELF32 as the firmware of an HVM guest: no kernel, no ABI."""


class DomainBuilder:
    """The program that asks it, built into `folder`."""

    def __init__(self, folder: Path) -> None:
        self.program = folder / "xen-domain-builder"
        libraries = ["-lxenguest", "-lxenctrl", "-lxentoollog"]
        subprocess.run(["gcc", "-O1", "-o", self.program, _SOURCE, *libraries], check=True)

    def ask(self, data: bytes) -> tuple[tuple[str, ...], str]:
        """Return the guest types that it would build, and all that it says about them."""
        ways, said = [], ""
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            for kind in ("pvh", "pv"):
                done = subprocess.run(
                    [self.program, kind, file.name], capture_output=True, timeout=120, check=False
                )
                log = done.stderr.decode("utf-8", "backslashreplace")
                said += log
                assert done.returncode in (0, 1), log
                if done.returncode == 0 and _last_tried(log) != _FIRMWARE:
                    ways.append(_WAYS[kind, done.stdout.decode().strip()])
        return tuple(ways), said


def _last_tried(log: str) -> str:
    return re.findall(r"xc_dom_find_loader: trying (\S+)", log)[-1]
