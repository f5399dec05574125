"""The guest's report is hostile input: each way to be wrong has its words, none has a traceback."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmlite.errors import FormatError
from hvmlite.matrix.report import LONGEST, Resource, parse
from hvmlite.model import MemoryRange, SetupNode
from matrix.reports import MAP, SUM, e820, line, members, zero_page

BOOT = b"[    0.000000] Linux version 6.12\r\n[    1.0] Run /init as init process\r\n"


def test_a_report_among_the_kernels_own_lines():
    found = parse(BOOT + line(rsdp=0) + b"[    2.0] reboot: Power down\r\n")
    assert found.cmdline == "console=ttyS0 \xff"
    assert found.boot_params == zero_page()
    assert found.memory_map == tuple(MemoryRange(a, a + size, t) for a, size, t in MAP)
    assert found.iomem[1] == Resource(0, 0x1000, 0x9F000, "System RAM")
    assert (found.files, found.acpi) == ((("/payload/a", SUM),), (("DSDT", SUM),))
    assert (found.memory_kib, found.cpus, found.uptime_ms, found.efi) == (8000, 1, 1234, False)
    assert (found.framebuffer, found.rsdp) == (None, None)


def test_without_its_last_line_end():
    assert parse(line().rstrip()).release == "6.12.0"


def test_what_the_guest_lacks_is_none():
    for value in (None, ...):
        found = parse(line(**{name: value for name in members() if name != "schema"}))
        assert {getattr(found, name) for name in members() if name != "schema"} == {None}
        assert (found.memory_map, found.rsdp) == (None, None)


def test_the_memory_map_goes_on_in_setup_data():
    more = [(0x1000000 * n, 0x1000, 2) for n in range(1, 200)]
    first = [(0x800000 + 0x1000 * n, 0x1000, 1) for n in range(128)]
    nodes = [{"type": 9, "data": "00"}, {"type": 1, "data": e820(more).hex()}]
    found = parse(line(boot_params=zero_page(first).hex(), setup_data=nodes))
    assert [(r.start, r.size, r.type) for r in found.memory_map] == first + more
    assert found.setup_data == (SetupNode(9, b"\0"), SetupNode(1, e820(more)))


def test_the_rsdp_is_the_zero_pages():
    assert parse(line(boot_params=zero_page(rsdp=0xE0000).hex())).rsdp == 0xE0000


def test_a_frame_buffer_has_attributes():
    found = parse(line(framebuffer={"name": "VESA VGA", "bits_per_pixel": None}))
    assert found.framebuffer == (("bits_per_pixel", None), ("name", "VESA VGA"))


def test_unknown_members_are_skipped():
    assert parse(line(news=[1, {"a": 2}])).release == "6.12.0"


def test_a_command_line_that_names_the_report_is_none():
    echo = b"[    0.0] Kernel command line: hvmlite-report: {}\r\n"
    assert parse(echo + line()).release == "6.12.0"


def raw(text):
    return b"hvmlite-report: " + text + b"\n"


DEEP = b"[" * 100_000
WRONG = {
    "nothing": (BOOT, "console: no report found, one line of it needed"),
    "several": (line() + line(), "console: several reports found, one needed"),
    "too long": (
        raw(b'"' + b"x" * LONGEST + b'"'),
        f"report: {LONGEST + 2} bytes found, at most {LONGEST} needed",
    ),
    "cut off": (raw(b'{"schema":1,'), "report: no JSON at byte 12, one JSON object needed"),
    "a list": (raw(b"[1]"), "report: a list found, an object needed"),
    "too deep": (raw(DEEP), "report: nested too deeply, an object of a few levels needed"),
    "not ASCII": (raw(b'{"schema":1,"a":"\xff"}'), "report: a byte 0xff found, ASCII needed"),
    "no JSON": (raw(b'{"schema":NaN}'), "report: NaN found, JSON needed"),
    "a name twice": (
        raw(b'{"schema":1,"cpus":1,"cpus":2}'),
        "report: a name twice in one object, each once needed",
    ),
    "many digits": (
        raw(b'{"schema":' + b"9" * 5000 + b"}"),
        "report: a number of thousands of digits found, one below 2^64 needed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_broken_line(name):
    console, message = WRONG[name]
    with pytest.raises(FormatError) as caught:
        parse(console)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "schema is 2, 1 needed"),
        ({"schema": True}, "schema is True, 1 needed"),
        ({"schema": ...}, "schema is null, 1 needed"),
        ({"release": 6}, "release is a number, a text needed"),
        ({"cmdline": "\u0100"}, "cmdline has a character beyond U+00FF, bytes as Latin-1 needed"),
        ({"machine": "\ud800"}, "machine has a character beyond U+00FF, bytes as Latin-1 needed"),
        ({"cpus": 1.5}, "cpus is 1.5, a number from 0 to 2^64-1 needed"),
        ({"cpus": True}, "cpus is True, a number from 0 to 2^64-1 needed"),
        ({"memory_kib": -1}, "memory_kib is -1, a number from 0 to 2^64-1 needed"),
        ({"memory_kib": 1 << 64}, f"memory_kib is {1 << 64}, a number from 0 to 2^64-1 needed"),
        ({"efi": 1}, "efi is a number, a truth value needed"),
        ({"boot_params": "0"}, "boot_params is no hex, two digits for each byte needed"),
        ({"boot_params": "00" * 4095}, "boot_params has 4095 bytes, 4096 needed"),
        ({"boot_params": zero_page(count=129).hex()},
         "boot_params names 129 memory map records, at most 128 needed"),
        ({"setup_data": {}}, "setup_data is an object, a list needed"),
        ({"setup_data": [1]}, "setup_data[0] is a number, an object needed"),
        ({"setup_data": [{"type": "1", "data": ""}]},
         "setup_data[0].type is a text, a number from 0 to 2^64-1 needed"),
        ({"setup_data": [{"type": 1, "data": "00"}]},
         "SETUP_E820_EXT has 1 bytes, a multiple of 20 needed"),
        ({"setup_data": [{"type": 1, "data": "00" * 20 * 3200}]},
         "3203 memory map records found, at most 3200 needed"),
        ({"iomem": [[0, 1, 2]]}, "iomem[0] has 3 members, 4 needed"),
        ({"iomem": [[0, 2, 1, "x"]]}, "iomem[0] ends at 0x1, an end from its start 0x2 on needed"),
        ({"iomem": ["x"]}, "iomem[0] is a text, a list needed"),
        ({"framebuffer": "x"}, "framebuffer is a text, an object needed"),
        ({"framebuffer": {"\x1b[2J": 1}}, "a member of framebuffer is a number, a text needed"),
        ({"files": []}, "files is a list, an object needed"),
        ({"files": {"/a": "ab"}}, "a member of files is no SHA-256 sum, 64 hex digits needed"),
        ({"acpi": {"\u0100": SUM}},
         "a name in acpi has a character beyond U+00FF, bytes as Latin-1 needed"),
    ],
)  # fmt: skip
def test_a_member_of_the_wrong_kind(changes, message):
    with pytest.raises(FormatError) as caught:
        parse(line(**changes))
    assert str(caught.value) == f"report: {message}"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=4,
)


def complaint(console):
    try:
        parse(console)
    except FormatError as error:
        return str(error)
    return ""


@given(st.dictionaries(st.sampled_from(sorted(members())), JSON, max_size=2))
def test_any_values_give_a_report_or_its_error(changes):
    assert complaint(line(**{"boot_params": None} | changes)).isprintable()


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_give_a_report_or_its_error(before, after):
    assert complaint(before + b"\nhvmlite-report: {" + after).isprintable()


@given(st.integers(0, len(line()) - 1), st.integers(0, 255), st.booleans())
def test_a_damaged_report_gives_a_report_or_its_error(at, byte, cut):
    text = bytearray(line())
    text[at] = byte
    assert complaint(bytes(text[:at] if cut else text)).isprintable()


@pytest.mark.parametrize("unit", [b"\n", b"\r", b"hvmlite-report: ", b"\nhvmlite-report:", b"\rx"])
@pytest.mark.parametrize("start", [b"", b"hvmlite-report: "])
def test_a_console_of_8_mib_takes_no_time(start, unit):
    console = start + unit * ((8 << 20) // len(unit)) + b"x"
    began = time.monotonic()
    with pytest.raises(FormatError):
        parse(console)
    assert time.monotonic() - began < 5
