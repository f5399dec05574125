"""Archives, with GNU cpio and gzip as the second opinion."""

from __future__ import annotations

import gzip
import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from initramfs import APPLETS, Archive, demo

NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0\n\\", exclude_categories=("C",)),
    min_size=1,
    max_size=20,
).filter(lambda name: name not in (".", ".."))


def cpio(*options, archive, cwd=None):
    result = subprocess.run(
        ["cpio", "--quiet", *options], input=archive, capture_output=True, check=False, cwd=cwd
    )
    assert (result.returncode, result.stderr) == (0, b"")
    return result.stdout.decode()


def small():
    return (
        Archive()
        .file("/init", "#!/bin/sh\n", 0o755)
        .symlink("/bin/sh", "busybox")
        .directory("/tmp", 0o1777)
        .character_device("/dev/console", 5, 1)
        .block_device("dev/vda", 254, 16, 0o660)
        .file("/etc/empty", b"")
    )


def test_cpio_lists_what_was_added():
    listing = cpio("-itv", "--numeric-uid-gid", archive=small().cpio()).splitlines()
    rows = [line.split() for line in listing]
    assert [(row[0], row[2], row[3]) for row in rows] == [
        ("drwxr-xr-x", "0", "0"),
        ("lrwxrwxrwx", "0", "0"),
        ("drwxr-xr-x", "0", "0"),
        ("crw-------", "0", "0"),
        ("brw-rw----", "0", "0"),
        ("drwxr-xr-x", "0", "0"),
        ("-rw-r--r--", "0", "0"),
        ("-rwxr-xr-x", "0", "0"),
        ("drwxrwxrwt", "0", "0"),
    ]
    names = [line.split("1970 ", 1)[1] for line in listing]
    assert names == ["bin", "bin/sh -> busybox", "dev", "dev/console", "dev/vda", "etc",
                     "etc/empty", "init", "tmp"]  # fmt: skip
    assert rows[3][4:6] == ["5,", "1"]
    assert rows[4][4:6] == ["254,", "16"]
    assert rows[7][4] == "10"


@settings(max_examples=50)  # each starts a process
@given(st.dictionaries(NAMES, st.binary(max_size=70)))
def test_cpio_extracts_the_same_files(tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("extracted")
    archive = Archive()
    for name, content in files.items():
        archive.file(f"/{name}", content)
    cpio("-i", "--no-absolute-filenames", archive=archive.cpio(), cwd=folder)
    assert {os.fsdecode(path.name): path.read_bytes() for path in folder.iterdir()} == files


def test_same_bytes_for_the_same_content_in_any_order():
    one = Archive().file("a", "1").file("b/c", "2").symlink("d", "a")
    other = Archive().symlink("d", "a").file("b/c", "2").file("a", "1")
    assert one.gzip() == other.gzip()


def test_gzip_holds_the_archive_and_no_time():
    compressed = small().gzip()
    assert gzip.decompress(compressed) == small().cpio()
    assert compressed[4:8] == bytes(4)  # MTIME, RFC 1952 section 2.3
    oracle = subprocess.run(["gzip", "-dc"], input=compressed, capture_output=True, check=True)
    assert oracle.stdout == small().cpio()


def test_a_later_entry_replaces_an_earlier_one():
    archive = Archive().file("/init", "old").file("/init", "new").cpio()
    assert cpio("-i", "--to-stdout", "init", archive=archive) == "new"


@pytest.mark.parametrize("path", ["", "/", ".", "..", "/a/../b", "a\0b", "/TRAILER!!!"])
def test_no_path_inside_an_archive(path):
    with pytest.raises(ValueError, match="no path inside an archive"):
        Archive().file(path, b"")


def test_a_file_is_no_folder_and_a_folder_no_file():
    with pytest.raises(ValueError, match="/a is no folder"):
        Archive().file("/a", b"").file("/a/b", b"")
    with pytest.raises(ValueError, match="is a folder already"):
        Archive().file("/a/b", b"").file("/a", b"")


def test_the_demo_has_all_that_its_init_calls(tmp_path):
    cpio("-id", "--no-absolute-filenames", "init", "bin/*", archive=demo().cpio(), cwd=tmp_path)
    called = {"sh", "sed", "grep", "mount", "poweroff"}  # a sample that must be found in the text
    script = (tmp_path / "init").read_text()
    assert all(name in script for name in called)
    assert called <= set(APPLETS)
    for applet in APPLETS:
        assert (tmp_path / "bin" / applet).readlink().name == "busybox"
    # It runs without any library: in a root folder that has none. The shell of the archive itself
    # says whether the script parses and whether each applet is one of this busybox's.
    busybox = tmp_path / "bin" / "busybox"
    subprocess.run([busybox, "sh", "-n", tmp_path / "init"], check=True)
    listed = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
    assert set(APPLETS) <= set(listed.stdout.split())
