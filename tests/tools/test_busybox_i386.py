"""The i386 guests' busybox: fetched for real by `make test`, here from an archive that we make."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import busybox_i386 as tool
from makers import debian
from private_apt import AptError, running_release

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def etc_apt(tmp_path):
    """An /etc/apt whose only mirror has busybox-static for two architectures."""
    archive = tmp_path / "archive"
    archive.mkdir()
    debs = [
        debian.package(
            archive,
            {"Package": "busybox-static", "Version": "1.35", "Architecture": architecture},
            {"bin/busybox": architecture.encode(), "usr/share/doc/busybox": b"not this"},
        )
        for architecture in ("amd64", "i386")
    ]
    debian.suite(archive, running_release(), debs, ["amd64", "i386"])
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "sources.list").write_text(
        f"deb [trusted=yes allow-insecure=yes] file:{archive} {running_release()} main\n"
    )
    return tmp_path / "etc"


def test_the_other_architecture_s_file_is_fetched_once(etc_apt, tmp_path, monkeypatch):
    build = tmp_path / "build"
    tool.fetch(build, etc_apt)
    assert (build / "busybox-i386").read_bytes() == b"i386"
    assert sorted(path.name for path in build.iterdir()) == ["apt", "busybox-i386", "kernels"]
    monkeypatch.setenv("PATH", "")
    tool.fetch(build, etc_apt)


def test_an_archive_without_it(etc_apt, tmp_path):
    (tmp_path / "archive/dists" / running_release() / "main/binary-i386/Packages").write_text("")
    with pytest.raises(AptError, match="busybox-static:i386 is not found: Failed to fetch"):
        tool.fetch(tmp_path / "build", etc_apt)
    assert not (tmp_path / "build" / "busybox-i386").exists()


def test_the_real_one_is_a_static_i386_program():
    result = subprocess.run(
        ["file", ROOT / "build" / "busybox-i386"], check=True, capture_output=True, text=True
    )
    assert "ELF 32-bit LSB executable, Intel 80386" in result.stdout
    assert "statically linked" in result.stdout
