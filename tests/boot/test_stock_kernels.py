"""Stock Debian kernels, from the bzImage and from the vmlinux in it, compared with the plan."""

from __future__ import annotations

import subprocess

import pytest

import hvmlite
from boot.agreement import agrees
from boot.reporter import QUICK, boot

pytestmark = pytest.mark.boot
KERNELS = ("6.1-cloud", "6.12-cloud", "6.1-full", "6.1-686-pae")


def extracted(kernel, tmp_path):
    vmlinux = tmp_path / "vmlinux"
    vmlinux.write_bytes(hvmlite.open_image(kernel).payload.image.data)
    told = subprocess.run(["readelf", "-h", vmlinux], capture_output=True, text=True, check=True)
    assert "EXEC (Executable file)" in told.stdout
    return vmlinux


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("form", ["bzImage", "vmlinux"])
def test_a_stock_kernel_agrees_with_the_plan(kernels, initrds, tmp_path, name, form):
    path = kernels[name] if form == "bzImage" else extracted(kernels[name], tmp_path)
    plan, report = boot(path, [initrds.of(name)])
    agrees(plan, report, initrds.payload)
    stated = dict(hvmlite.open_image(kernels[name]).facts)["kernel version"]
    assert stated.split()[0] == report.release
    assert plan.protocol == "pvh"
    assert plan.dropped == ()


@pytest.mark.parametrize("name", ["6.1-cloud", "6.12-cloud"])
def test_two_processors(kernels, initrds, name):
    plan, report = boot(kernels[name], [initrds.of(name)], cpus=2)
    assert report["cpus"].strip() == "2"
    agrees(plan, report, initrds.payload)


def test_without_acpi_interrupts_come_through_the_8259s(kernels, initrds):
    """Firmware would have left the local APIC in virtual wire mode; the reset ROM does."""
    line = f"console=ttyS0 {QUICK} acpi=off"
    with hvmlite.run(
        kernels["6.12-cloud"], initrds=[initrds.of("6.12-cloud")], cmdline=line
    ) as guest:
        guest.expect("@done", timeout=60)
