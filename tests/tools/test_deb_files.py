"""Files out of packages that dpkg-deb made."""

from __future__ import annotations

import pytest

import deb_files as tool
from makers import debian
from private_apt import AptError

CONTROL = {"Package": "x", "Version": "1", "Architecture": "amd64"}
FILES = {r"\./boot/vmlinuz-[^/]+": "vmlinuz", r"\./boot/config-[^/]+": "config"}


def test_only_the_named_files_are_taken(tmp_path):
    content = {"boot/vmlinuz-1": b"kernel", "boot/config-1": b"C=y\n"}
    deb = debian.package(tmp_path, CONTROL, content | {"boot/System.map-1": b"map"})
    folder = tmp_path / "out"
    folder.mkdir()
    tool.extract(deb, folder, FILES)
    taken = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert taken == {"vmlinuz": b"kernel", "config": b"C=y\n"}


def test_a_package_without_one_of_them(tmp_path):
    deb = debian.package(tmp_path, CONTROL, {"boot/vmlinuz-1": b"kernel"})
    with pytest.raises(AptError, match=r"x_1_amd64\.deb: no config can be taken out of it"):
        tool.extract(deb, tmp_path, FILES)


def test_a_file_that_is_no_package(tmp_path):
    deb = tmp_path / "x_1_amd64.deb"
    deb.write_bytes(b"!<arch>\n")
    with pytest.raises(AptError, match=r"x_1_amd64\.deb: no vmlinuz can be taken out of it"):
        tool.extract(deb, tmp_path, FILES)


def fill(folder, content, error=None):
    with tool.whole(folder, "xen") as (result, scratch):
        (result / "xen.gz").write_bytes(content)
        (scratch / "x.deb").write_bytes(b"package")
        if error:
            raise error


def test_a_folder_takes_its_place_only_when_all_went_well(tmp_path):
    for error in (AptError("interrupted"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            fill(tmp_path, b"half", error)
        assert list(tmp_path.iterdir()) == []
    (tmp_path / "xen").mkdir()
    (tmp_path / "xen" / "old").touch()
    fill(tmp_path, b"all")
    assert [path.name for path in tmp_path.iterdir()] == ["xen"]
    assert [path.name for path in (tmp_path / "xen").iterdir()] == ["xen.gz"]


def test_what_a_killed_call_left_is_removed(tmp_path):
    (tmp_path / ".partial-x" / "xen").mkdir(parents=True)
    (tmp_path / "xen").mkdir()
    tool.remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["xen"]
