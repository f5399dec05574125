"""The guest reporter, against a shell and busybox in the same guest, and against the plan."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess

import pytest

import hvmlite
from boot import agreement
from boot.conftest import BUSYBOX_I386
from boot.json_report import blob, initrd, parse
from boot.reporter import COMPLAINTS, INIT, LINE, Report, archive, finish
from hvmlite.model import Ending

pytestmark = pytest.mark.boot

KERNELS = ("6.12-cloud", "6.1-686-pae")
by_kernel = pytest.mark.parametrize("name", KERNELS)
# Lengths around those where SHA-256 pads into another block, and where a buffer ends.
SIZES = (0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 1024, 16383, 16384, 16385, 70001)
PAYLOAD = {f"part-{size}": random.Random(size).randbytes(size) for size in SIZES}
PAYLOAD |= {
    "in/a/folder": b"deep",
    'quote " backslash \\': b"",
    "tab\tand newline\n": b"x",
    "caf\u00e9": b"y",
}


def characters(text: str) -> str:
    """Bytes of UTF-8 as the report has them: a character each."""
    return text.encode().decode("latin-1")


def sums(payload: dict[str, bytes]) -> dict[str, str]:
    return {
        characters(f"/payload/{name}"): hashlib.sha256(content).hexdigest()
        for name, content in payload.items()
    }


@by_kernel
def test_it_says_what_a_shell_says(kernels, tmp_path, name):
    """In one guest: the shell's report, and the reporter as a program that it calls."""
    script = INIT.read_text().replace('echo "@done"', 'block report /report\necho "@done"')
    payload = {n: c for n, c in PAYLOAD.items() if n.startswith("part-")}
    made = archive(payload, BUSYBOX_I386 if "686" in name else None)
    made.file("/init", script, 0o755).file("/report", blob(name), 0o755)
    (tmp_path / "initrd").write_bytes(made.gzip())
    cmdline = LINE.encode() + b' "\\' + bytes(range(0x80, 0x100)) + b'\x01\x7f"'
    guest = hvmlite.run(kernels[name], initrds=[tmp_path / "initrd"], cmdline=cmdline, cpus=2)
    shell = finish(guest, 120)
    said = parse(shell["report"])
    assert list(said) == KEYS
    assert said["schema"] == 1
    assert said["release"] == shell.release
    assert said["machine"] == ("i686" if "686" in name else "x86_64")
    assert said["cmdline"].encode("latin-1") == shell.cmdline == cmdline
    assert bytes.fromhex(said["boot_params"]) == shell.boot_params
    assert said["setup_data"] == []
    assert [(low, high + 1, n) for _, low, high, n in said["iomem"]] == shell.iomem
    depths = [len(line) - len(line.lstrip(" ")) for line in shell["iomem"].splitlines()]
    assert [2 * row[0] for row in said["iomem"]] == depths
    assert said["memory_kib"] << 10 == shell.memory_total
    assert said["cpus"] == int(shell["cpus"]) == 2
    assert said["files"] == sums(payload)
    assert {n.rpartition("/")[2]: digest for n, digest in said["files"].items()} == shell.files
    assert said["acpi"] == shell.tables
    assert said["efi"] is False
    assert said["framebuffer"] is None
    assert said["hypervisor"] is None
    assert 0 < said["uptime_ms"] < 120_000


KEYS = [
    "schema", "release", "machine", "cmdline", "boot_params", "setup_data", "iomem", "memory_kib",
    "cpus", "files", "acpi", "efi", "framebuffer", "hypervisor", "uptime_ms",
]  # fmt: skip


@by_kernel
def test_it_is_an_init_that_needs_nothing_else(kernels, tmp_path, name):
    path = initrd(tmp_path / "initrd", name, PAYLOAD)
    with hvmlite.run(kernels[name], initrds=[path], cmdline=LINE) as guest:
        outcome, text = guest.wait(120), guest.console.text()
    assert outcome.kind is Ending.SHUTDOWN, text[-3000:]
    assert COMPLAINTS.search(text) is None
    said = parse(text)
    assert said["cmdline"] == LINE
    assert said["files"] == sums(PAYLOAD)
    assert bytes.fromhex(said["boot_params"]) == agreement.boot_params(guest.plan)
    assert said["cpus"] == 1
    # The same rules as for the shell's report.
    rows = "\n".join(f"{low:x}-{high:x} : {n}" for _, low, high, n in said["iomem"])
    blocks = {"iomem": rows, "boot_params": said["boot_params"]}
    agreement.resources(guest.plan, Report(blocks))


def test_what_is_not_there_is_null(kernels, tmp_path):
    path = initrd(tmp_path / "initrd", KERNELS[0], {})
    with hvmlite.run(kernels[KERNELS[0]], initrds=[path], cmdline=f"acpi=off {LINE}") as guest:
        guest.expect("hvmlite-report: ", 120)
        said = json.loads(guest.expect(r"(\{.*\})\r?\n", 120)[1])
    assert said["files"] is None
    assert said["acpi"] is None


def by_qemu(kernel, initrd, *options) -> dict:
    """The report of a guest that QEMU's own -kernel started."""
    command = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-m", "512", "-nodefaults"]
    # TCG's CMPXCHG16B makes boots fail, see docs/engines.md.
    command += ["-cpu", "max,cx16=off", "-display", "none", "-serial", "stdio", "-no-reboot"]
    command += ["-kernel", kernel, "-initrd", initrd, *options]
    result = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    said = parse(result.stdout)
    assert said["files"] == sums(PAYLOAD)
    assert bytes.fromhex(said["boot_params"])[0x210] == 0xB0  # type_of_loader: QEMU
    return said


def test_setup_data_that_another_loader_gave(kernels, tmp_path):
    """QEMU appends a file to the kernel, as a node of the type SETUP_DTB."""
    data = random.Random(2).randbytes(5000)
    (tmp_path / "dtb").write_bytes(data)
    path = initrd(tmp_path / "initrd", KERNELS[0], PAYLOAD)
    options = ("-append", LINE, "-dtb", tmp_path / "dtb")
    said = by_qemu(kernels[KERNELS[0]], path, *options)
    assert said["setup_data"] == [{"type": 2, "data": data.hex()}]


def test_a_framebuffer_that_firmware_set_up(kernels, tmp_path):
    """A VESA mode of SeaBIOS, which Linux's 16-bit code switched to: 1024x768, 16 bits."""
    path = initrd(tmp_path / "initrd", "6.12-full", PAYLOAD)
    options = ("-append", f"vga=791 {LINE}", "-vga", "std")
    assert by_qemu(kernels["6.12-full"], path, *options)["framebuffer"] == {
        "name": "VESA VGA",
        "virtual_size": "1024,768",
        "bits_per_pixel": "16",
        "stride": "2048",
    }
