"""A plan for people and for programs."""

from __future__ import annotations

import json
import re

import pytest

from cli import values
from cli.json_tables import complaints
from hvmlite import model as m
from hvmlite.cli._answer import dumps
from hvmlite.cli._style import Style
from hvmlite.cli.render import plan as view

EVIL = values.EVIL
PLAIN = Style()


def document(**changes):
    return json.loads(dumps(view.document(values.plan(**changes), f"k{EVIL}")))


def text(style=PLAIN, **changes):
    return list(view.lines(values.plan(**changes), f"k{EVIL}", style))


def test_the_document_is_what_the_page_says():
    assert complaints(document(), "plan") == []
    bare = m.GuestPlan("pvh", m.Machine("none", 0, ()), m.CpuState(), (), m.BootInfo())
    assert complaints(json.loads(dumps(view.document(bare, "k"))), "plan") == []


def test_the_document_says_what_the_plan_says():
    plan, found = values.plan(), document()
    assert [(p["start"], p["end"], p["kind"]) for p in found["map"]] == [
        (p.start, p.end, p.kind) for p in plan.pieces
    ]
    assert found["cpu"]["rip"] == 0x1000370
    assert found["cpu"]["mode"] == "32-bit protected"
    assert found["cpu"]["cs"] == {
        "selector": 8, "base": 0, "limit": 0xFFFFFFFF, "attributes": 0x409B
    }  # fmt: skip
    assert found["cpu"]["msrs"] == [{"index": 0xC0000100, "value": 5}]
    assert {name: found["cpu"][name] for name in plan.cpu.general} == plan.cpu.general
    info = found["boot_info"]
    assert [module["start"] for module in info["modules"]] == [0x7FFF0000, 5 << 30]
    assert info["memory_map"][1] == {
        "start": 1 << 20,
        "end": 2 << 30,
        "type": 99,
        "name": "type 99",
    }
    assert info["origin"]["hypervisor"] == "xen"
    assert found["dropped"][0]["field"] == "origin"


def test_64_bit_values_survive():
    high = 0xFFFFFFFF81000000
    assert document(cpu=m.CpuState(rip=high, r15=2**64 - 1))["cpu"]["rip"] == high


@pytest.mark.parametrize("style", [Style(), Style(unicode=True)])
def test_no_line_can_hurt_a_terminal(style):
    for line in text(style):
        assert line.isprintable(), line
        assert line.isascii() or style.unicode


def test_colour_is_the_only_control_sequence():
    for line in text(Style(colour=True, unicode=True)):
        assert re.sub(r"\x1b\[[0-9;]+m", "", line).isprintable(), line


def test_people_see_the_state_of_the_processor():
    lines = [re.sub(r"  +", "  ", line) for line in text()]
    assert "first instruction: 32-bit protected mode, paging off" in lines
    for line in (
        "  rip  0x01000370  -> kernel segment 0 + 0x370",
        "  rbx  0x00001000  -> start info",
        "  0  all other general registers",
        "  cr0  0x00000011  PE ET",
        "  gdtr  0x00002000  limit 0x1f  -> GDT",
        "  ds es fs gs ss  selector 0x0010  base 0x00000000  limit 0xffffffff  32-bit data,"
        " type 0x3, dpl 0",
    ):
        assert line in lines


def test_people_see_what_is_not_carried_and_the_command_line():
    lines = text()
    assert any(line.startswith("not carried: origin: ") for line in lines)
    assert r"  command line  console=ttyS0 \x1b[31mred" in lines
    assert "  command line  (empty)" in text(boot_info=m.BootInfo())
