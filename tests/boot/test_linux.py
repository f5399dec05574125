"""Real Debian kernels, from the bzImage and from the vmlinux in it, compared with the plan."""

from __future__ import annotations

import random
import re
import subprocess

import pytest

import hvmlite
from boot.reporter import Report, archive, sha256
from hvmlite.errors import PlacementError, RequestError
from hvmlite.guest.memory import PlanMemory
from hvmlite.model import Ending, Kind

pytestmark = pytest.mark.boot
KERNELS = ("6.1-cloud", "6.12-cloud", "6.1-full", "6.1-686-pae")
LINE = 'console=ttyS0 panic=-1 hvmlite.test="a b" -- --argument'
PAYLOAD = {f"part-{n}": random.Random(n).randbytes(size) for n, size in enumerate((0, 1, 4097))}
LEGACY = (0xA0000, 0x100000, 2)
"""What Linux's PVH entry adds to the map by itself (arch/x86/platform/pvh/enlighten.c)."""


@pytest.fixture(scope="module")
def initrd(tmp_path_factory):
    path = tmp_path_factory.mktemp("initrd") / "initrd.gz"
    path.write_bytes(archive(PAYLOAD).gzip())
    return path


def boot(image, initrds=(), *, timeout=120, **options):
    options.setdefault("cmdline", LINE)
    with hvmlite.run(image, initrds=initrds, **options) as guest:
        outcome = guest.wait(timeout)
        text = guest.console.text()
    assert outcome.kind is Ending.SHUTDOWN, f"{outcome}\n{text[-3000:].decode(errors='replace')}"
    return guest.plan, Report.parse(text)


def extracted(kernel, tmp_path):
    vmlinux = tmp_path / "vmlinux"
    vmlinux.write_bytes(hvmlite.open_image(kernel).payload.image.data)
    told = subprocess.run(["readelf", "-h", vmlinux], capture_output=True, text=True, check=True)
    assert "EXEC (Executable file)" in told.stdout
    return vmlinux


def agrees(plan, report, image):
    """Every field that the guest can see equals the plan's."""
    page, info = report.boot_params, plan.boot_info
    assert report["cmdline"].rstrip("\n").encode() == info.cmdline
    assert page[0x210] == 0xB0, "type_of_loader of Linux's PVH entry off Xen"
    assert int.from_bytes(page[0x206:0x208], "little") == 0x20C
    assert int.from_bytes(page[0x228:0x22C], "little") == plan.address_of("command line")
    assert int.from_bytes(page[0x218:0x21C], "little") == plan.address_of("initrd")
    assert int.from_bytes(page[0x21C:0x220], "little") == len(info.modules[0].data)
    told = [(each.start, each.end, int(each.type)) for each in info.memory_map]
    assert report.e820 in (told, [*told, LEGACY])
    for name, content in PAYLOAD.items():
        assert report.sums[name] == sha256(content)
    rsdp = re.search(r"ACPI: RSDP 0x([0-9A-F]{16})", report["dmesg"])
    assert int(rsdp[1], 16) == info.rsdp
    assert f"Linux version {report['release'].strip()}" in report["dmesg"]
    assert dict(image.facts)["kernel version"].split()[0] == report["release"].strip()


def iomem_agrees(plan, report):
    """Linux shows the plan's RAM, its own page 0 and the kernel where the plan put them."""
    ram = [(low, high) for low, high, name in report.iomem if name == "System RAM"]
    planned_ram = [each for each in plan.boot_info.memory_map if each.type == 1]
    for low, high in ram:
        assert any(each.start <= low and high <= each.end for each in planned_ram)
    planned = sum(each.size for each in planned_ram)
    shown = sum(high - low for low, high in ram)
    assert planned - shown <= 3 * 4096, "all planned RAM but page 0 and rounding is used"
    (code,) = [low for low, _, name in report.iomem if name.strip() == "Kernel code"]
    kernel = [piece for piece in plan.pieces if piece.kind is Kind.KERNEL]
    assert min(piece.start for piece in kernel) <= code < max(piece.end for piece in kernel)


