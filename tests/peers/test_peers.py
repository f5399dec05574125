"""The room as a whole: choice of peers, sources of all rules, the calls."""

from __future__ import annotations

import pytest

import hvmlite
from hvmlite import peers as room
from hvmlite.errors import RequestError
from makers import elf
from makers import peers as make
from peers import page

NAMES = ["qemu", "xen", "firecracker", "cloud-hypervisor", "grub"]


def test_all_of_them_are_asked_unless_some_are_named():
    image = make.parse(elf.pvh_kernel())
    assert [verdict.peer for verdict in hvmlite.verdicts(image)] == NAMES
    chosen = hvmlite.verdicts(image, ["grub", "qemu", "grub"])
    assert [verdict.peer for verdict in chosen] == ["grub", "qemu"]


@pytest.mark.parametrize("names", [["bhyve"], ["qemu", ""], ["QEMU"]])
def test_a_name_that_is_none_is_told(names):
    with pytest.raises(RequestError, match="one of qemu, xen, firecracker"):
        room.verdicts(make.parse(elf.pvh_kernel()), names)


@pytest.mark.parametrize("name", NAMES)
def test_every_requirement_has_its_source(name):
    rules = room.requirements(name)
    assert len(set(rules)) == len(rules)
    for rule in rules:
        assert "needed" in rule.needed, rule
        assert ": " in rule.source, rule


@pytest.mark.parametrize("name", NAMES)
def test_a_reason_is_made_of_its_requirement(name):
    for rule in room.requirements(name):
        reason = rule.unmet("nothing", "look")
        assert (reason.found, reason.needed, reason.hint) == ("nothing", rule.needed, "look")
        assert reason.what.endswith(rule.what)


def test_the_page_is_made_of_the_tables():
    assert page.PAGE.read_text() == page.render(), "run: python tests/peers/page.py"
