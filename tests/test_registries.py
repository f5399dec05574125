"""Each plural room: every file is in its ordered tuple, has a test of its name, and its page."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "hvmlite"

ROOMS = ("images", "protocols", "engines", "peers")
# room -> where each member's page is
DOCS = {"protocols": "docs/protocols"}


def members(room: Path) -> list[str]:
    """The public modules and packages of a room; what the members share is private."""
    names = [path.stem for path in room.glob("*.py")]
    names += [path.parent.name for path in room.glob("*/__init__.py")]
    return sorted(name for name in names if not name.startswith("_"))


def module_of(entry) -> str:
    """Where a registry's entry comes from: it is a module, a class, a function or an instance."""
    if isinstance(entry, ModuleType):
        return entry.__name__
    return getattr(entry, "__module__", None) or type(entry).__module__


def gaps(room: str, registry: tuple, root: Path) -> list[str]:
    """What is missing for the members of a room, one sentence each."""
    registered = {
        module_of(entry).removeprefix(f"hvmlite.{room}.").split(".")[0] for entry in registry
    }
    found = []
    for name in members(root / "src" / "hvmlite" / room):
        if name not in registered:
            found.append(f"{room}/{name} is not in the tuple of {room}/__init__.py")
        tests = root / "tests" / room
        if not [*tests.glob(f"test_{name}.py"), *tests.glob(f"test_{name}_*.py")]:
            found.append(f"{room}/{name} has no tests/{room}/test_{name}.py")
        # Members that a number tells apart share a page: linux.md has linux32 and linux64.
        pages = {name, name.rstrip("0123456789")}
        if room in DOCS and not any((root / DOCS[room] / f"{p}.md").is_file() for p in pages):
            found.append(f"{room}/{name} has no {DOCS[room]}/{name}.md")
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_every_member_is_registered_tested_and_documented(room):
    # Written and ordered, not import magic: the one constant of the room that is a tuple.
    face = importlib.import_module(f"hvmlite.{room}")
    constants = [getattr(face, name) for name in face.__all__ if name.isupper()]
    (registry,) = (value for value in constants if isinstance(value, tuple))
    assert registry
    assert "\n".join(gaps(room, registry, ROOT)) == ""


def test_a_gap_is_seen(tmp_path):
    room = tmp_path / "src" / "hvmlite" / "protocols"
    (room / "bios").mkdir(parents=True)
    for name in ("__init__", "pvh", "linux", "efi64", "_cpu", "bios/__init__"):
        (room / f"{name}.py").touch()
    (tmp_path / "tests" / "protocols").mkdir(parents=True)
    (tmp_path / "tests" / "protocols" / "test_pvh_encode.py").touch()
    (tmp_path / "docs" / "protocols").mkdir(parents=True)
    (tmp_path / "docs" / "protocols" / "pvh.md").touch()
    (tmp_path / "docs" / "protocols" / "bios.md").touch()
    (tmp_path / "docs" / "protocols" / "efi.md").touch()
    bios = type("Bios", (), {"__module__": "hvmlite.protocols.bios.entry"})
    registry = (ModuleType("hvmlite.protocols.pvh"), bios())
    assert gaps("protocols", registry, tmp_path) == [
        "protocols/bios has no tests/protocols/test_bios.py",
        "protocols/efi64 is not in the tuple of protocols/__init__.py",
        "protocols/efi64 has no tests/protocols/test_efi64.py",
        "protocols/linux is not in the tuple of protocols/__init__.py",
        "protocols/linux has no tests/protocols/test_linux.py",
        "protocols/linux has no docs/protocols/linux.md",
    ]
