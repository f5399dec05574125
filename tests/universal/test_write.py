"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from hvmlite.errors import RequestError
from hvmlite.universal import _write, write_files


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_gets_the_users_permissions(tmp_path):
    kept = os.umask(0o027)
    try:
        write_files([(tmp_path / "new", [b"one", memoryview(b"two"), bytearray(b"3")])])
    finally:
        os.umask(kept)
    assert (tmp_path / "new").read_bytes() == b"onetwo3"
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert names(tmp_path) == ["new"]


def test_one_that_is_replaced_keeps_its_own_and_its_link(tmp_path):
    old, link = tmp_path / "old", tmp_path / "link"
    old.write_bytes(b"x" * 100)
    old.chmod(0o604)
    link.symlink_to("old")
    with old.open("rb") as reader:
        write_files([(link, [b"new"])])
        assert reader.read() == b"x" * 100
    assert link.is_symlink()
    assert old.read_bytes() == b"new"
    assert stat.S_IMODE(old.stat().st_mode) == 0o604


def test_an_input_is_not_replaced(tmp_path):
    kernel, link = tmp_path / "kernel", tmp_path / "link"
    kernel.write_bytes(b"kernel")
    link.hardlink_to(kernel)
    for path in (kernel, link):
        with pytest.raises(RequestError, match=r"the same file as .*kernel, another one needed"):
            write_files([(path, [b"x"])], inputs=[kernel, tmp_path / "missing"])
    assert kernel.read_bytes() == b"kernel"


def test_two_outputs_are_two_files(tmp_path):
    with pytest.raises(RequestError, match="named twice"):
        write_files([(tmp_path / "x", [b"1"]), (f"{tmp_path}/./x", [b"2"])])
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("../../../../../../../../../dev/null", "no regular file"),
        (".", "no regular file"),
        ("missing/x", "cannot be written: no such file or directory"),
        ("new/", "new/: no file name, one needed"),
        ("a\0b", "no file name"),
        ("x" * 300, "cannot be written: file name too long"),
        ("loop", "cannot be written|no regular file"),
    ],
)
def test_what_cannot_be_written_is_one_error(tmp_path, name, match):
    (tmp_path / "loop").symlink_to(tmp_path)
    with pytest.raises(RequestError, match=match):
        write_files([(tmp_path / "fine", [b"x"]), (f"{tmp_path}/{name}", [b"x"])])
    assert names(tmp_path) == ["loop"]


@pytest.mark.parametrize(
    ("name", "match"), [("", "^'': no file name"), ("-", "^-: standard output is for what is said")]
)
def test_a_name_that_is_none(tmp_path, monkeypatch, name, match):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match=match):
        write_files([("fine", [b"x"]), (name, [b"x"])])
    assert names(tmp_path) == []


def test_a_pipe_under_a_name_that_leads_nowhere(tmp_path):
    reading, writing = os.pipe()
    with open(reading, "rb"), open(writing, "wb"), pytest.raises(RequestError) as caught:  # noqa: PTH123
        write_files([(f"/dev/fd/{writing}", [b"x"])])
    assert str(caught.value) == f"/dev/fd/{writing}: no regular file, one or a new name needed"


@pytest.mark.parametrize(
    "stop", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_nothing_is_left_behind(tmp_path, monkeypatch, stop):
    def write(*_):
        raise stop

    monkeypatch.setattr(_write, "_write", write)
    (tmp_path / "old").write_bytes(b"old")
    with pytest.raises((RequestError, KeyboardInterrupt)):
        write_files([(tmp_path / "old", [b"x"]), (tmp_path / "new", [b"y"])])
    assert names(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"
