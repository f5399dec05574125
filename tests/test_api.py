"""The Python API as a user meets it: names, twice, in any order."""

from __future__ import annotations

import subprocess
import sys

import pytest

import hvmlite
from hvmlite.errors import RequestError


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_call_does_not_shadow_a_room():
    code = "import hvmlite; hvmlite.available_engines(); from hvmlite import engines; "
    code += "print(engines.record.NAME, hvmlite.available_engines()[0].engine)"
    assert python(code) == "record qemu"


def test_dir_shows_what_there_is():
    assert set(hvmlite.__all__) <= set(dir(hvmlite))
    assert all(getattr(hvmlite, name) for name in hvmlite.__all__)


def test_importing_it_imports_no_room():
    rooms = "[name for name in sys.modules if name.startswith('hvmlite.')]"
    assert python(f"import sys, hvmlite; print({rooms})") == "[]"


@pytest.mark.parametrize("name", ["a\0b", "/nonexistent", "/", "/dev/null"])
def test_a_file_that_is_none_is_a_request_error(name):
    with pytest.raises(RequestError):
        hvmlite.open_image(name)
