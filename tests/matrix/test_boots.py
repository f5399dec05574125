"""Real guests by every door that is there, and small ones that lie, fail or hang."""

from __future__ import annotations

import hashlib
import os

import pytest
from lz4.block import compress

import hvmlite
from boot.reporter import QUICK
from hvmlite.guest.memory import PlanMemory
from hvmlite.matrix import Baseline, GuestKind, Verdict, _initrd
from hvmlite.matrix._ranges import settled
from hvmlite.matrix.run import LINUX_CMDLINE
from hvmlite.model import Ending, Kind, Outcome
from initramfs import Archive
from makers.pe import uki
from matrix.guests import HANG, guest, leave, say
from matrix.reports import line

pytestmark = pytest.mark.boot
ONE_DOOR = {"memory": 16 << 20, "protocols": ["pvh"]}
NAMES = ("6.12-cloud", "6.1-686-pae")
LINE = f'console=ttyS0 {QUICK} hvmlite.test="a b"'


@pytest.fixture(scope="module")
def stock(kernels, tmp_path_factory):
    """Both kernels at the same time, by all that they offer; the user's initrds have an init."""
    one, two = (tmp_path_factory.mktemp("matrix") / name for name in ("one.gz", "two"))
    one.write_bytes(Archive().file("/init", b"not started", 0o755).gzip())
    two.write_bytes(Archive().file("/payload/the user's", b"mine").cpio() + b"\0\0\0")
    seen = []
    matrix = hvmlite.run_matrix(
        [kernels[name] for name in NAMES],
        initrds=[one, two], cmdline=LINE, cpus=2, jobs=2, timeout=120,
        on_cell=lambda image, cell, left: seen.append((image, cell.protocol, left)),
    )  # fmt: skip
    return matrix, seen


def test_every_offered_door_leads_to_user_space_and_is_alike(kernels, stock):
    matrix, seen = stock
    for name, row in zip(NAMES, matrix.rows, strict=True):
        assert row.image == str(kernels[name])
        assert row.trouble is None
        answers = hvmlite.offers(hvmlite.open_image(kernels[name]))
        offered = [each.protocol for each in answers if isinstance(each, hvmlite.model.Offer)]
        ran = [cell for cell in row.cells if cell.verdict is not Verdict.REFUSED]
        assert [cell.protocol for cell in ran] == offered
        assert {cell.protocol for cell in row.cells} == {each.protocol for each in answers}
        for cell in ran:
            assert cell.verdict is Verdict.PASSED, cell
            assert cell.outcome == Outcome(Ending.SHUTDOWN)
            assert cell.prepare_s > 0 < cell.guest_s
        assert row.baseline == Baseline(offered[0], "qemu")
        assert (row.image, offered[0]) in {each[:2] for each in seen}
    assert [row.guest for row in matrix.rows] == [GuestKind.LINUX_AMD64, GuestKind.LINUX_I386]
    assert seen[-1][2] == 0


def test_the_report_agrees_with_the_plan(kernels, stock):
    for name, row in zip(NAMES, stock[0].rows, strict=True):
        report = row.cells[0].report
        plan = hvmlite.plan(kernels[name], cmdline=LINE, cpus=2)
        assert report.cmdline == LINE
        assert report.cpus == 2
        assert settled(report.memory_map) == settled(plan.boot_info.memory_map)
        mine = {"/payload/the user's": hashlib.sha256(b"mine").hexdigest()}
        assert dict(report.files) == _initrd.PAYLOAD | mine
        memory = PlanMemory(plan)
        tables = {
            memory.read(piece.start, 4).decode() for piece in plan.pieces if piece.kind is Kind.ACPI
        }
        assert dict(report.acpi).keys() == tables - {"RSD ", "RSDT", "XSDT"}
        assert report.release in dict(hvmlite.open_image(kernels[name]).facts)["kernel version"]


def lz4(data):
    """What `lz4 -l` writes: blocks with their sizes, and no end mark."""
    block = compress(data, store_size=False)
    return b"\x02\x21\x4c\x18" + len(block).to_bytes(4, "little") + block


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_our_init_wins_in_a_uki_and_behind_lz4(kernels, tmp_path, size):
    """Linux finds the end of LZ4 by zeros only; without them no archive is unpacked at all."""
    theirs = Archive().file("/init", b"not started", 0o755).file("/payload/uki", b"u" * size)
    mine = Archive().symlink("/init", "bin/mine").file("/payload/mine", os.urandom(size))
    image, initrd = tmp_path / "uki.efi", tmp_path / "mine.lz4"
    kernel = kernels["6.12-cloud"].read_bytes()
    image.write_bytes(
        uki(kernel, (".cmdline", b"quiet init=/bad"), (".initrd", lz4(theirs.cpio())))
    )
    initrd.write_bytes(lz4(mine.cpio()))
    protocols = [("linux64", "pvh")[size % 2]]
    (row,) = hvmlite.run_matrix([image], initrds=[initrd], protocols=protocols, timeout=120).rows
    (cell,) = row.cells
    assert (row.guest, cell.verdict, cell.problem) == (GuestKind.LINUX_AMD64, Verdict.PASSED, "")
    assert {"/payload/uki", "/payload/mine"} < dict(cell.report.files).keys()
    assert cell.report.cmdline == LINUX_CMDLINE


