"""A recorded plan: its files, who may read them, and what is never overwritten."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import fields, replace

import pytest

from engines import raw_guests as raw
from hvmlite.engines import record
from hvmlite.errors import EngineError, RequestError
from hvmlite.model import CpuState, RunOptions, SegmentRegister


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_memory_is_as_the_guest_would_find_it(tmp_path):
    plan = raw.plan(b"hello", raw.LONG, memory=5 << 30)
    record.write(plan, tmp_path / "out")
    image = tmp_path / "out" / "memory.img"
    assert image.stat().st_size == 5 << 30
    assert image.stat().st_blocks * 512 < 1 << 20  # sparse
    with image.open("rb") as file:
        file.seek(raw.AT)
        assert file.read(8) == b"hello\0\0\0"


def test_the_state_can_be_read_back(tmp_path):
    cpu = replace(raw.LONG, r9=(1 << 64) - 1)
    record.write(raw.plan(raw.SPIN, cpu), tmp_path / "out")
    read = json.loads((tmp_path / "out" / "cpu.json").read_text())
    assert read.pop("mode") == "64-bit"
    assert read["r9"] == (1 << 64) - 1
    assert SegmentRegister(**read["cs"]) == cpu.cs
    assert set(read) == {each.name for each in fields(CpuState)}


def test_the_map(tmp_path):
    record.write(raw.plan(raw.SPIN, raw.LONG), tmp_path / "out")
    read = json.loads((tmp_path / "out" / "map.json").read_text())
    assert [p["name"] for p in read["map"]] == ["page tables", "code"]
    assert read["ram"] == [{"start": 0, "size": 16 << 20, "offset": 0}]
    text = (tmp_path / "out" / "map.txt").read_text()
    assert "0x000000100000 0x000000100002 code" in text


def test_cve_2021_3981_nobody_else_may_read_it(tmp_path):
    old = os.umask(0)
    try:
        record.write(raw.plan(raw.SPIN), tmp_path / "out")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    files = list((tmp_path / "out").iterdir())
    assert {file.name for file in files} == set(record.FILES)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_recorded_plan_is_replaced(tmp_path):
    record.write(raw.plan(b"one"), tmp_path / "out")
    record.write(raw.plan(b"two"), tmp_path / "out")
    assert (tmp_path / "out" / "memory.img").read_bytes()[raw.AT : raw.AT + 3] == b"two"
    assert names(tmp_path) == ["out"]


def test_an_empty_directory_is_taken(tmp_path):
    (tmp_path / "out").mkdir()
    record.write(raw.plan(raw.SPIN), tmp_path / "out")
    assert (tmp_path / "out" / "cpu.json").exists()


@pytest.mark.parametrize("make", ["file", "folder", "link"])
def test_something_else_is_never_overwritten(tmp_path, make):
    target = tmp_path / "out"
    if make == "file":
        target.write_text("precious")
    elif make == "folder":
        target.mkdir()
        (target / "precious").touch()
    else:
        (tmp_path / "elsewhere").mkdir()
        target.symlink_to(tmp_path / "elsewhere")
    before = names(tmp_path)
    with pytest.raises(RequestError, match="something else"):
        record.write(raw.plan(raw.SPIN), target)
    assert names(tmp_path) == before


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    def refuse(fd, size):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "ftruncate", refuse)
    with pytest.raises(EngineError, match="no space left on device"):
        record.write(raw.plan(raw.SPIN), tmp_path / "out")
    assert names(tmp_path) == []


def test_it_runs_nothing():
    assert record.available().ok
    assert record.machine(16 << 20, 1).memory == 16 << 20
    with pytest.raises(RequestError, match="record"):
        record.launch(record.machine(16 << 20, 1), RunOptions())
