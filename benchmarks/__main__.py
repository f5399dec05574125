"""`make bench`: every speed that is promised, measured with both sides in one run.

Each line gives our median, the other side's median, and the ratio. The exit status says whether
all ratios keep within their limits.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from _measure import Comparison, interleaved
from _setting import BUILD, CMDLINE, HVMLITE, KERNEL, MEMORY_MIB, QEMU, initrd, ours, timed_boot
from inspection import inspect
from through_stub import through_stub
from wrapping import wrap

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent


def boots(ird: Path, rounds: int) -> list[Comparison]:
    """From the bzImage to the guest's `reboot -f`, against QEMU's own ways to start it."""

    def qemu(machine: str) -> list[str]:
        command = [QEMU, "-M", machine, "-accel", "tcg", "-m", str(MEMORY_MIB)]
        command += ["-kernel", str(KERNEL), "-initrd", str(ird), "-append", CMDLINE]
        return [*command, "-display", "none", "-no-reboot", "-nodefaults", "-serial", "stdio"]

    medians = interleaved(
        {
            "hvmlite": partial(timed_boot, ours(KERNEL, ird)),
            "q35": partial(timed_boot, qemu("q35"), forgive=True),
            "microvm": partial(timed_boot, qemu("microvm"), forgive=True),
        },
        rounds,
    )
    return [
        Comparison("boot: bzImage, q35 -kernel", medians["hvmlite"], medians["q35"], 0.70),
        Comparison("boot: bzImage, microvm -kernel", medians["hvmlite"], medians["microvm"], 0.85),
    ]


def prepare(ird: Path, rounds: int) -> list[Comparison]:
    """From our process's start to QEMU's exec, and to the guest's, against the floor's whole life.

    When the guest begins to run is not seen from outside: our whole life less the guest's, as we
    report it, is a little too much.
    """
    stand_in = BUILD / "path" / QEMU
    stand_in.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cc", "-O2", "-o", stand_in, HERE / "exec_stamp.c"], check=True)
    stamp = BUILD / "exec-stamp"
    environment = {
        **os.environ,
        "PATH": f"{stand_in.parent}:{os.environ['PATH']}",
        "EXEC_STAMP": str(stamp),
        "EXEC_REAL": str(shutil.which(QEMU)),
    }
    command = ours(KERNEL, ird)

    def preparation() -> float:
        started = time.monotonic()
        subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True)
        return float(stamp.read_text()) - started

    def readiness() -> float:
        started = time.monotonic()
        short = [*command, "--json", "--timeout", "0.02"]
        done = subprocess.run(short, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return time.monotonic() - started - float(json.loads(done.stdout)["timing"]["guest_s"])

    floor = _lifetime([sys.executable, str(HERE / "floor.py"), str(KERNEL)])
    sides = {"exec": preparation, "ready": readiness, "floor": floor}
    medians = interleaved(sides, rounds)
    return [
        Comparison("prepare: to QEMU's exec, floor", medians["exec"], medians["floor"], 1.5),
        Comparison("prepare: to the guest's start, floor", medians["ready"], medians["floor"], 1.5),
    ]


def startup(rounds: int) -> list[Comparison]:
    """`hvmlite --help` against an interpreter that does nothing."""
    medians = interleaved(
        {
            "help": _lifetime([str(HVMLITE), "--help"]),
            "pass": _lifetime([sys.executable, "-c", "pass"]),
        },
        rounds * 3,
    )
    return [Comparison("start-up: --help, python3 -c pass", medians["help"], medians["pass"], 6.0)]


def memory(ird: Path) -> list[Comparison]:
    """The peak of our own process against 2.2 x (kernel + initrd) + 48 MiB."""
    image = KERNEL.read_bytes()
    offset = (image[0x1F1] + 1) * 512 + int.from_bytes(image[0x248:0x24C], "little")
    end = offset + int.from_bytes(image[0x24C:0x250], "little")
    unpacked = int.from_bytes(image[end - 4 : end], "little")
    command = ours(KERNEL, ird)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = max([peak, *(int(x.split()[1]) for x in status.splitlines() if "VmHWM" in x)])
        time.sleep(0.02)
    allowed = 2.2 * (unpacked + ird.stat().st_size) + (48 << 20)
    name = "peak memory: 2.2 x content + 48 MiB"
    return [Comparison(name, peak / 1024, allowed / 2**20, 1, "MiB")]


def _lifetime(command: list[str]) -> Callable[[], float]:
    def run() -> float:
        started = time.monotonic()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        return time.monotonic() - started

    return run


def main() -> int:
    """Run the benchmarks that were asked for and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    ird = initrd()
    found = startup(options.rounds) + inspect(options.rounds) + prepare(ird, options.rounds)
    found += wrap(options.rounds) + memory(ird) + boots(ird, options.rounds)
    found += through_stub(ird, options.rounds)
    if options.json:
        print(json.dumps([{**vars(each), "ratio": each.ratio, "ok": each.holds} for each in found]))
    else:
        print(*found, sep="\n")
    return 0 if all(each.holds for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
