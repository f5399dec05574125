"""Machines with firmware: what SeaBIOS and OVMF find, and what stays as it was."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from engines.raw_guests import TCG
from hvmlite.engines import _arguments, _firmware, qemu, record
from hvmlite.errors import EngineUnavailable, RequestError
from hvmlite.model import BootInfo, CpuState, Disk, Ending, GuestPlan

MIB = 1 << 20
SECTOR = 512


def boot_sector(code: bytes) -> bytes:
    """A sector that SeaBIOS starts at 0000:7C00, and a second one."""
    return code.ljust(510, b"\0") + b"\x55\xaa" + b"second".ljust(SECTOR, b"\0")


def leave_by(value: bytes) -> bytes:
    """16-bit code: EAX = zero-extended AL from `value` code; OUT 0xF4."""
    return value + b"\x66\x0f\xb6\xc0\xba\xf4\x00\x66\xef\xeb\xfe"


# mov ax, 0x0301; mov cx, 2; mov dh, 0; mov bx, 0x7c00; int 0x13: write this sector over the second;
# setc al; shr dl, 1; or al, dl: half the drive if all went well, QEMU has seven bits for it
WRITE = bytes.fromhex("b80103 b90200 b600 bb007c cd13 0f92c0 d0ea 08d0")


def plan(*disks: Disk, firmware: str = "seabios", memory: int = 64 * MIB) -> GuestPlan:
    machine = qemu.machine(memory, 1, disks, firmware)
    return GuestPlan("firmware", machine, CpuState(), (), BootInfo())


def disk(folder: Path, content: bytes) -> Path:
    path = folder / "disk,1.img"  # a comma, which separates QEMU's options
    path.write_bytes(content.ljust(MIB, b"\0"))
    return path


@pytest.mark.boot
@pytest.mark.parametrize(
    ("access", "changed"),
    [
        ({"read_only": False}, True),
        ({"read_only": False, "snapshot": True}, False),
        ({"read_only": True, "snapshot": True}, False),
    ],
)
def test_seabios_starts_the_first_disk(tmp_path, access, changed):
    path = disk(tmp_path, boot_sector(leave_by(WRITE)))
    before = path.read_bytes()
    with qemu.start(plan(Disk(str(path), **access)), TCG) as session:
        outcome = session.wait(60)
        text = session.console.text()
    assert (outcome.kind, outcome.status) == (Ending.EXITED, 0x40), text
    assert "SeaBIOS" in text
    assert (path.read_bytes() != before) is changed
    assert path.read_bytes()[SECTOR : SECTOR + 2] == (before[:2] if changed else b"se")


@pytest.mark.boot
def test_a_guest_cannot_write_to_a_disk_that_is_read_only(tmp_path):
    path = disk(tmp_path, boot_sector(leave_by(WRITE)))
    before = path.read_bytes()
    with qemu.start(plan(Disk(str(path))), TCG) as session:
        outcome = session.wait(60)
    assert (outcome.kind, outcome.status) == (Ending.EXITED, 0x41)  # CF, from drive 80h
    assert path.read_bytes() == before


@pytest.mark.boot
@pytest.mark.parametrize("name", [b"nbd:x", b"json:{}", b"new\nline", b'q"', b"\xff\xfe"])
@pytest.mark.parametrize("snapshot", [False, True])
def test_a_disk_may_have_any_name(tmp_path, monkeypatch, name, snapshot):
    monkeypatch.chdir(tmp_path)
    path = os.fsdecode(name)  # relative: nothing before it says that it is a path
    Path(path).write_bytes(boot_sector(leave_by(b"\xb0\x05")).ljust(MIB, b"\0"))
    with qemu.start(plan(Disk(path, snapshot=snapshot)), TCG) as session:
        assert session.wait(60).status == 5


@pytest.mark.parametrize("snapshot", [False, True])
@pytest.mark.parametrize("block", [False, True])
def test_how_a_disk_is_opened(tmp_path, monkeypatch, snapshot, block):
    """QEMU's `file` refuses block devices; a full file system must not stop the guest for good."""
    monkeypatch.setattr(Path, "is_block_device", lambda _: block)
    made = plan(Disk(str(disk(tmp_path, b"")), snapshot=snapshot)).machine
    words = _arguments.arguments(made, TCG, "tcg", _arguments.Descriptors(3, 4, 5, 6))
    assert ("file.driver=host_device" in " ".join(words)) is block
    assert words[-1] == "virtio-blk-pci,drive=disk0,werror=report,bootindex=0"


