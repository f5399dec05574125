"""Kernels by package name: the real apt, on a Debian archive that the test makes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import kernels as tool
from makers import debian
from private_apt import AptError, running_release

SCRIPT = Path(tool.__file__)
FULL = {"boot/vmlinuz-6.1.0-9-amd64": b"kernel 6.1", "boot/config-6.1.0-9-amd64": b"CONFIG_PVH=y\n",
        "lib/modules/6.1.0-9-amd64/x.ko": b"module"}  # fmt: skip


def make_kernel(archive, flavour, abi, version, architecture="amd64", files=None):
    image = f"linux-image-{abi}-{flavour}"
    files = files or {f"boot/vmlinuz-{abi}-{flavour}": f"kernel {image}".encode(),
                      f"boot/config-{abi}-{flavour}": b"CONFIG_PVH=y\n"}  # fmt: skip
    shared = {"Version": version, "Architecture": architecture}
    meta = {"Package": f"linux-image-{flavour}", "Depends": f"{image} (= {version})"}
    return [
        debian.package(archive, {"Package": image, **shared}, files),
        debian.package(archive, meta | shared, {}),
    ]


@pytest.fixture
def etc_apt(tmp_path):
    """An /etc/apt with one mirror, a folder, that has Debian 12 and its backports."""
    archive = tmp_path / "archive"
    archive.mkdir()
    debs = make_kernel(archive, "cloud-amd64", "6.1.0-9", "6.1.9-1")
    debs += make_kernel(archive, "amd64", "6.1.0-9", "6.1.9-1", files=FULL)
    debs += make_kernel(archive, "686-pae", "6.1.0-9", "6.1.9-1", "i386")
    debian.suite(archive, "bookworm", debs, ["amd64", "i386"])
    debs = make_kernel(archive, "cloud-amd64", "6.12.3+deb12", "6.12.3-1~bpo12+1")
    debian.suite(archive, "bookworm-backports", debs, ["amd64", "i386"])
    etc = tmp_path / "etc"
    (etc / "sources.list.d").mkdir(parents=True)
    (etc / "sources.list.d" / "debian.sources").write_text(stanza(archive, running_release()))
    return etc


def stanza(archive, suite):
    return (
        f"Types: deb\nURIs: file:{archive}\nSuites: {suite}\nComponents: main\n"
        "Trusted: yes\nAllow-Insecure: yes\n\n"
    )


def fetched(build, name):
    folder = build / "kernels" / name
    return (folder / "vmlinuz").read_bytes(), json.loads((folder / "package.json").read_text())


def test_each_name_is_the_kernel_that_it_says(etc_apt, tmp_path):
    build = tmp_path / "build dir"
    tool.fetch(["6.1-cloud", "6.12-cloud", "6.1-686-pae", "6.1-full"], build, etc_apt)
    kernel, origin = fetched(build, "6.1-cloud")
    assert kernel == b"kernel linux-image-6.1.0-9-cloud-amd64"
    deb = tmp_path / "archive" / "linux-image-6.1.0-9-cloud-amd64_6.1.9-1_amd64.deb"
    assert origin == {
        "package": "linux-image-6.1.0-9-cloud-amd64",
        "version": "6.1.9-1",
        "architecture": "amd64",
        "sha256": hashlib.sha256(deb.read_bytes()).hexdigest(),
    }
    kernel, origin = fetched(build, "6.12-cloud")
    assert kernel == b"kernel linux-image-6.12.3+deb12-cloud-amd64"
    assert origin["version"] == "6.12.3-1~bpo12+1"
    kernel, origin = fetched(build, "6.1-686-pae")
    assert kernel == b"kernel linux-image-6.1.0-9-686-pae"
    assert origin["architecture"] == "i386"
    # the modules stay in the package
    names = sorted(path.name for path in (build / "kernels" / "6.1-full").iterdir())
    assert names == ["config", "package.json", "vmlinuz"]
    assert (build / "kernels" / "6.1-full" / "config").read_bytes() == b"CONFIG_PVH=y\n"


def test_the_second_call_calls_no_program(etc_apt, tmp_path, monkeypatch):
    tool.fetch(["6.1-cloud"], tmp_path, etc_apt)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    tool.fetch(["6.1-cloud"], tmp_path, etc_apt)
    with pytest.raises(AptError, match="apt-get is missing") as caught:
        tool.fetch(["6.1-cloud", "6.1-full"], tmp_path, etc_apt)
    assert caught.value.status == 3


def test_one_package_is_fetched_once(etc_apt, tmp_path, capsys):
    tool.fetch(["6.1-cloud"], tmp_path, etc_apt)
    twin = tmp_path / "kernels" / "6.1-full"
    (tmp_path / "kernels" / "6.1-cloud").rename(twin)
    capsys.readouterr()
    tool.fetch(["6.1-cloud"], tmp_path, etc_apt)
    assert "fetching" not in capsys.readouterr().err
    assert fetched(tmp_path, "6.1-cloud") == fetched(tmp_path, "6.1-full")


@pytest.fixture
def security(etc_apt, tmp_path):
    """The release's security archive, with a newer kernel; returns the folder of its suite."""
    archive = tmp_path / "security"
    archive.mkdir()
    debs = make_kernel(archive, "cloud-amd64", "6.1.0-11", "6.1.11-1")
    debs += make_kernel(archive, "rt-686-pae", "6.1.0-11", "6.1.11-1", "i386")
    with (etc_apt / "sources.list.d" / "debian.sources").open("a") as sources:
        sources.write(stanza(archive, f"{running_release()}-security"))
    return debian.suite(archive, "bookworm-security", debs, ["amd64", "i386"])


