"""The rules that hold everywhere in src/hvmlite, and the proof that a breach is seen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import hvmlite
from import_rules import violations

PACKAGE = Path(hvmlite.__file__).parent

# What a start of the command line must not pay for: it is imported where it is used.
HEAVY = {
    "asyncio", "bz2", "ctypes", "email", "http", "logging", "lz4", "lzallright", "lzma",
    "multiprocessing", "subprocess", "tempfile", "unittest", "zstandard",
}  # fmt: skip


def test_src_keeps_the_rules():
    assert "\n".join(violations(PACKAGE)) == ""


def _tree(folder: Path, files: dict[str, str]) -> Path:
    package = folder / "hvmlite"
    for name in ("images/elf.py", "images/_read.py", "protocols/pvh.py", "protocols/linux.py",
                 "engines/qemu/argv.py", "engines/record.py", "guest/place.py", "spec/elf.py",
                 "guest/acpi.py", "model/cpu.py", "cli/run.py", "wire.py", "errors.py",
                 "boot.py", *files):  # fmt: skip
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(files.get(name, ""))
    (package / "engines" / "__init__.py").touch()
    return package


@pytest.mark.parametrize(
    ("file", "source", "complaint"),
    [
        # the order of rooms
        ("errors.py", "import hvmlite.wire", "errors imports wire, which does not come before it"),
        ("wire.py", "from hvmlite import spec", "wire imports spec, which does not"),
        ("spec/elf.py", "from hvmlite.model import cpu", "spec imports model, which does not"),
        ("model/cpu.py", "from ..spec import elf", "model imports spec, which does not"),
        ("images/elf.py", "from hvmlite.guest import place", "images imports guest, which does"),
        ("boot.py", "from hvmlite.cli.run import run", "boot imports cli, which does not"),
        ("boot.py", "from hvmlite import __version__", "boot imports hvmlite, which does not"),
        ("attic.py", "from hvmlite import errors", "room 'attic' has no place"),
        ("boot.py", "import hvmlite.attic", "room 'attic' has no place"),
        # the two hard lines
        (
            "engines/record.py",
            "import hvmlite.images.elf",
            "engines imports images, which it never",
        ),
        (
            "engines/qemu/argv.py",
            "from ...protocols import pvh",
            "engines imports protocols, which",
        ),
        ("protocols/pvh.py", "from hvmlite.images import Image", "protocols imports images, which"),
        (
            "protocols/pvh.py",
            "from hvmlite.engines import qemu",
            "protocols imports engines, which",
        ),
        # members of a plural room
        ("protocols/pvh.py", "from .linux import offers", "member pvh of protocols imports member"),
        ("protocols/pvh.py", "from . import linux", "member pvh of protocols imports member linux"),
        ("protocols/pvh.py", "import hvmlite.protocols", "imports its own room's registry"),
        (
            "images/_read.py",
            "from hvmlite.images.elf import x",
            "member _read of images imports me",
        ),
        # wherever the import stands
        (
            "protocols/pvh.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..images import elf",
            "pvh.py:3: protocols imports images",
        ),
        ("wire.py", "def f():\n    from hvmlite.model import cpu", "wire.py:2: wire imports model"),
        ("wire.py", "import importlib\nimportlib.import_module('hvmlite.cli')", "wire imports cli"),
        # what only one place may do
        ("spec/elf.py", "import struct", "struct is imported outside wire"),
        ("boot.py", "from struct import unpack_from", "struct is imported outside wire"),
        ("boot.py", "print(1)", "print outside cli"),
        ("boot.py", "show = print", "print outside cli"),
        ("boot.py", "import sys\nsys.exit(1)", "sys.exit outside cli"),
        ("boot.py", "raise SystemExit(1)", "SystemExit outside cli"),
    ],
)
def test_a_breach_is_seen(tmp_path, file, source, complaint):
    (found,) = violations(_tree(tmp_path, {file: source}))
    assert found.startswith(file)
    assert complaint in found


@pytest.mark.parametrize(
    ("file", "source"),
    [
        (
            "wire.py",
            "import struct\nx = struct.Struct('<I')\nfrom hvmlite.errors import FormatError",
        ),
        ("images/elf.py", "from hvmlite.images._read import x\nfrom hvmlite.spec import elf"),
        ("images/__init__.py", "from hvmlite.images import elf"),
        ("guest/place.py", "from hvmlite.guest import acpi\nfrom hvmlite.model.cpu import x"),
        ("engines/qemu/argv.py", "from hvmlite.engines.qemu import x\nfrom ...guest import place"),
        ("boot.py", "from hvmlite import guest, images, protocols\nfrom hvmlite.engines import x"),
        ("cli/run.py", "import sys\nfrom hvmlite import __version__\nprint(1)\nsys.exit(0)"),
        ("__init__.py", "from hvmlite import boot"),
        ("boot.py", "import hvmlitefoo"),
    ],
)
def test_what_is_allowed_is_not_complained_of(tmp_path, file, source):
    assert violations(_tree(tmp_path, {file: source})) == []


def _modules_after(code: str) -> set[str]:
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(); print(*sys.modules)"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return {name.partition(".")[0] for name in result.stdout.splitlines()[-1].split()}


def test_help_imports_nothing_heavy():
    call_main = (
        "import sys\nfrom hvmlite.cli import main\nsys.argv = ['hvmlite', '--help']\n"
        "try: main()\nexcept SystemExit as end: assert not end.code, end.code"
    )
    assert _modules_after(call_main) & HEAVY == set()


def test_a_heavy_import_would_be_seen():
    assert "zstandard" in _modules_after("import zstandard") & HEAVY
