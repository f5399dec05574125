"""The AML encoder at its edges; what it encodes as a whole is judged by iasl in test_acpi.py."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmlite.guest import _aml as aml


def package_length(data):
    """Decode PkgLength as ACPI 6.5, 20.2.4 has it: (length, its own size)."""
    more = data[0] >> 6
    if not more:
        return data[0] & 0x3F, 1
    assert not data[0] & 0x30, "reserved bits"
    return data[0] & 0xF | int.from_bytes(data[1 : 1 + more], "little") << 4, 1 + more


@pytest.mark.parametrize(
    ("body", "own"),
    [(4, 1), (62, 1), (63, 2), (4093, 2), (4094, 3), ((1 << 20) - 4, 3), ((1 << 20) - 3, 4)],
)
def test_lengths_of_packages_take_as_few_bytes_as_they_can(body, own):
    data = aml.scope("_SB", bytes(body - 4))
    assert data[0] == 0x10
    assert package_length(data[1:]) == (body + own, own)
    assert len(data) == 1 + own + body


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0, "00"),
        (1, "01"),
        (2, "0a02"),
        (0xFF, "0aff"),
        (0x100, "0b0001"),
        (0xFFFF, "0bffff"),
        (0x10000, "0c00000100"),
        (0xFFFFFFFF, "0cffffffff"),
        (1 << 32, "0e0000000001000000"),
    ],
)
def test_integers_have_their_shortest_form(value, code):
    assert aml.integer(value).hex() == code


@pytest.mark.parametrize(("text", "value"), [("PNP0A03", 0x030AD041), ("PNP0501", 0x0105D041)])
def test_eisa_ids(text, value):
    # What every PC's DSDT has for a PCI bridge and a serial port.
    assert aml.eisa_id(text) == aml.integer(value)


@given(st.integers(0, 5000))
def test_buffers_say_their_exact_size(size):
    data = aml.buffer(bytes(size))
    length, own = package_length(data[1:])
    assert 1 + length == len(data)
    assert data[1 + own :] == aml.integer(size) + bytes(size)


def test_iasl_agrees_on_lengths_of_all_forms(tmp_path):
    # Nested so that lengths of one, two and three bytes are all there.
    def table(body):
        header = b"DSDT" + (36 + len(body)).to_bytes(4, "little") + b"\2\0" + b"HVMLITTEST    "
        data = bytearray(header + bytes([1, 0, 0, 0]) + b"HVML" + bytes([1, 0, 0, 0]) + body)
        data[9] = -sum(data) & 0xFF
        return bytes(data)

    names = [
        aml.name(f"B{size:03d}", aml.buffer(bytes([size % 251]) * size)) for size in range(100)
    ]
    data = table(aml.scope("_SB", *names, aml.device("DEV", aml.name("_UID", aml.integer(7)))))
    (tmp_path / "dsdt.dat").write_bytes(data)
    for command in (["iasl", "-d", "dsdt.dat"], ["iasl", "-p", "again", "dsdt.dsl"]):
        done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "again.aml").read_bytes()[36:] == data[36:]
