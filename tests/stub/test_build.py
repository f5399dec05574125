"""Machine code for guests: the same bytes wherever it is built, and a part of every wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hvmlite import blobs
from hvmlite.errors import UnsupportedError

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
NAMES = ("bios", "report-amd64", "report-i386", "universal", "universal-head")
PACKAGED = ("src", "stub", "hatch_build.py", "pyproject.toml", "README.md", "LICENSE", ".gitignore")


def copy(target: Path) -> Path:
    """What a source distribution has of the tree, and nothing that was built in it."""
    for name in PACKAGED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", *NAMES)
            shutil.copytree(source, target / name, ignore=ignored if name == "src" else None)
        else:
            target.mkdir(exist_ok=True)
            shutil.copy(source, target / name)
    return target


def built(stub: Path, output: Path, **environment: str) -> dict[str, bytes]:
    command = ["make", "--silent", "-C", stub, "blobs", f"OUT={output}"]
    subprocess.run(command, check=True, env=os.environ | environment)
    assert sorted(path.name for path in output.iterdir()) == sorted(NAMES)
    return {name: (output / name).read_bytes() for name in NAMES}


def test_two_builds_are_equal(tmp_path):
    here = built(ROOT / "stub", tmp_path / "here")
    elsewhere = copy(tmp_path / "elsewhere")
    flags = {"CFLAGS": "-g -O0", "LDFLAGS": "-Wl,--build-id", "SOURCE_DATE_EPOCH": "1"}
    assert here == built(elsewhere / "stub", tmp_path / "there", LC_ALL="C", **flags)
    assert here == {name: blobs.read(name) for name in NAMES}, "run: make -C stub"


def test_nothing_of_the_machine_is_in_it():
    for name in NAMES:
        for word in (str(ROOT), "/tmp", "GCC", ".S", ".c\0"):
            assert word.encode() not in blobs.read(name)


def test_a_blob_that_was_not_built():
    with pytest.raises(UnsupportedError, match=r"^bootloader: this part of hvmlite was not") as e:
        blobs.read("bootloader")
    assert e.value.feature == "bootloader"
    assert "make -C stub" in e.value.hint


def wheel(tree: Path, kind: str = "standard", path: str | None = None, **environment: str):
    """Build a wheel as pip does, by the build backend."""
    code = "from hatchling.builders.wheel import WheelBuilder\n"
    code += f"print(*WheelBuilder('.').build(directory='dist', versions=[{kind!r}]))"
    return subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=tree,
        capture_output=True,
        text=True,
        env=os.environ | environment | ({} if path is None else {"PATH": path}),
    )


def test_a_wheel_has_the_blobs_and_is_reproducible(tmp_path):
    contents = []
    for name in ("one", "two"):
        result = wheel(copy(tmp_path / name))
        assert result.returncode == 0, result.stderr
        (file,) = (tmp_path / name / "dist").iterdir()
        assert file.name.endswith("-py3-none-any.whl")
        contents.append(file.read_bytes())
    assert contents[0] == contents[1]
    with zipfile.ZipFile(file) as archive:
        packed = {n: archive.read(f"hvmlite/blobs/{n}") for n in NAMES}
        assert not [each for each in archive.namelist() if "stub" in each or each.endswith(".new")]
    assert packed == {name: blobs.read(name) for name in NAMES}


@pytest.mark.parametrize("environment", [{"OUT": "elsewhere"}, {"CC": ""}, {"GNUMAKEFLAGS": "-n"}])
def test_a_wheel_has_the_blobs_whatever_the_environment_says(tmp_path, environment):
    tree = copy(tmp_path / "tree")
    result = wheel(tree, **environment)
    assert result.returncode == 0, result.stderr
    with zipfile.ZipFile(next((tree / "dist").iterdir())) as archive:
        assert {f"hvmlite/blobs/{name}" for name in NAMES} < set(archive.namelist())


def test_a_wheel_is_not_made_without_a_compiler(tmp_path):
    result = wheel(copy(tmp_path / "tree"), path=str(tmp_path))
    assert result.returncode != 0
    assert not list(tmp_path.glob("tree/dist/*.whl"))


def test_an_editable_install_does_without_a_compiler(tmp_path):
    result = wheel(copy(tmp_path / "tree"), "editable", path=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert "no make and no cc: stub is not built" in result.stdout + result.stderr
    assert not (tmp_path / "tree/src/hvmlite/blobs/bios").exists()


def test_an_editable_install_does_without_a_compiler_for_x86(tmp_path):
    tree = copy(tmp_path / "tree")
    assert wheel(tree, CC="false").returncode != 0
    result = wheel(tree, "editable", CC="false")
    assert result.returncode == 0, result.stderr
    assert "make failed: stub is not built" in result.stdout + result.stderr


def test_an_editable_install_builds_where_it_can(tmp_path):
    result = wheel(copy(tmp_path / "tree"), "editable")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "tree/src/hvmlite/blobs/bios").read_bytes() == blobs.read("bios")


def test_a_source_distribution_builds_the_same_wheel(tmp_path):
    tree = copy(tmp_path / "tree")
    code = "from hatchling.builders.sdist import SdistBuilder\n"
    code += "print(*SdistBuilder('.').build(directory='dist'))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tree, capture_output=True)
    (archive,) = (tree / "dist").iterdir()
    shutil.unpack_archive(archive, tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert not (unpacked / "src/hvmlite/blobs/bios").exists()
    for each in (tree, unpacked):
        result = wheel(each)
        assert result.returncode == 0, result.stderr
    (ours,), (theirs,) = (list(each.glob("dist/*.whl")) for each in (tree, unpacked))
    assert ours.read_bytes() == theirs.read_bytes()
