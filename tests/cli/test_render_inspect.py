"""What `inspect` says, of images with a payload, without, and with a broken one."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace

import pytest

from cli import values
from cli.json_tables import complaints
from hvmlite import cli
from hvmlite.cli._answer import dumps
from hvmlite.cli._style import Style
from hvmlite.cli.render.inspect import Report
from hvmlite.errors import FormatError
from hvmlite.model import Preference

EVIL = values.EVIL


def broken():
    raise FormatError(f"stream of {EVIL}: ends early", source="k", offset=5)


INNER = values.image()
SHA256 = hashlib.sha256(bytes(INNER.data)).hexdigest()
PARTS = (
    values.m.Part(".linux", 0x400, memoryview(b"x" * 2048)),
    values.m.Part(EVIL, 0x800, memoryview(b""), 1),
)
IMAGES = {
    "elf": values.image(),
    "uki": values.image(format="uki", parts=PARTS),
    "bzimage": values.bzimage(lambda: INNER),
    "broken": values.bzimage(broken),
}


def report(name):
    return Report.of(IMAGES[name], values.answers(INNER), SHA256, values.verdicts())


def document(name):
    return json.loads(dumps(report(name).document()))


@pytest.mark.parametrize("name", IMAGES)
def test_the_document_is_what_the_page_says(name):
    assert complaints(document(name), "inspect") == []


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("style", [Style(), Style(unicode=True)])
def test_no_line_can_hurt_a_terminal(name, style):
    for line in report(name).lines(style):
        assert line.isprintable(), line


def test_the_peers_come_first_and_are_told_apart():
    lines = list(report("elf").lines(Style()))
    assert lines[0] == "qemu  starts it by pvh (7.2)"
    assert "xen   does not start it (4.17)" in lines
    assert any("pvh: note: none, one needed" in line for line in lines)
    peers = document("elf")["peers"]
    assert [(peer["peer"], peer["starts"], peer["ways"]) for peer in peers] == [
        ("qemu", True, ["pvh"]),
        ("xen", False, []),
    ]
    assert all(peer["requirements"] for peer in peers)


def test_without_peers_nothing_is_said_of_them():
    bare = Report.of(INNER, (), SHA256)
    assert bare.document()["peers"] == []
    assert not any("starts it by" in line for line in bare.lines(Style()))


def test_the_document_says_what_was_found():
    found = document("bzimage")
    assert found["sha256"] == hashlib.sha256(bytes(INNER.data)).hexdigest()
    assert [offer["protocol"] for offer in found["offers"]] == ["pvh", "linux32", "bios"]
    assert [offer["firmware"] for offer in found["offers"]] == ["", "", "seabios"]
    assert found["offers"][0]["relocation"] == {
        "align": 0x200000, "lowest": 1 << 20, "highest": 0xFFFFFFFF, "preference": "linked"
    }  # fmt: skip
    (refusal,) = found["refusals"]
    assert refusal["reasons"][0]["needed"] == "XLF_KERNEL_64 needed"
    assert refusal["facts"][1] == {"name": "entry", "value": "0x100"}
    notes = found["payload"]["image"]["notes"]
    assert [note["value"] for note in notes[:2]] == [0x1000370, [1, 2, 1 << 63]]
    assert notes[3]["value"] is None
    assert (notes[3]["desc"], notes[3]["desc_size"]) == ("00" * 256, 1000)


@pytest.mark.parametrize("preference", ["lowest", "highest"])
def test_an_image_that_wants_to_lie_elsewhere_says_so(preference):
    first, *others = values.answers(INNER)
    wish = replace(first.relocation, preference=Preference(preference))
    made = Report.of(INNER, (replace(first, relocation=wish), *others), SHA256)
    (line,) = [each for each in made.lines(Style()) if "may be moved" in each]
    assert line.endswith(f"by multiples of 2 MiB, wants the {preference} place")
    found = json.loads(dumps(made.document()))
    assert found["offers"][0]["relocation"]["preference"] == preference


def test_a_payload_that_cannot_be_unpacked_is_reported_not_raised():
    payload = document("broken")["payload"]
    assert payload["image"] is None
    assert payload["error"].endswith("ends early")
    assert any("ends early" in line for line in report("broken").lines(Style()))


def test_people_see_ways_in_and_closed_ones():
    lines = list(report("bzimage").lines(Style()))
    at, closed = lines.index("ways in"), lines.index("closed")
    assert lines[at + 1] == "  pvh      entry 0x01000370 in the payload, needs 51 MiB of RAM"
    assert lines[at + 3] == (
        "           may be moved within 0x00100000-0xffffffff, by multiples of 2 MiB"
    )
    assert lines[closed + 1] == "  linux64  xloadflags: bit 0 clear, XLF_KERNEL_64 needed"
    assert "  bios     started by the machine's firmware, seabios" in lines
    (fact,) = [line for line in lines[closed:] if line.endswith("0x100")]
    assert fact.startswith(" " * 13 + "entry ")


def test_parts_are_shown():
    assert document("uki")["parts"][0] == {
        "name": ".linux", "profile": None, "offset": 0x400, "size": 2048
    }  # fmt: skip
    lines = list(report("uki").lines(Style()))
    at = lines.index("parts")
    assert lines[at + 1].split() == [".linux", "2", "KiB"]
    assert "profile 1" in lines[at + 2]


def test_no_way_in_is_said():
    refused = [answer for answer in values.answers(INNER) if not hasattr(answer, "entry")]
    assert "no way in" in list(Report.of(INNER, refused, SHA256).lines(Style()))


def test_a_large_disk_is_not_read_for_its_hash(tmp_path, capsys):
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.write(b"\xeb".ljust(510, b"\0") + b"\x55\xaa")
        file.truncate(10 << 30)
    started = time.process_time()
    assert cli.main(["inspect", str(path), "--json"]) == 0
    assert cli.main(["inspect", str(path)]) == 0
    assert time.process_time() - started < 5
    text = capsys.readouterr().out
    found, end = json.JSONDecoder().raw_decode(text)
    assert found["sha256"] is None
    assert complaints(found, "inspect") == []
    (line,) = [line for line in text[end:].splitlines() if "sha256" in line]
    assert line.endswith("not made: of files up to 256 MiB only")
