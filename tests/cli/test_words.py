"""The words that options take, and those that are refused."""

from __future__ import annotations

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmlite.cli import _words


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1 << 20), ("512", 512 << 20), ("512M", 512 << 20), ("512m", 512 << 20),
        ("64K", 64 << 10), ("2G", 2 << 30), ("1T", 1 << 40), ("8GiB", 8 << 30),
        ("0001M", 1 << 20), ("4096T", 1 << 52),
    ],
)  # fmt: skip
def test_sizes(text, size):
    assert _words.size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "M", "0", "0K", "-1", "+1", "1.5G", "1_0", "10Q", "1MB", "1 M", "5iB", "4097T", "\u0661M",
     "0x10", "9" * 5000, "1MM", "1\n"],
)  # fmt: skip
def test_what_is_no_size(text):
    with pytest.raises(argparse.ArgumentTypeError, match="size"):
        _words.size(text)


@given(st.text(max_size=30) | st.from_regex(r"[0-9]{1,20}[KMGTkmgt]?(iB)?", fullmatch=True))
def test_any_text_is_a_size_or_refused(text):
    try:
        size = _words.size(text)
    except argparse.ArgumentTypeError as error:
        size, said = 1, str(error)
        assert said.isprintable()
    assert 0 < size <= 1 << 52


@pytest.mark.parametrize(
    ("text", "path", "rest"),
    [("a", "a", ""), ("a,b c", "a", "b c"), ("a,", "a", ""), ("a,,b", "a,b", ""),
     ("a,,b,c,d", "a,b", "c,d"), ("a,x=1,,2", "a", "x=1,,2")],
)  # fmt: skip
def test_modules(text, path, rest):
    assert _words.module(text) == (path, rest)


@pytest.mark.parametrize(
    ("text", "disk"),
    [
        ("d", ("d", "raw", "ro")),
        ("d,rw", ("d", "raw", "rw")),
        ("d,format=qcow2,ro", ("d", "qcow2", "ro")),
        ("d,snapshot,format=qcow2", ("d", "qcow2", "snapshot")),
        ("d.iso,cdrom", ("d.iso", "raw", "cdrom")),
        ("d,,1.img,rw,format=raw", ("d,1.img", "raw", "rw")),
    ],
)
def test_disks(text, disk):
    assert _words.disk(text) == disk


@pytest.mark.parametrize("text", ["", ",rw", "d,", "d,w", "d,format=vmdk", "d,format", "d,ro=1"])
def test_what_is_no_disk(text):
    with pytest.raises(argparse.ArgumentTypeError, match="needed"):
        _words.disk(text)
