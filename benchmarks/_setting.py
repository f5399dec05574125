"""What the benchmarks run: the kernel, the initrd, the command line, the programs."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "bench"
KERNEL = ROOT / "build/kernels/6.12-cloud/vmlinuz"
MEMORY_MIB = 512
CMDLINE = "console=ttyS0 panic=-1 reboot=t"
HVMLITE = Path(sys.executable).parent / "hvmlite"
QEMU = "qemu-system-x86_64"
TIMEOUT = 30.0

INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox echo bench-init-reached
/bin/busybox reboot -f
"""


def ours(image: Path, ird: Path, *options: str) -> list[str]:
    """Return the command by which hvmlite boots."""
    command = [str(HVMLITE), "run", str(image), "-i", str(ird), "-a", CMDLINE]
    return [*command, "-m", f"{MEMORY_MIB}M", "--accel", "tcg", *options]


def initrd() -> Path:
    """Build the initrd that all sides boot: busybox, one mount, one line, `reboot -f`."""
    sys.path.insert(0, str(ROOT / "tools"))
    from initramfs import Archive

    BUILD.mkdir(parents=True, exist_ok=True)
    archive = Archive()
    for directory in ("bin", "proc", "dev"):
        archive.directory(directory)
    archive.character_device("dev/console", 5, 1)
    archive.file("bin/busybox", Path("/bin/busybox").read_bytes(), 0o755)
    archive.file("init", INIT.encode(), 0o755)
    target = BUILD / "initrd.gz"
    target.write_bytes(archive.gzip())
    return target


def timed_boot(command: list[str], *, forgive: bool = False) -> float:
    """Run a boot to its end and return the seconds.

    :param forgive: a boot that crashes or hangs is run again and told, not a reason to stop: plain
        QEMU 7.2 under TCG does both now and then (see docs/engines.md)
    """
    while True:
        started = time.monotonic()
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT,
                check=False,
            )
            reached, end = b"bench-init-reached" in done.stdout, done.stdout[-2000:]
        except subprocess.TimeoutExpired:
            reached, end = False, b"no end in time"
        if reached:
            return time.monotonic() - started
        if not forgive:
            raise SystemExit(f"the guest did not reach its init: {end!r}")
        print("crashed or hung, run again:", " ".join(command[:3]), file=sys.stderr)
