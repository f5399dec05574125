"""Disks and CD-ROMs started by firmware: as the protocols say that they are entered."""

from __future__ import annotations

import re
import subprocess

import pytest

import hvmlite
from engines.raw_guests import TCG
from engines.test_firmware import plan as bios_plan
from hvmlite.engines import qemu
from hvmlite.errors import RequestError
from hvmlite.model import Disk, Ending

pytestmark = pytest.mark.boot

# Says its registers on the serial port, and leaves. CALL pushes IP, so that it shows as well.
TELL = """
.code16
    call 1f
1:  pushf
    push %sp; push %ss; push %ds; push %es; push %fs; push %gs; push %cs
    push %dx; push %cx; push %bx; push %ax
    mov %sp, %bp
    mov $0x40, %al          # the mark: @
    call put
    xor %si, %si
2:  mov (%bp,%si), %al
    call put
    inc %si
    cmp $26, %si
    jb 2b
    mov $0xf4, %dx
    xor %eax, %eax
    out %eax, %dx
3:  jmp 3b
put:
    push %ax
    mov $0x3fd, %dx
4:  in %dx, %al
    test $0x20, %al
    jz 4b
    pop %ax
    mov $0x3f8, %dx
    push %ax
    shr $4, %al
    call digit
    pop %ax
    and $15, %al
digit:
    add $0x41, %al          # A to P
    out %al, %dx
5:  push %ax
    mov $0x3fd, %dx
6:  in %dx, %al
    test $0x20, %al
    jz 6b
    mov $0x3f8, %dx
    pop %ax
    ret
.org 510
.byte 0x55, 0xaa
"""
NAMES = ("ax", "bx", "cx", "dx", "cs", "gs", "fs", "es", "ds", "ss", "sp", "flags", "ip")


@pytest.fixture(scope="module")
def sector(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sector")
    (folder / "tell.s").write_text(TELL)
    subprocess.run(["as", "--32", "-o", folder / "tell.o", folder / "tell.s"], check=True)
    command = ["objcopy", "-O", "binary", "-j", ".text", folder / "tell.o", folder / "tell"]
    subprocess.run(command, check=True)
    return (folder / "tell").read_bytes()


def told(path):
    """The registers that the boot sector says, and the plan's."""
    with hvmlite.run(path) as guest:
        text = guest.expect("EA([A-P]{52})", timeout=60)[1]
        outcome = guest.wait(60)
    assert outcome.kind is Ending.EXITED
    data = bytes((a - 65) << 4 | b - 65 for a, b in zip(text[::2], text[1::2], strict=True))
    words = [int.from_bytes(data[i : i + 2], "little") for i in range(0, 26, 2)]
    found = dict(zip(NAMES, words, strict=True))
    found["ip"] -= 3  # the CALL
    found["sp"] += 4  # what CALL and PUSHF took
    return found, guest.plan


def compare(found, plan):
    cpu = plan.cpu
    assert plan.protocol == "bios"
    assert plan.pieces == ()
    assert (found["cs"] << 4) + found["ip"] == cpu.rip
    for name in ("ax", "bx", "cx", "dx"):
        assert found[name] == getattr(cpu, f"r{name}"), name
    for sp in (found["sp"], cpu.rsp):  # SeaBIOS's own stack (BUILD_STACK_ADDR), not used up
        assert 0x6E00 < sp < 0x7000
    for name in ("cs", "ds", "es", "fs", "gs", "ss"):
        assert found[name] == getattr(cpu, name).selector, name
    assert found["flags"] & 0x0AD5 | 2 == cpu.rflags & 0x0AD5 | 2  # the arithmetic flags and IF


def test_a_hard_disk_is_entered_as_the_plan_says(tmp_path, sector):
    path = tmp_path / "disk"
    path.write_bytes(sector.ljust(1 << 20, b"\0"))
    compare(*told(path))


@pytest.mark.parametrize(
    ("size", "options"), [(2048, ["-no-emul-boot", "-boot-load-size", "4"]), (1440 << 10, [])]
)
def test_a_cdrom_is_entered_as_the_plan_says(tmp_path, sector, size, options):
    (tree := tmp_path / "tree").mkdir()
    (tree / "boot.bin").write_bytes(sector.ljust(size, b"\0"))
    path = tmp_path / "cd.iso"
    command = ["xorriso", "-as", "mkisofs", "-quiet", "-b", "boot.bin", *options]
    command += ["-o", path, tree]
    subprocess.run(command, check=True, capture_output=True)
    compare(*told(path))


@pytest.mark.parametrize(("size", "starts"), [(16 * 63 * 512 - 512, False), (16 * 63 * 512, True)])
def test_the_least_disk_that_seabios_reads(tmp_path, sector, size, starts):
    path = tmp_path / "disk"
    path.write_bytes(sector.ljust(size, b"\0"))
    if starts:
        told(path)
        return
    with pytest.raises(RequestError, match="SeaBIOS cannot read a smaller hard disk") as caught:
        hvmlite.plan(path, protocol="bios")
    assert "truncate -s 1M" in caught.value.hint
    # and so it is: what the refusal keeps from being started is not started
    with qemu.start(bios_plan(Disk(str(path))), TCG) as session:
        session.console.expect("could not read the boot disk", 60)


@pytest.mark.parametrize(
    ("firmware", "platform"), [(None, "pc"), ("seabios", "pc"), ("ovmf", "efi")]
)
def test_grubs_rescue_cdrom(images, firmware, platform):
    path = images["grub-rescue"] / "rescue.iso"
    with hvmlite.run(path, firmware=firmware) as guest:
        guest.expect(f"grub-rescue: GRUB started on {platform}", timeout=180)
        outcome = guest.wait(60)
    assert outcome.kind is Ending.SHUTDOWN
    assert guest.plan.protocol == ("efi" if platform == "efi" else "bios")


def test_what_is_asked_for_is_listed_as_dropped(images, tmp_path):
    (tmp_path / "module").write_bytes(b"x")
    path = images["grub-rescue"] / "rescue.iso"
    plan = hvmlite.plan(path, cmdline="quiet", initrds=[tmp_path / "module"])
    assert [item.field for item in plan.dropped] == ["cmdline", "modules"]
    assert re.search("hands over nothing but a drive", plan.dropped[0].reason)
