"""The processor's mode and the attribute words, by the SDM's tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

import hvmlite.model as m

CODE = m.SegmentRegister(0x10, 0, 0xFFFFFFFF, type=0xB, db=1, g=1)


@pytest.mark.parametrize(
    ("cr0", "efer", "l", "db", "mode"),
    [
        (0x10, 0, 0, 0, m.Mode.REAL),
        (0x11, 0, 0, 0, m.Mode.PROTECTED16),
        (0x11, 0, 0, 1, m.Mode.PROTECTED32),
        (0x80000011, 0x500, 0, 1, m.Mode.COMPATIBILITY),
        (0x80000011, 0x500, 1, 0, m.Mode.LONG),
    ],
)
def test_mode(cr0, efer, l, db, mode):  # noqa: E741 - the manual's name
    assert m.CpuState(cr0=cr0, efer=efer, cs=replace(CODE, l=l, db=db)).mode is mode


def test_attributes_are_those_of_vmx_and_svm():
    assert CODE.attributes == 0xC09B  # as Xen's and Firecracker's PVH states have it
    assert replace(CODE, type=3).attributes == 0xC093
    assert m.SegmentRegister(type=0xB, s=0, limit=0x67).attributes == 0x8B


def test_a_register_is_changed_by_name():
    cpu = m.CpuState(gdtr=m.DescriptorTable(0, 0x1F))
    assert cpu.with_register("gdtr", 0x1000).gdtr == m.DescriptorTable(0x1000, 0x1F)
    assert cpu.with_register("idtr", 0x2000).idtr == m.DescriptorTable(0x2000, 0xFFFF)
    assert cpu.with_register("rbx", 7).rbx == 7


def test_every_name_of_the_vocabulary_is_there():
    assert all(getattr(m, name) for name in m.__all__)
    with pytest.raises(AttributeError):
        _ = m.Nothing
