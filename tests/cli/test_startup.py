"""What `wrap` and `run` import before their work begins: most of what they cost is their start."""

from __future__ import annotations

import subprocess
import sys

import pytest

from makers import elf
from universal.wrapped import bzimage

# Each takes 1 to 10 ms and has no part in it. What an import of one of them brings is not named.
NEVER = {
    "asyncio", "bz2", "dataclasses", "hashlib", "importlib.metadata", "inspect", "ipaddress",
    "json", "logging", "lzma", "multiprocessing", "pathlib", "shutil", "tempfile", "urllib.parse",
}  # fmt: skip

# The names of all modules when `last`, an event of sys.addaudithook, is about to happen; "": at the
# end.
CODE = """
import os, sys
last, *arguments = sys.argv[1:]
def told(event, _):
    if event == last:
        os.write(1, " ".join(sys.modules).encode())
        os._exit(0)
sys.addaudithook(told)
from hvmlite.cli import main
if main(arguments) == 0 and not last:
    os.write(1, " ".join(sys.modules).encode())
"""


def imported(last, *arguments) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, last, *arguments], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def public(modules: set[str], room: str) -> set[str]:
    """The members of a room that are among the modules."""
    names = {name.removeprefix(f"hvmlite.{room}.") for name in modules if f".{room}." in name}
    return {name for name in names if not name.startswith("_")}


@pytest.fixture
def wrapping(tmp_path):
    (tmp_path / "vmlinuz").write_bytes(bzimage())
    return imported("", "wrap", tmp_path / "vmlinuz", "-o", tmp_path / "x", "-q")


@pytest.fixture
def running(tmp_path):
    """Up to the moment in which QEMU is started."""
    (tmp_path / "kernel").write_bytes(bzimage())
    return imported("subprocess.Popen", "run", tmp_path / "kernel", "--protocol", "linux64")


def test_wrap_imports_nothing_costly(wrapping):
    # zstandard: a payload is wrapped as it is. typing: nothing else here needs it.
    assert wrapping & (NEVER | {"subprocess", "socket", "typing", "zstandard"}) == set()


def test_wrap_imports_no_member_of_a_room_that_it_does_not_use(wrapping):
    assert public(wrapping, "protocols") == {"linux32", "linux64"}
    assert public(wrapping, "images") == {"bzimage", "uki"}
    rooms = {name.split(".")[1] for name in wrapping if name.startswith("hvmlite.")}
    assert rooms & {"engines", "matrix", "peers"} == set()


def test_before_qemu_is_started_run_imports_nothing_costly(running):
    assert running & NEVER == set()
    assert "subprocess" in running  # or it is no longer the one that starts QEMU


def test_before_qemu_is_started_run_imports_nothing_that_plans_or_shows(running):
    assert public(running, "images") == {"bzimage", "uki"}
    rooms = {name.split(".")[1] for name in running if name.startswith("hvmlite.")}
    assert rooms & {"guest", "protocols", "universal", "matrix", "peers"} == set()
    assert not {name for name in running if name.startswith("hvmlite.cli.render")}


def test_planning_imports_no_protocol_after_the_first_that_is_offered(tmp_path):
    (tmp_path / "kernel").write_bytes(elf.pvh_kernel())
    modules = imported("", "plan", tmp_path / "kernel", "--json")
    assert public({name for name in modules if "{" not in name}, "protocols") == {"pvh"}
