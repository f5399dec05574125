"""Boot images by package name: the real apt, on a Debian archive that the test makes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import boot_images as tool
from makers import debian
from private_apt import AptError, running_release

SCRIPT = Path(tool.__file__)
XEN = {
    "boot/xen-4.17-amd64.gz": b"the hypervisor",
    "boot/xen-4.17-amd64.efi": b"the same for UEFI",
    "boot/xen-4.17-amd64.config": b"CONFIG_PV=y\n",
    "usr/share/doc/xen/README": b"not this",
}
INVADERS = {"boot/invaders.exec": b"a game", "etc/grub.d/22_invaders": b"not this"}
INSTALLER = "usr/lib/debian-installer/images/12/amd64/{}/debian-installer/amd64/{}"


def packages(archive):
    contents = {
        "xen-hypervisor-4.17-amd64": XEN,
        "grub-invaders": INVADERS,
        "tboot": {"boot/tboot.gz": b"without its symbols"},
        "debian-installer-12-netboot-amd64": {
            INSTALLER.format(kind, name): f"{kind} {name}".encode()
            for kind in ("gtk", "text")
            for name in ("linux", "initrd.gz")
        },
        "grub-xen-bin": {"usr/lib/grub/i386-xen_pvh/normal.mod": b"without its kernel"},
    }
    for name, files in contents.items():
        control = {"Package": name, "Version": "1.0", "Architecture": "amd64"}
        yield debian.package(archive, control, files)


@pytest.fixture
def etc_apt(tmp_path):
    """An /etc/apt with one mirror, a folder, that has some of the packages."""
    archive = tmp_path / "archive"
    archive.mkdir()
    debian.suite(archive, running_release(), list(packages(archive)), ["amd64"])
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "sources.list").write_text(
        f"deb [trusted=yes allow-insecure=yes] file:{archive} {running_release()} main\n"
    )
    return etc


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_each_name_has_its_files(etc_apt, tmp_path):
    build = tmp_path / "build dir"
    tool.fetch(["xen", "grub-invaders"], build, etc_apt)
    assert names_in(build / "images") == ["grub-invaders", "xen"]
    assert names_in(build / "images/xen") == ["config", "package.json", "xen.efi", "xen.gz"]
    assert (build / "images/xen/xen.gz").read_bytes() == b"the hypervisor"
    assert (build / "images/xen/xen.efi").read_bytes() == b"the same for UEFI"
    deb = tmp_path / "archive" / "xen-hypervisor-4.17-amd64_1.0_amd64.deb"
    assert json.loads((build / "images/xen/package.json").read_text()) == {
        "package": "xen-hypervisor-4.17-amd64",
        "version": "1.0",
        "architecture": "amd64",
        "sha256": hashlib.sha256(deb.read_bytes()).hexdigest(),
    }
    assert names_in(build / "images/grub-invaders") == ["invaders.exec", "package.json"]


def test_the_installer_is_the_text_one_and_on_an_iso(etc_apt, tmp_path):
    tool.fetch(["debian-netboot"], tmp_path, etc_apt)
    folder = tmp_path / "images/debian-netboot"
    assert (folder / "linux").read_bytes() == b"text linux"
    out = subprocess.run(
        ["xorriso", "-indev", folder / "netboot.iso", "-find", "/", "-type", "f"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert {"'/linux'", "'/initrd.gz'", "'/boot/grub/grub.cfg'"} <= set(out.split())


def test_the_second_call_calls_no_program(etc_apt, tmp_path, monkeypatch):
    tool.fetch(["xen"], tmp_path, etc_apt)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    tool.fetch(["xen"], tmp_path, etc_apt)
    with pytest.raises(AptError, match="apt-get is missing") as caught:
        tool.fetch(["xen", "grub-invaders"], tmp_path, etc_apt)
    assert caught.value.status == 3


def test_a_folder_without_one_of_its_files_is_made_anew(etc_apt, tmp_path):
    tool.fetch(["xen"], tmp_path, etc_apt)
    (tmp_path / "images/xen/xen.efi").unlink()
    (tmp_path / "images/xen/junk").touch()
    tool.fetch(["xen"], tmp_path, etc_apt)
    assert names_in(tmp_path / "images/xen") == ["config", "package.json", "xen.efi", "xen.gz"]


def test_a_package_without_one_of_the_files_leaves_nothing(etc_apt, tmp_path):
    with pytest.raises(AptError, match=r"tboot_1\.0_amd64\.deb: no tboot-syms can be taken"):
        tool.fetch(["grub-invaders", "tboot"], tmp_path, etc_apt)
    assert names_in(tmp_path / "images") == ["grub-invaders"]


def test_a_package_that_is_not_there(etc_apt, tmp_path):
    with pytest.raises(AptError, match=r"ipxe: ipxe is not found: no index has it") as caught:
        tool.fetch(["ipxe"], tmp_path, etc_apt)
    assert caught.value.status == 4


def test_a_tool_of_grub_that_fails_leaves_nothing(etc_apt, tmp_path):
    with pytest.raises(AptError, match=r"grub-mkimage failed \(1\), it says: .*cannot open"):
        tool.fetch(["grub-pvh"], tmp_path, etc_apt)
    assert names_in(tmp_path / "images") == []


def test_a_tool_of_grub_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    error = "grub-mkrescue is missing, run: python3 tools/packages.py test"
    with pytest.raises(AptError, match=error):
        tool.fetch(["grub-rescue"], tmp_path)
    assert names_in(tmp_path / "images") == []


def test_without_its_kernel_there_is_no_linux_iso(tmp_path):
    with pytest.raises(AptError, match=r"vmlinuz is missing, run: .*kernels\.py 6\.12-cloud"):
        tool.fetch(["grub-linux"], tmp_path)


def test_two_calls_at_once(etc_apt, tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r})\n"
        "from pathlib import Path; import boot_images\n"
        f"boot_images.fetch(['xen'], Path({str(tmp_path)!r}), Path({str(etc_apt)!r}))"
    )
    calls = [
        subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [call.communicate(timeout=60)[1] for call in calls]
    assert [call.returncode for call in calls] == [0, 0], said
    assert sum("fetching xen-hypervisor" in text for text in said) == 1


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


def test_the_script_knows_its_names(images):
    for name in tool.IMAGES:
        assert images[name].is_dir()  # the real ones, for all other tests
    result = run()
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    result = run("freedos")
    assert result.returncode == 2
    assert "unknown image 'freedos'" in result.stderr


def test_without_apt_the_script_advises(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, "BUILD", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as caught:
        tool.main(["xen"])
    assert caught.value.code == 3
    assert "build/images/<name>/ by hand" in capsys.readouterr().err
