"""`inspect --for`: the status that a build can stop at, and what is said on the way."""

from __future__ import annotations

import json

import pytest

from cli.json_tables import complaints
from hvmlite import cli
from makers import bzimage, elf
from makers import peers as make

FILES = {
    "pvh": elf.pvh_kernel(),
    "plain": make.kernel().build(),
    "packed": bzimage.zstd(elf.pvh_kernel()),
}


@pytest.fixture
def path(tmp_path):
    def make_file(name):
        file = tmp_path / name
        file.write_bytes(FILES[name])
        return str(file)

    return make_file


@pytest.mark.parametrize(
    ("name", "options", "status"),
    [
        ("pvh", [], 0),
        ("plain", [], 0),
        ("pvh", ["--for", "qemu"], 0),
        ("pvh", ["--for", "qemu,xen"], 0),
        ("pvh", ["--for", "qemu", "--for", "xen, firecracker"], 0),
        ("pvh", ["--for", "qemu,grub"], 5),
        ("pvh", ["--for", "all"], 5),
        ("plain", ["--for", "qemu"], 5),
        ("plain", ["--for", "firecracker"], 0),
        ("packed", ["--for", "xen"], 5),
        ("pvh", ["--for", "bhyve"], 4),
        ("pvh", ["--for", ""], 4),
    ],
)
def test_the_status_says_whether_all_of_them_would(path, capsys, name, options, status):
    assert cli.main(["inspect", path(name), *options]) == status
    out, err = capsys.readouterr()
    assert ("starts it by" in out or "does not start it" in out) is (bool(options) and status != 4)
    assert ("needed" in err) is (status == 4)


def test_the_document_has_what_was_asked_for(path, capsys):
    assert cli.main(["inspect", path("plain"), "--for", "all", "--json"]) == 5
    found = json.loads(capsys.readouterr().out)
    assert complaints(found, "inspect") == []
    starts = {peer["peer"]: peer["starts"] for peer in found["peers"]}
    assert starts == {
        "qemu": False, "xen": False, "firecracker": True, "cloud-hypervisor": False, "grub": False,
    }  # fmt: skip
