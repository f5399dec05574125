"""The media that GRUB's tools make, started by real firmware on a plain QEMU."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import boot_media as tool
from packages import OVMF
from private_apt import AptError

MEDIA = {
    "disk": "-drive if=none,id=m,format=raw,readonly=on,file={} -device virtio-blk-pci,drive=m",
    "cd": "-drive if=none,id=m,media=cdrom,readonly=on,file={} -device ide-cd,drive=m",
    "scsi-cd": "-drive if=none,id=m,media=cdrom,readonly=on,file={} "
    "-device virtio-scsi-pci -device scsi-cd,drive=m",
}


def serial(iso, medium, firmware="seabios", memory=256):
    """What the machine says until the guest turns it off."""
    # without CX16 for the reason in docs/engines.md
    machine = "-M q35,graphics=off -accel tcg,thread=single -cpu max,-cx16 -nodefaults"
    command = ["qemu-system-x86_64", *machine.split(), "-display", "none", "-no-reboot"]
    command += ["-m", str(memory), "-serial", "stdio", *MEDIA[medium].format(iso).split()]
    if firmware == "ovmf":
        code = next(path for path in OVMF if Path(path).is_file())
        command += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}"]
    said = subprocess.run(command, capture_output=True, timeout=180, stdin=subprocess.DEVNULL)
    assert said.returncode == 0, said.stderr
    return said.stdout.decode("latin-1")


@pytest.mark.boot
@pytest.mark.parametrize("medium", MEDIA)
@pytest.mark.parametrize(("firmware", "platform"), [("seabios", "pc"), ("ovmf", "efi")])
def test_the_rescue_iso_starts_and_turns_the_machine_off(images, medium, firmware, platform):
    text = serial(images["grub-rescue"] / "rescue.iso", medium, firmware)
    assert f"grub-rescue: GRUB started on {platform}" in text
    assert "error: file" not in text  # a module that GRUB missed


@pytest.mark.boot
def test_the_linux_iso_reports_and_turns_the_machine_off(images):
    text = serial(images["grub-linux"] / "linux.iso", "disk")
    assert "GNU GRUB" in text
    assert "platform      bare hardware" in text
    assert text.rstrip().endswith("reboot: Power down")


@pytest.mark.boot
def test_files_are_on_an_iso_under_their_paths(tmp_path):
    (tmp_path / "some file").write_bytes(b"content")
    tool.iso(tmp_path / "x.iso", "cat /a/b\nhalt\n", {"a/b": tmp_path / "some file"})
    assert "content" in serial(tmp_path / "x.iso", "disk")


def test_a_tool_that_fails_says_why(tmp_path):
    with pytest.raises(AptError, match=r"grub-mkrescue failed \(\d+\), it says: "):
        tool.iso(tmp_path / "no such folder" / "x.iso", "halt\n")


def test_the_pvh_image_is_a_pvh_image(images):
    run = ["readelf", "--notes", "--wide", images["grub-pvh"] / "grub.elf"]
    told = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert "Xen                  0x00000004\tUnknown note type: (0x00000012)" in told