@pytest.mark.boot
def test_the_first_disk_goes_before_others(tmp_path):
    first = disk(tmp_path, boot_sector(leave_by(b"\xb0\x05")))  # mov al, 5
    second = tmp_path / "second"
    second.write_bytes(boot_sector(leave_by(b"\xb0\x06")))
    with qemu.start(plan(Disk(str(first)), Disk(str(second))), TCG) as session:
        assert session.wait(60).status == 5


@pytest.mark.boot
def test_seabios_starts_a_cdrom(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "boot.bin").write_bytes(boot_sector(leave_by(b"\xb0\x07")))
    iso = tmp_path / "cd.iso"
    command = ["xorriso", "-as", "mkisofs", "-quiet", "-b", "boot.bin", "-no-emul-boot"]
    command += ["-boot-load-size", "4", "-o", str(iso), str(tmp_path / "tree")]
    subprocess.run(command, check=True, capture_output=True)
    with qemu.start(plan(Disk(str(iso), cdrom=True)), TCG) as session:
        outcome = session.wait(60)
    assert (outcome.kind, outcome.status) == (Ending.EXITED, 7)


@pytest.mark.boot
def test_ovmf_looks_at_the_first_disk(tmp_path):
    path = disk(tmp_path, b"")
    with qemu.start(plan(Disk(str(path)), firmware="ovmf", memory=256 * MIB), TCG) as session:
        session.console.expect(r"BdsDxe: .*UEFI Misc Device", 120)


@pytest.mark.boot
def test_seabios_without_a_disk_says_so():
    with qemu.start(plan(), TCG) as session:
        session.console.expect("No bootable device", 60)


def test_a_cdrom_drive_needs_firmware(tmp_path):
    path = disk(tmp_path, b"")
    for engine in (qemu, record):
        with pytest.raises(RequestError, match="a machine with firmware needed"):
            engine.machine(64 * MIB, 1, (Disk(str(path), cdrom=True),))


@pytest.mark.parametrize("engine", [qemu, record])
def test_an_unknown_firmware(engine):
    with pytest.raises(RequestError, match="firmware coreboot: not known, one of seabios, ovmf"):
        engine.machine(64 * MIB, 1, (), "coreboot")


# How a UEFI is found


def described(folder: Path, name: str, **changes) -> Path:
    """A firmware that is there, and its description with some members changed."""
    folder.mkdir(exist_ok=True)
    code, variables = folder / f"{name}.code", folder / f"{name}.vars"
    code.touch()
    variables.touch()
    document = {
        "interface-types": ["uefi"],
        "mapping": {
            "device": "flash",
            "executable": {"filename": str(code), "format": "raw"},
            "nvram-template": {"filename": str(variables), "format": "raw"},
        },
        "targets": [{"architecture": "x86_64", "machines": ["pc-i440fx-*", "pc-q35-*"]}],
        "features": ["acpi-s3"],
    }
    (folder / f"{name}.json").write_text(json.dumps(document | changes))
    return code


def test_the_first_plain_uefi_is_taken(tmp_path):
    described(tmp_path, "10", features=["secure-boot", "requires-smm"])
    described(tmp_path, "11", targets=[{"architecture": "aarch64", "machines": ["virt-*"]}])
    described(tmp_path, "12", targets=[{"architecture": "x86_64", "machines": ["microvm"]}])
    described(tmp_path, "13", **{"interface-types": ["bios"]})
    described(tmp_path, "14", mapping={"device": "memory", "filename": "x"})
    described(tmp_path, "15").unlink()
    (tmp_path / "16.json").write_text("{")
    (tmp_path / "17.json").write_bytes(b"\xff\xfe\0")
    (tmp_path / "18.json").write_text("[" * 100_000)
    (tmp_path / "19.json").write_text("null")
    wanted = described(tmp_path, "20")
    described(tmp_path, "30")
    assert _firmware.find_ovmf([tmp_path]).code == wanted


def test_a_description_of_the_administrator_goes_before_the_packages(tmp_path):
    described(tmp_path / "packages", "20")
    wanted = described(tmp_path / "etc", "20")
    assert _firmware.find_ovmf([tmp_path / "etc", tmp_path / "packages"]).code == wanted


def test_no_uefi_at_all(tmp_path):
    with pytest.raises(EngineUnavailable, match="none of 0 firmware descriptions") as caught:
        _firmware.find_ovmf([tmp_path])
    assert "apt-get install ovmf" in caught.value.hint