RIGHT = line(boot_params=None, iomem=None, files=_initrd.PAYLOAD)
LIARS = {
    "silent": (b"", "console: no report found, one line of it needed"),
    "twice": (RIGHT + RIGHT, "console: several reports found, one needed"),
    "broken": (b"hvmlite-report: {\n", "report: no JSON at byte 1, one JSON object needed"),
    "wrong": (line(boot_params="00"), "report: boot_params has 1 bytes, 4096 needed"),
    "damaged": (
        line(boot_params=None, files={}),
        f"initrd: /payload/0 is absent, {_initrd.PAYLOAD['/payload/0']} needed",
    ),
}


def test_guests_that_say_they_are_linux_and_report_badly(tmp_path):
    images = [
        guest(tmp_path / name, say(text) + leave(0), linux=True)
        for name, (text, _) in LIARS.items()
    ]
    images.append(guest(tmp_path / "right", say(RIGHT) + leave(0), linux=True))
    *lied, right = hvmlite.run_matrix(images, memory=32 << 20, protocols=["pvh"]).cells
    for name, cell in zip(LIARS, lied, strict=True):
        assert (cell.verdict, cell.problem) == (Verdict.FAILED, LIARS[name][1])
        assert cell.outcome == Outcome(Ending.EXITED, 0)
        assert cell.console == LIARS[name][0][-4096:]
    assert (right.verdict, right.console) == (Verdict.PASSED, b"")


def test_other_guests(tmp_path):
    images = [
        guest(tmp_path / "fine", say(b"ready\n") + leave(0)),
        guest(tmp_path / "fails", say(b"oh\x1b[2J") + leave(3)),
        guest(tmp_path / "hangs", HANG),
    ]
    fine, fails, hangs = hvmlite.run_matrix(images, **ONE_DOOR, timeout=2).cells
    assert (fine.verdict, fine.outcome) == (Verdict.PASSED, Outcome(Ending.EXITED, 0))
    assert (fails.verdict, fails.outcome) == (Verdict.FAILED, Outcome(Ending.EXITED, 3))
    assert fails.console == b"oh\x1b[2J"
    assert hangs.verdict is Verdict.NO_ANSWER


def test_what_is_expected_on_the_console(tmp_path):
    """Who said it passes and need not end; who did not fails, however it ends."""
    images = [
        guest(tmp_path / "hangs", say(b"ready 42\n") + HANG),
        guest(tmp_path / "ends", say(b"nothing\n") + leave(0)),
        guest(tmp_path / "waits", HANG),
    ]
    matrix = hvmlite.run_matrix(images, **ONE_DOOR, timeout=2, expect=r"ready \d+")
    hangs, ends, waits = matrix.cells
    assert (hangs.verdict, hangs.outcome.kind) == (Verdict.PASSED, Ending.INTERRUPTED)
    assert hangs.guest_s < 2
    assert (ends.verdict, ends.problem) == (
        Verdict.FAILED, "console: no match found, one for --expect needed",
    )  # fmt: skip
    assert waits.verdict is Verdict.NO_ANSWER


def test_images_that_cannot_be_run_do_not_stop_the_others(tmp_path):
    (tmp_path / "text").write_text("no kernel\n")
    no_door = tmp_path / "no door"
    no_door.write_bytes(guest(tmp_path / "fine", leave(0)).read_bytes().replace(b"Xen\0", b"Xan\0"))
    text, missing, closed, fine = hvmlite.run_matrix(
        [tmp_path / "text", tmp_path / "missing", no_door, tmp_path / "fine"], memory=16 << 20
    ).rows
    assert (text.cells, text.trouble.kind) == ((), "FormatError")
    assert (missing.cells, missing.trouble.kind) == ((), "RequestError")
    assert closed.trouble.message == f"{no_door}: no way in found, one needed"
    assert {cell.verdict for cell in closed.cells} == {Verdict.REFUSED}
    assert all(cell.reasons for cell in closed.cells)
    assert Verdict.PASSED in {cell.verdict for cell in fine.cells}


def test_a_guest_without_memory_is_an_error_of_its_cell(kernels):
    (row,) = hvmlite.run_matrix([kernels["6.12-cloud"]], memory=8 << 20, protocols=["pvh"]).rows
    (cell,) = row.cells
    assert (cell.verdict, cell.trouble.kind) == (Verdict.ERROR, "PlacementError")
    assert cell.trouble.hint
