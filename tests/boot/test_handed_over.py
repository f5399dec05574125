"""Initrds, modules and command lines, at their sizes' and numbers' ends."""

from __future__ import annotations

import random
import re

import pytest

import hvmlite
from boot.agreement import INITRD, agrees, told_early
from boot.reporter import LINE, QUICK, archive, boot
from hvmlite.errors import PlacementError, RequestError
from hvmlite.guest.memory import PlanMemory
from hvmlite.model import Ending
from hvmlite.protocols import pvh

pytestmark = pytest.mark.boot
KERNEL = "6.12-cloud"
MIB, GIB = 1 << 20, 1 << 30
LIMIT = 2047
"""COMMAND_LINE_SIZE without its NUL (arch/x86/include/asm/setup.h), and cmdline_size in headers."""


def test_an_initrd_of_64_mib(kernels, tmp_path):
    path = tmp_path / "large"
    payload = {"large": random.Random(64).randbytes(64 * MIB)}
    path.write_bytes(archive(payload).cpio())
    assert path.stat().st_size > 64 * MIB
    plan, report = boot(kernels[KERNEL], [path])
    agrees(plan, report, payload)


def sparse(path, size):
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_an_initrd_of_1_gib_is_placed(kernels, tmp_path):
    path = sparse(tmp_path / "huge", GIB)
    with path.open("r+b") as file:
        file.write(b"first")
        file.seek(-4, 2)
        file.write(b"last")
    plan = hvmlite.plan(kernels[KERNEL], initrds=[path], memory=8 * GIB)
    (piece,) = [piece for piece in plan.pieces if piece.name == INITRD]
    assert piece.end - piece.start == GIB
    assert piece.end <= 4 * GIB  # the zero page has 32 bits for it
    memory = PlanMemory(plan)
    assert memory.read(piece.start, 5) == b"first"
    assert memory.read(piece.end - 4, 4) == b"last"


def test_an_empty_initrd(kernels, tmp_path):
    """Linux takes it for none, and says so when it finds no root."""
    line = f"console=ttyS0 {QUICK}"
    path = sparse(tmp_path / "empty", 0)
    with hvmlite.run(kernels[KERNEL], initrds=[path], cmdline=line) as guest:
        outcome, text = guest.wait(60), guest.console.text()
    assert outcome.kind is Ending.RESET
    assert "VFS: Unable to mount root fs" in text
    told_early(guest.plan, text)


@pytest.mark.parametrize("number", [0, 1, 2, 3, 63, 64])
def test_modules_are_handed_over(kernels, tmp_path, number):
    modules = []
    for n in range(number):
        path = tmp_path / f"{n}"
        path.write_bytes(random.Random(n).randbytes(4095 * n))
        modules.append((path, f"module {n}" * (n % 3)))
    plan = hvmlite.plan(kernels[KERNEL], modules=modules, cmdline=LINE)
    told = pvh.decode(PlanMemory(plan), plan.cpu)
    assert [(bytes(m.data), m.cmdline.decode()) for m in told.modules] == [
        (path.read_bytes(), line) for path, line in modules
    ]


def test_64_modules_do_not_disturb_linux(kernels, initrds, tmp_path):
    extra = []
    for number in range(63):
        path = tmp_path / str(number)
        path.write_bytes(bytes([number]) * (4096 * number + number))
        extra.append((path, f"module {number}"))
    plan, report = boot(kernels[KERNEL], [initrds.amd64], modules=extra)
    agrees(plan, report, initrds.payload)
    assert [each.field for each in plan.dropped] == ["modules[1:]"]


def test_no_module_at_all(kernels):
    with hvmlite.run(kernels[KERNEL], cmdline=f"console=ttyS0 {QUICK}") as guest:
        outcome, text = guest.wait(60), guest.console.text()
    assert outcome.kind is Ending.RESET
    assert "VFS: Unable to mount root fs" in text
    told_early(guest.plan, text)


# Every byte but NUL and the quote, which would make a word of all that follows.
ALL_BYTES = bytes(set(range(1, 256)) - {ord('"')})
LONGEST = f"console=ttyS0 {QUICK} ".encode().ljust(LIMIT, b"x")


@pytest.mark.parametrize(
    "line", [b"", b"x", QUICK.encode() + b" x=" + ALL_BYTES, LONGEST[:-1], LONGEST],
    ids=["none", "one", "all bytes", "limit - 1", "limit"],
)  # fmt: skip
def test_a_command_line_arrives_byte_for_byte(kernels, initrds, line):
    plan, report = boot(kernels[KERNEL], [initrds.amd64], cmdline=line)
    assert report.cmdline == line
    assert report.boot_params[0x228:0x22C] == plan.address_of("command line").to_bytes(4, "little")


@pytest.mark.parametrize("name", ["6.1-cloud", "6.12-cloud", "6.1-full", "6.1-686-pae"])
def test_a_command_line_beyond_the_limit_is_refused(kernels, name):
    hvmlite.plan(kernels[name], cmdline=LONGEST)
    with pytest.raises(RequestError, match=r"^command line: 2048 bytes found, at most 2047"):
        hvmlite.plan(kernels[name], cmdline=LONGEST + b"x")


def test_a_command_line_with_a_nul_is_refused(kernels):
    with pytest.raises(RequestError, match="NUL found at byte 1"):
        hvmlite.plan(kernels[KERNEL], cmdline=b"a\0b")


@pytest.mark.parametrize(
    ("initrd", "memory", "hint"),
    [
        (GIB, GIB, r"1\d{3} MiB of RAM is the least .* \(-m 1\d{3}M\)"),
        # Low RAM is at its largest right below 2.75 GiB, see test_memory_sizes.
        (2560 * MIB, 300 * MIB, r"2\d{3} MiB of RAM is the least .* \(-m 2\d{3}M\)"),
        (2560 * MIB, 100 * GIB, r"2\d{3} to 2815 MiB of RAM would do"),
        (3 * GIB, 2 * GIB, None),
    ],
)
def test_a_hint_about_memory_is_true(kernels, tmp_path, initrd, memory, hint):
    path = sparse(tmp_path / "sparse", initrd)

    def plan(size):
        return hvmlite.plan(kernels[KERNEL], initrds=[path], memory=size)

    with pytest.raises(PlacementError) as caught:
        plan(memory)
    if hint is None:
        assert caught.value.hint is None
        return
    assert re.match(hint, caught.value.hint), caught.value.hint
    numbers = [int(n) for n in re.findall(r"\d+", caught.value.hint.partition(" of RAM")[0])]
    for number in numbers:
        plan(number * MIB)
    with pytest.raises(PlacementError):
        plan((numbers[0] - 1) * MIB)
