"""The reset ROM: what objdump reads in it, and which states are refused by name."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines import raw_guests as raw
from hvmlite.engines import _q35, _rom
from hvmlite.engines._asm import Code
from hvmlite.engines._q35 import PortWrite
from hvmlite.errors import RequestError, UnsupportedError
from hvmlite.guest.segments import DATA32, TSS, UNUSABLE
from hvmlite.model import DescriptorTable, SegmentRegister


def disassemble(path, code: bytes, bits: int, start: int = 0, stop: int | None = None):
    path.write_bytes(code)
    machine = {16: "i8086", 32: "i386"}[bits]
    command = ["objdump", "-D", "-b", "binary", "-m", machine, "-M", "intel", "--no-show-raw-insn"]
    command += [f"--start-address={start}", f"--stop-address={stop or len(code)}", path]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [
        " ".join(line.partition("\t")[2].split())
        for line in text.splitlines()
        if line.startswith(" ") and "\t" in line
    ]


def test_from_the_reset_vector_to_32_bit_mode(tmp_path):
    rom = _rom.build()
    assert len(rom) == 0x10000
    assert disassemble(tmp_path / "rom", rom, 16, 0xFFF0, 0xFFF3) == ["jmp 0x0"]
    assert disassemble(tmp_path / "rom", rom, 16, 0, 2) == ["jmp 0x40"]
    assert disassemble(tmp_path / "rom", rom, 16, 0x40, 0x57) == [
        "cli",
        "lgdtd cs:0x28",
        "mov eax,cr0",
        "or al,0x1",
        "mov cr0,eax",
        "jmp 0x8:0xffff0100",
    ]


def test_the_emitters_instructions(tmp_path):
    code = Code(0)
    code.mov(6, 0x12345678)
    code.store(0xFEE00080, 0x30)
    code.out(0xCF8, 0x80000090, 4)
    code.out(0x604, 1, 2)
    code.wrmsr(0x277, 0x0007040600070406)
    code.mov_cr2(0xDEADBEEF)
    code.copy(0x1000, 0x2000, 10)
    code.spin()
    code.rsm()
    assert disassemble(tmp_path / "code", bytes(code.data), 32) == [
        "mov esi,0x12345678",
        "mov DWORD PTR ds:0xfee00080,0x30",
        "mov edx,0xcf8",
        "mov eax,0x80000090",
        "out dx,eax",
        "mov edx,0x604",
        "mov eax,0x1",
        "out dx,ax",
        "mov ecx,0x277",
        "mov eax,0x70406",
        "mov edx,0x70406",
        "wrmsr",
        "mov eax,0xdeadbeef",
        "mov cr2,eax",
        "mov esi,0x2000",
        "mov edi,0x1000",
        "mov ecx,0x3",
        "rep movs DWORD PTR es:[edi],DWORD PTR ds:[esi]",
        f"jmp {len(code.data) - 4:#x}",
        "rsm",
    ]


def test_32_bit_operations_in_16_bit_code(tmp_path):
    code = Code(0, bits=16)
    code.store(0x3FF00, 0xA0000)
    code.copy(0xAFE00, 0xFFFF8000, 512)
    code.rsm()
    assert disassemble(tmp_path / "code", bytes(code.data), 16) == [
        "addr32 mov DWORD PTR ds:0x3ff00,0xa0000",
        "mov esi,0xffff8000",
        "mov edi,0xafe00",
        "mov ecx,0x80",
        "rep movs DWORD PTR es:[edi],DWORD PTR ds:[esi]",
        "rsm",
    ]


def again():
    code = Code(0)
    _rom._once(code)
    return code.data


def test_a_machine_that_is_set_up_is_reset(tmp_path):
    end = len(again())
    assert disassemble(tmp_path / "code", bytes(again()), 32) == [
        "mov edx,0xcf8", "mov eax,0x8000f844", "out dx,eax",
        "mov edx,0xcfc", "in al,dx", "test al,0x80", f"je {end:#x}",
        "mov edx,0xcf9", "mov eax,0x6", "out dx,al", f"jmp {end - 2:#x}",
    ]  # fmt: skip


def test_registers_in_memory_are_set(tmp_path):
    code = Code(0)
    _rom._write(code, [_q35.MemoryWrite(0xFEE00350, 0x700)])
    assert disassemble(tmp_path / "code", bytes(code.data), 32) == [
        "mov DWORD PTR ds:0xfee00350,0x700"
    ]


def test_setup_writes_are_made_in_order(tmp_path):
    rom = _rom.build([PortWrite(0x70, 0x0F), PortWrite(0x71, 0x0A)])
    start = 0x10A + len(again())
    text = disassemble(tmp_path / "rom", rom, 32, start, start + 22)
    assert text[:6] == [
        "mov edx,0x70", "mov eax,0xf", "out dx,al", "mov edx,0x71", "mov eax,0xa", "out dx,al",
    ]  # fmt: skip


@given(value=st.integers(0, (1 << 64) - 1))
def test_the_same_state_gives_the_same_bytes(value):
    cpu = replace(raw.LONG, r11=value)
    assert _rom.handover(cpu) == _rom.handover(cpu)
    assert _rom.build(_q35.setup()) == _rom.build(_q35.setup())


CODE = raw.FLAT32.cs
IMPOSSIBLE = {
    "rax": {"rax": 1 << 64},
    "rip": {"rip": 1 << 32},
    "rflags": {"rflags": 0},
    "cr0": {"cr0": 0x80000010},
    "cr3": {"cr3": 1 << 52},
    "cr4": {"cr4": 1 << 32},
    "cr8": {"cr8": 16},
    "efer": {"efer": 0x400},
    "cs": {"cs": DATA32},
    "cs limit": {"cs": replace(CODE, limit=1 << 32)},
    "cs selector": {"cs": replace(CODE, selector=0x10000)},
    "ds": {"ds": replace(DATA32, type=2)},
    "ds base": {"ds": replace(DATA32, base=1 << 32)},
    "es": {"es": replace(DATA32, g=0)},
    "ss": {"ss": CODE},
    "fs": {"fs": replace(DATA32, limit=0x1FFE)},
    "tr": {"tr": UNUSABLE},
    "ldtr": {"ldtr": SegmentRegister(type=3, s=0)},
    "gdtr base": {"gdtr": DescriptorTable(1 << 32, 0)},
    "idtr limit": {"idtr": DescriptorTable(0, 0x10000)},
    "msrs": {"msrs": ((0xC0000080, 0),)},
    "msr 0x277": {"msrs": ((0x277, 1 << 64),)},
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_an_impossible_state_names_the_register(name):
    with pytest.raises(RequestError, match=rf"^cpu {name}: ") as caught:
        _rom.handover(replace(raw.FLAT32, **IMPOSSIBLE[name]))
    assert caught.value.field == name


def test_long_mode_needs_its_bits():
    with pytest.raises(RequestError, match="cr4"):
        _rom.handover(replace(raw.LONG, cr4=0))
    with pytest.raises(RequestError, match="tr"):
        _rom.handover(replace(raw.LONG, tr=replace(TSS, type=3)))
    with pytest.raises(RequestError, match="cs"):
        _rom.handover(replace(raw.LONG, cs=replace(raw.LONG.cs, db=1)))


def test_what_the_rom_cannot_set():
    with pytest.raises(UnsupportedError, match="cr2") as caught:
        _rom.handover(replace(raw.LONG, cr2=1 << 40))
    assert caught.value.feature == "cr2"
