"""The reporter's archive, judged by busybox's cpio; that a kernel takes it is for the boots."""

from __future__ import annotations

import os
import subprocess

import pytest

from hvmlite.errors import RequestError, UnsupportedError
from hvmlite.matrix import _cpio, _initrd
from hvmlite.matrix.result import GuestKind
from packages import static_busybox


def cpio(data, *words, cwd=None):
    command = [static_busybox(), "cpio", *words]
    return subprocess.run(command, input=data, capture_output=True, check=True, cwd=cwd).stdout


def test_files_folders_and_devices_are_read_by_busybox():
    data = _cpio.archive(
        _cpio.directory("dev"),
        _cpio.device("dev/ttyS0", 4, 64),
        _cpio.file("init", b"#!x", 0o755),
        _cpio.file("odd", b"12345"),
        _cpio.file("empty", b""),
    )
    assert len(data) % 4 == 0
    rows = [row.split() for row in cpio(data, "-tv").decode().splitlines()]
    assert [(row[0], row[-1]) for row in rows] == [
        ("drwxr-xr-x", "dev"), ("crw-------", "dev/ttyS0"), ("-rwxr-xr-x", "init"),
        ("-rw-r--r--", "odd"), ("-rw-r--r--", "empty"),
    ]  # fmt: skip
    assert {row[1] for row in rows} == {"0/0"}


def test_contents_come_out_as_they_went_in(tmp_path):
    files = {f"f{size}": bytes(range(256)) * 17 * size for size in range(4)}
    data = _cpio.archive(*(_cpio.file(name, content) for name, content in files.items()))
    cpio(data, "-i", cwd=tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


def read(fd):
    data = os.pread(fd, 1 << 20, 0)
    os.close(fd)
    return data


def test_the_users_archives_come_first_and_are_aligned(tmp_path):
    (tmp_path / "one").write_bytes(b"12345")
    (tmp_path / "two").write_bytes(b"678")
    data = read(_initrd.make([tmp_path / "one", tmp_path / "two"], b"init's code"))
    # Up to a multiple of 4, and 4 more zeros: LZ4's legacy frames end by them.
    users = b"12345" + bytes(3 + 4) + b"678" + bytes(1 + 4)
    assert data.startswith(users + b"070701")
    listed = cpio(data[len(users) :], "-t").decode().splitlines()
    assert {"init", "dev/console", "dev/ttyS0", "proc", "sys"} <= set(listed)
    assert {f"/{name}" for name in listed if name.startswith("payload/")} == set(_initrd.PAYLOAD)


@pytest.mark.parametrize("name", ["missing", ".", "fifo", "a\0b"])
def test_an_initrd_that_cannot_be_read(tmp_path, name):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(RequestError) as caught:
        _initrd.make([tmp_path / name], b"")
    assert caught.value.field == "initrd"


def test_a_reporter_that_was_not_built_is_said_so(monkeypatch):
    monkeypatch.setitem(_initrd._BLOBS, GuestKind.LINUX_AMD64, "report-z80")
    with pytest.raises(UnsupportedError) as caught:
        _initrd.reporter(GuestKind.LINUX_AMD64)
    assert "report-z80" in str(caught.value)
    assert caught.value.hint
