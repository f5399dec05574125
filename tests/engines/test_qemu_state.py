"""The state at the first guest instruction, by QEMU's gdb stub and monitor, is the plan's."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from engines import raw_guests as raw
from engines.gdb_remote import Remote, free_port
from hvmlite.engines import qemu
from hvmlite.guest.segments import DATA32, TSS, UNUSABLE
from hvmlite.model import CpuState, DescriptorTable, Mode, RunOptions, SegmentRegister

pytestmark = pytest.mark.boot

SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs")


def first_instruction(cpu: CpuState):
    """Registers by the stub, and what the monitor says, right before the first instruction."""
    port = free_port()
    plan = raw.plan(raw.SPIN, cpu)
    with qemu.start(plan, RunOptions("tcg", gdb=port)), Remote(port) as stub:
        stub.run_to(raw.linear(cpu))
        return stub.registers(), stub.monitor("info registers")


def hidden(text: str, name: str) -> tuple[int, int, int, int]:
    """Selector, base, limit and attributes of a segment register."""
    label = {"ldtr": "LDT", "tr": "TR"}.get(name, name.upper())
    match = re.search(rf"^{label} *=(\w+) (\w+) (\w+) (\w+)", text, re.MULTILINE)
    selector, base, limit, flags = (int(value, 16) for value in match.groups())
    return selector, base, limit, flags >> 8 & 0xF0FF


def table(text: str, name: str) -> tuple[int, int]:
    match = re.search(rf"^{name.upper()}= *(\w+) (\w+)", text, re.MULTILINE)
    return int(match[1], 16), int(match[2], 16)


def assert_state(cpu: CpuState) -> None:
    stub, monitor = first_instruction(cpu)
    wide = cpu.mode is Mode.LONG
    # What the mode can name is shown; the monitor cuts even an FS base that an MSR made.
    mask = (1 << 64) - 1 if wide else (1 << 32) - 1
    for number, (name, value) in enumerate(cpu.general.items()):
        if wide or number < 8:
            assert (name, stub[name]) == (name, value & mask)
    assert stub["rip"] == cpu.rip
    assert stub["eflags"] == cpu.rflags
    for name in SEGMENTS:
        segment = getattr(cpu, name)
        assert stub[name] == segment.selector
        attributes = segment.attributes if segment.present else 0
        wanted = segment.selector, segment.base & mask, segment.limit, attributes
        assert (name, *hidden(monitor, name)) == (name, *wanted)
    for name in ("tr", "ldtr"):
        segment = getattr(cpu, name)
        attributes = segment.attributes if segment.present else 0
        wanted = segment.selector, segment.base & mask, segment.limit, attributes
        assert (name, *hidden(monitor, name)) == (name, *wanted)
    assert table(monitor, "gdt") == (cpu.gdtr.base, cpu.gdtr.limit)
    assert table(monitor, "idt") == (cpu.idtr.base, cpu.idtr.limit)
    for name in ("cr0", "cr2", "cr3", "cr4", "cr8", "efer"):
        value = getattr(cpu, name) | (0x10 if name == "cr0" else 0)  # CR0.ET is always 1
        assert (name, stub[name]) == (name, value)
    assert stub["fs_base"] == cpu.fs.base
    assert stub["gs_base"] == cpu.gs.base


GENERAL = {
    name: 0x0123456789ABCDEF * (number + 3) & (1 << 64) - 1
    for number, name in enumerate(CpuState().general)
}

STATES = {
    "pvh": replace(raw.FLAT32, rbx=0x7000),
    "32-bit": replace(
        raw.FLAT32, **GENERAL, cr2=0xDEADBEEF, cr8=5, rflags=0x246, gdtr=DescriptorTable(0x5000, 31)
    ),
    "64-bit": replace(raw.LONG, **GENERAL, gdtr=DescriptorTable(0xFFFFFFFF80001000, 0x7F)),
    "64-bit, far bases": replace(
        raw.LONG,
        fs=replace(UNUSABLE, base=0xFFFF888000001234),
        gs=replace(DATA32, base=0x00007F0012345678),
        ds=UNUSABLE,
        tr=replace(TSS, base=0xFFFF888000002000),
        ldtr=SegmentRegister(0x28, 0xFFFFC90000000000, 0xF, type=2, s=0),
    ),
    "64-bit, 5 levels": replace(raw.LONG_LA57, **GENERAL),
    "compatibility": replace(raw.COMPATIBILITY, **GENERAL),
    "16-bit protected": replace(raw.PROTECTED16, **GENERAL),
    "16-bit real": replace(raw.REAL, **GENERAL, ds=SegmentRegister(0x2000, 0x20000), rflags=0x202),
    "unreal": replace(raw.REAL, ds=SegmentRegister(0x7, 0x1234567, 0xFFFFFFFF, g=1)),
    "real, high CS": replace(raw.REAL, cs=SegmentRegister(0xF000, 0x100000, type=0xB)),
    "ring 3": replace(
        raw.FLAT32,
        cs=replace(raw.CODE32, selector=0x2B, dpl=3),
        ss=replace(DATA32, selector=0x33, dpl=3),
    ),
    "virtual 8086": replace(
        raw.FLAT32,
        rip=0x10,
        rflags=0x20002,
        cs=SegmentRegister(0x1000, 0x10000, type=0x3, dpl=3),
        **{n: SegmentRegister(0x2000, 0x20000, dpl=3) for n in ("ds", "es", "ss", "fs", "gs")},
    ),
    "SYSENTER, WP, PGE": replace(raw.LONG, cr0=0x80010033, cr4=0x6A0, efer=0xD01),
}


@pytest.mark.parametrize("name", STATES)
def test_the_state_is_the_plans(name):
    assert_state(STATES[name])


@st.composite
def segments(draw, base_bits: int):
    pages = draw(st.booleans())
    limit = draw(st.integers(0, 0xFFFFF))
    return SegmentRegister(
        selector=draw(st.integers(0, 0xFFFF)),
        base=draw(st.integers(0, (1 << base_bits) - 1)),
        limit=limit << 12 | 0xFFF if pages else limit,
        type=draw(st.sampled_from((1, 3, 5, 7))),
        avl=draw(st.integers(0, 1)),
        db=draw(st.integers(0, 1)),
        g=int(pages),
    )


@st.composite
def states(draw):
    cpu = draw(
        st.sampled_from(
            (raw.FLAT32, raw.LONG, raw.LONG_LA57, raw.COMPATIBILITY, raw.PROTECTED16, raw.REAL)
        )
    )
    bits = 47 if cpu.efer else 32  # canonical
    word = st.integers(0, (1 << 64) - 1)
    tables = st.builds(DescriptorTable, st.integers(0, (1 << bits) - 1), st.integers(0, 0xFFFF))
    return replace(
        cpu,
        **{name: draw(word) for name in cpu.general},
        ds=draw(segments(32)),
        es=draw(segments(32)),
        fs=draw(segments(bits)),
        gs=draw(segments(bits)),
        gdtr=draw(tables),
        idtr=draw(tables),
        rflags=2 | draw(st.integers(0, 0x3FFFFF)) & 0x244CD5,  # no TF, IF, NT, RF, VM
        cr2=draw(st.integers(0, 0xFFFFFFFF)),
        cr8=draw(st.integers(0, 15)),
    )


# A boot each: the number of cases is not the profile's.
@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow],
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # shrinking would take hundreds of boots
)
@given(cpu=states())
def test_any_state_is_the_plans(cpu):
    assert_state(cpu)


def test_further_msrs_are_set():
    # RDMSR of IA32_PAT's high half and of KERNEL_GS_BASE's; the guest says what it finds.
    def read(index: int) -> bytes:
        mov = b"\xb9" + index.to_bytes(4, "little")
        # rdmsr; mov eax, edx; mov edx, 0xf4+; four times: out, shift
        shifted = b"\xba\xf8\x03\x00\x00" + b"\xee\xc1\xe8\x08" * 4
        return mov + b"\x0f\x32" + b"\x50" + b"\x89\xd0" + shifted + b"\x58" + shifted

    msrs = ((0x277, 0x0007010600070106), (0xC0000102, 0xFFFF800012345678))
    cpu = replace(raw.LONG, rsp=0x8000, msrs=msrs)
    code = b"".join(read(index) for index, _ in msrs) + raw.leave(1)
    with qemu.start(raw.plan(code, cpu), raw.TCG) as session:
        assert session.wait(10).status == 1
        said = b"".join(chunk.data for chunk in session.console.chunks)
    halves = [int.from_bytes(said[n : n + 4], "little") for n in range(0, 16, 4)]
    assert halves == [0x00070106, 0x00070106, 0xFFFF8000, 0x12345678]


def test_guest_memory_is_the_plans():
    """The ROM borrows RAM for its first SMI and gives it back."""
    cpu = raw.FLAT32
    port = free_port()
    with qemu.start(raw.plan(raw.SPIN, cpu), RunOptions("tcg", gdb=port)), Remote(port) as stub:
        stub.run_to(raw.AT)
        for start in (0x38000, 0x3FC00):
            memory = bytes.fromhex(stub.ask(b"m%x,400" % start).decode())
            assert memory == bytes(0x400)
        assert bytes.fromhex(stub.ask(b"m%x,2" % raw.AT).decode()) == raw.SPIN