def test_the_security_archive_s_kernel_is_newer(security, etc_apt, tmp_path, capsys):
    tool.fetch(["6.1-cloud"], tmp_path, etc_apt)
    assert fetched(tmp_path, "6.1-cloud")[1]["version"] == "6.1.11-1"
    assert "warning" not in capsys.readouterr().err


def test_a_broken_index_that_is_not_needed_is_a_warning(security, etc_apt, tmp_path, capsys):
    # As in the middle of a mirror's synchronisation: not what the Release file says.
    (security / "main/binary-i386/Packages").write_text("Package: half\n")
    tool.fetch(["6.1-cloud"], tmp_path / "one", etc_apt)
    assert "warning" not in capsys.readouterr().err  # i386 was not even asked for
    tool.fetch(["6.1-686-pae", "6.1-cloud"], tmp_path / "two", etc_apt)
    assert "warning, done without this: " in capsys.readouterr().err
    assert fetched(tmp_path / "two", "6.1-686-pae")[1]["version"] == "6.1.9-1"
    # and does not keep the other architecture's kernels of the same suite away
    assert fetched(tmp_path / "two", "6.1-cloud")[1]["version"] == "6.1.11-1"


def test_a_broken_index_that_is_needed_is_an_error(etc_apt, tmp_path):
    (tmp_path / "archive/dists/bookworm/main/binary-i386/Packages").write_text("Package: half\n")
    error = r"6\.1-686-pae: linux-image-686-pae of bookworm is not found: Failed to fetch file:"
    with pytest.raises(AptError, match=error) as caught:
        tool.fetch(["6.1-686-pae"], tmp_path, etc_apt)
    assert caught.value.status == 4


def test_what_a_killed_call_left_is_removed(etc_apt, tmp_path):
    leftover = tmp_path / "kernels" / ".partial-x" / "6.1-cloud"
    leftover.mkdir(parents=True)
    (leftover / "vmlinuz").write_bytes(b"half of")
    (tmp_path / "kernels" / "6.1-cloud").mkdir()  # no kernel in it
    tool.fetch(["6.1-cloud"], tmp_path, etc_apt)
    assert fetched(tmp_path, "6.1-cloud")[0] == b"kernel linux-image-6.1.0-9-cloud-amd64"
    assert sorted(path.name for path in (tmp_path / "kernels").iterdir()) == [".lock", "6.1-cloud"]


def test_two_calls_at_once(etc_apt, tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r})\n"
        "from pathlib import Path; import kernels\n"
        f"kernels.fetch(['6.1-cloud'], Path({str(tmp_path)!r}), Path({str(etc_apt)!r}))"
    )
    calls = [
        subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [call.communicate(timeout=60)[1] for call in calls]
    assert [call.returncode for call in calls] == [0, 0], said
    assert sum("fetching linux-image" in text for text in said) == 1
    assert fetched(tmp_path, "6.1-cloud")[0] == b"kernel linux-image-6.1.0-9-cloud-amd64"


def test_the_system_s_apt_is_not_touched(etc_apt, tmp_path):
    places = [Path("/etc/apt"), Path("/var/lib/apt"), Path("/var/cache/apt"), Path("/var/lib/dpkg")]

    def state():
        return {
            path: (path.stat().st_mtime_ns, path.stat().st_size)
            for place in places
            for path in place.rglob("*")
            if path.is_file()
        }

    before = state()
    tool.fetch(["6.12-cloud"], tmp_path, etc_apt)
    assert state() == before


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


def test_the_script_knows_its_names(kernels):
    for name in tool.KERNELS:
        assert kernels[name].stat().st_size > 1 << 20  # the real ones, for all other tests
    result = run()
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    result = run("6.13-cloud")
    assert result.returncode == 2
    assert "unknown kernel '6.13-cloud'" in result.stderr


def test_without_apt_the_script_advises(tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "BUILD", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as caught:
        tool.main(["cloud"])
    assert caught.value.code == 3