def acpi_agrees(plan, report):
    """Every table that the guest found has the bytes of the plan, byte for byte."""
    memory = PlanMemory(plan)
    lines = re.findall(r"ACPI: (\w{4}) 0x([0-9A-F]{16}) ([0-9A-F]{6}) \(v", report["dmesg"])
    assert {"FACP", "APIC", "DSDT"} <= {name for name, _, _ in lines}
    for name, address, length in lines:
        if name in report.sums:
            table = memory.read(int(address, 16), int(length, 16))
            assert sha256(table) == report.sums[name], name
    assert "ACPI BIOS" not in report["dmesg"]
    assert "ACPI Error" not in report["dmesg"]


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("form", ["bzImage", "vmlinux"])
def test_stock_kernel_agrees_with_the_plan(kernels, initrd, tmp_path, name, form):
    image = hvmlite.open_image(kernels[name])
    path = kernels[name] if form == "bzImage" else extracted(kernels[name], tmp_path)
    plan, report = boot(path, [initrd], cpus=2)
    agrees(plan, report, image)
    iomem_agrees(plan, report)
    acpi_agrees(plan, report)
    assert report["cpus"].strip() == "2"


@pytest.mark.parametrize("name", ["6.1-cloud", "6.12-cloud"])
def test_boots_in_the_least_memory_that_it_asks_for(kernels, initrd, name):
    with pytest.raises(PlacementError) as caught:
        hvmlite.plan(kernels[name], initrds=[initrd], cmdline=LINE, memory=32 << 20)
    least = int(re.match(r"(\d+) MiB of RAM is the least", caught.value.hint)[1]) << 20
    with pytest.raises(PlacementError):
        hvmlite.plan(kernels[name], initrds=[initrd], cmdline=LINE, memory=least - (1 << 20))
    boot(kernels[name], [initrd], memory=least)


@pytest.mark.parametrize("memory", [2 << 30, 3 << 30, (4 << 30) + (1 << 20), 8 << 30])
def test_memory_up_to_and_above_4_gib(kernels, initrd, memory):
    plan, report = boot(kernels["6.12-cloud"], [initrd], memory=memory)
    iomem_agrees(plan, report)
    total = int(re.search(r"MemTotal:\s+(\d+) kB", report["meminfo"])[1]) << 10
    assert memory * 0.95 - (64 << 20) < total < memory
    ram = [(low, high) for low, high, name in report.iomem if name == "System RAM"]
    above = sum(high - low for low, high in ram if low >= 1 << 32)
    assert above == sum(b.size for b in plan.machine.ram if b.start >= 1 << 32)


def test_initrd_of_64_mib(kernels, tmp_path):
    path = tmp_path / "large"
    content = random.Random(64).randbytes(64 << 20)
    path.write_bytes(archive({"large": content}).cpio())
    _, report = boot(kernels["6.12-cloud"], [path])
    assert report.sums["large"] == sha256(content)


def test_initrd_of_1_gib_is_placed(kernels, tmp_path):
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    plan = hvmlite.plan(kernels["6.12-cloud"], initrds=[path], memory=2 << 30)
    (piece,) = [piece for piece in plan.pieces if piece.name == "initrd"]
    assert piece.end - piece.start == 1 << 30
    assert piece.end <= 1 << 32


def test_longest_command_line(kernels, initrd):
    line = "console=ttyS0 panic=-1 " + "x" * 4096
    _, report = boot(kernels["6.12-cloud"], [initrd], cmdline=line[:2047])
    assert report["cmdline"].rstrip("\n") == line[:2047]
    with pytest.raises(RequestError, match="2048"):
        hvmlite.plan(kernels["6.12-cloud"], initrds=[initrd], cmdline=line[:2048])


def test_64_modules_do_not_disturb_linux(kernels, initrd, tmp_path):
    extra = []
    for number in range(63):
        path = tmp_path / str(number)
        path.write_bytes(bytes([number]) * (4096 * number + number))
        extra.append((path, f"module {number}"))
    plan, report = boot(kernels["6.12-cloud"], [initrd], modules=extra)
    agrees(plan, report, hvmlite.open_image(kernels["6.12-cloud"]))
    assert any(each.field.startswith("modules") for each in plan.dropped)


def test_boots_in_a_row(kernels, initrd, nightly):
    """No boot in a row hangs or fails: 200 in the nightly profile, two at a time; 20 in CI."""
    from concurrent.futures import ThreadPoolExecutor

    def one(_):
        return boot(kernels["6.12-cloud"], [initrd], timeout=60)[1]["release"]

    with ThreadPoolExecutor(2) as pool:
        releases = list(pool.map(one, range(200 if nightly else 20)))
    assert len(set(releases)) == 1
