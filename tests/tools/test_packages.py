"""What counts as there, and what is said when it is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import packages

SCRIPT = Path(packages.__file__)
PROGRAMS = (
    "qemu-system-x86_64", "busybox", "gcc", "readelf", "objdump", "iasl", "acpiexec", "cpio",
    "file", "gzip", "bzip2", "xz", "lzop", "lz4", "zstd", "grub-file", "grub-mkrescue",
    "grub-mkimage", "xorriso", "mformat", "syslinux",
)  # fmt: skip


def run(*arguments, path=None):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | ({"PATH": str(path)} if path else {}),
    )


@pytest.fixture
def without(tmp_path):
    """A path with all the programs but the named ones, and without apt."""

    def path(*absent):
        for name in PROGRAMS:
            if name not in absent:
                (tmp_path / name).symlink_to(shutil.which(name))
        return tmp_path

    return path


@pytest.mark.parametrize("purpose", ["demo", "test"])
def test_all_is_there_and_nothing_is_said(purpose):
    result = run(purpose)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("purpose", ["demo", "test"])
def test_a_program_counts_whoever_installed_it(without, purpose):
    result = run(purpose, path=without())
    assert (result.returncode, result.stdout) == (0, "")


def test_without_apt_it_says_what_to_install_by_hand(without):
    result = run("test", path=without("cpio", "objdump", "busybox", "grub-file"))
    assert result.returncode == 3
    assert result.stdout.splitlines() == [
        "packages: missing a static busybox (the guest's user space): busybox-static",
        "packages: missing readelf and objdump (the tests' judges of ELF files): binutils",
        "packages: missing cpio (the tests' judge of archives): cpio",
        "packages: missing grub-file, grub-mkrescue and grub-mkimage (make and judge boot images): "
        "grub-common",
        "To install by hand:",
        "  Debian, Ubuntu: apt-get install busybox-static binutils cpio grub-common",
        "  Fedora:         dnf install busybox binutils cpio grub2-tools-extra",
        "  Arch:           pacman -S busybox binutils cpio grub",
        "  openSUSE:       zypper install busybox-static binutils cpio grub2",
    ]


def test_the_demo_needs_no_compiler(without):
    assert run("demo", path=without("gcc", "cpio", "file", "xorriso")).returncode == 0


def test_a_dry_run_installs_nothing(without):
    path = without("cpio")
    (path / "apt-get").symlink_to(shutil.which("apt-get"))
    result = run("test", "--dry-run", path=path)
    assert result.returncode == 3
    assert "will install" not in result.stdout


def test_static_is_what_readelf_calls_so(tmp_path):
    (tmp_path / "x.c").write_text("int main(void) { return 0; }\n")
    for name, option in (("static", "-static"), ("dynamic", "-no-pie"), ("pie", "-pie")):
        gcc = ["gcc", option, "-o", tmp_path / name, tmp_path / "x.c"]
        subprocess.run(gcc, check=True)
    files = [tmp_path / name for name in ("static", "dynamic", "pie")]
    files += [Path(shutil.which(name)) for name in ("busybox", "cpio")]
    verdicts = []
    for path in files:
        headers = subprocess.run(["readelf", "-lW", path], check=True, capture_output=True)
        verdicts.append(b"INTERP" not in headers.stdout)
        assert packages.is_static(path) is verdicts[-1]
    assert verdicts[:3] == [True, False, False]


def test_a_script_is_no_static_program(tmp_path):
    script = tmp_path / "busybox"
    script.write_text("#!/bin/sh\n")
    assert not packages.is_static(script)
