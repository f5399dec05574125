"""Media for the loaders: FAT disks, ISO images, an initramfs that does a kexec."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

from initramfs import Archive, busybox

MODULES = Path("/usr/lib/syslinux/modules")
_MTOOLS = os.environ | {"MTOOLS_SKIP_CHECK": "1"}


def run(*command: str | Path) -> None:
    """Run a tool; its own words are in the failure."""
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=_MTOOLS
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def fat(target: Path, files: dict[str, Path | str | bytes]) -> Path:
    """A FAT file system on a disk without partitions, with these files or contents."""
    content = {
        name: file if isinstance(file, Path) else _written(target, name, file)
        for name, file in files.items()
    }
    size = sum(file.stat().st_size for file in content.values())
    mib = (size >> 20) + 34  # less than 33 is no FAT32
    with target.open("wb") as disk:
        disk.truncate(mib << 20)
    run("mformat", "-i", target, "-F", "-h", "64", "-s", "32", "-T", str(mib << 11), "::")
    folders = {str(parent) for name in content for parent in Path(name).parents} - {"."}
    for folder in sorted(folders):
        run("mmd", "-i", target, f"::/{folder}")
    for name, file in content.items():
        run("mcopy", "-i", target, file, f"::/{name}")
    return target


def iso(
    target: Path, boot: str, files: dict[str, Path | str], *options: str, sectors: int = 4
) -> Path:
    """An ISO image whose El Torito entry, without emulation, is the file called `boot`.

    :param sectors: how many of the file's, of 512 bytes, the BIOS loads
    """
    content = {
        name: file if isinstance(file, Path) else _written(target, name, file)
        for name, file in files.items()
    }
    run(
        *("xorriso", "-as", "mkisofs", "-quiet", "-o", target, "-graft-points"),
        *("-b", boot, "-c", "boot.cat", "-no-emul-boot", "-boot-load-size", str(sectors)),
        *options,
        *(f"{name}={file}" for name, file in content.items()),
    )
    return target


def _written(target: Path, name: str, content: str | bytes) -> Path:
    path = target.with_name(f"{target.name}-{name.replace('/', '-')}")
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


KEXEC_INIT = """\
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
echo "kexec: {command}"
if {command}; then
  kexec -e -x
fi
echo "no-way-on"
poweroff -f
"""


def kexec_initrd(target: Path, kexec: Path, command: str, files: dict[str, Path]) -> Path:
    """An initramfs whose init runs a kexec command, and then jumps."""
    made = Archive().file("/init", KEXEC_INIT.format(command=command), 0o755)
    for folder in ("/proc", "/sys", "/dev"):
        made.directory(folder)
    made.character_device("/dev/console", 5, 1)
    busybox(made, ("sh", "mount", "echo", "poweroff"))
    made.file("/bin/kexec", kexec.read_bytes(), 0o755)
    told = subprocess.run(["ldd", kexec], capture_output=True, text=True, check=True).stdout
    assert "not found" not in told, told
    for library in map(Path, re.findall(r"(/\S+) \(0x", told)):
        made.file(f"/lib/{library.name}", library.read_bytes(), 0o755)
        if library.name.startswith("ld-linux"):
            made.file(str(library), library.read_bytes(), 0o755)
    for name, file in files.items():
        made.file(f"/{name}", file.read_bytes())
    target.write_bytes(made.cpio())
    return target


def quoted(*words: str) -> str:
    """A shell command."""
    return shlex.join(words)
