"""Constants, against the macros of the C headers that define them."""

from __future__ import annotations

import subprocess

import pytest

from hvmlite.model import MemoryType
from hvmlite.spec import elf, linux, pvh, x86, xen

HEADERS = (
    "elf.h",
    "asm/bootparam.h",
    "asm/processor-flags.h",
    "linux/screen_info.h",
    "xen/elfnote.h",
    "xen/xen.h",
    "xen/arch-x86/hvm/start_info.h",
)
# (enumeration, prefix of the macros, members that these headers do not have)
ENUMS = (
    (elf.EType, "ET_", ()),
    (elf.PType, "PT_", ()),
    (elf.PFlags, "PF_", ()),
    (elf.ShType, "SHT_", ()),
    (linux.LoadFlags, "", ()),
    (linux.XLoadFlags, "", ("XLF_MEM_ENCRYPTION",)),  # Linux 6.6
    (linux.SetupType, "", ()),
    (xen.ElfNote, "XEN_ELFNOTE_", ("PHYS32_RELOC",)),  # Xen 4.20
    (pvh.StartInfoFlags, "", ()),
    (MemoryType, "XEN_HVM_MEMMAP_TYPE_", ("PERSISTENT",)),
    (x86.CR0, "X86_CR0_", ()),
    (x86.CR4, "X86_CR4_", ("KL", "PKS", "UINTR")),
    (x86.RFLAGS, "X86_EFLAGS_", ()),
)
PLAIN = {
    "XEN_HVM_START_MAGIC_VALUE": pvh.XEN_HVM_START_MAGIC_VALUE,
    "XEN_HVM_MEMMAP_TYPE_PMEM": MemoryType.PERSISTENT,
    "E820_MAX_ENTRIES_ZEROPAGE": linux.E820_MAX_ENTRIES_ZEROPAGE,
    "VIDEO_TYPE_VLFB": linux.VIDEO_TYPE_VLFB,
    "VIDEO_CAPABILITY_64BIT_BASE": linux.VIDEO_CAPABILITY_64BIT_BASE,
    "EM_386": elf.EM_386,
    "EM_X86_64": elf.EM_X86_64,
    "PN_XNUM": elf.PN_XNUM,
}


@pytest.fixture(scope="module")
def macros(tmp_path_factory):
    """Name -> value of every macro asked for that the headers define."""
    names = [f"{prefix}{name}" for enum, prefix, _ in ENUMS for name in enum.__members__]
    lines = ["#include <stdio.h>", "#include <stdint.h>", *(f"#include <{h}>" for h in HEADERS)]
    lines.append("int main(void) {")
    for name in [*names, *PLAIN]:
        lines += [f"#ifdef {name}", f'printf("{name} %u\\n", (unsigned){name});']
        lines.append("#endif")
    folder = tmp_path_factory.mktemp("gcc")
    (folder / "macros.c").write_text("\n".join([*lines, "return 0; }", ""]))
    subprocess.run(["gcc", "-w", "-o", folder / "macros", folder / "macros.c"], check=True)
    text = subprocess.run(folder / "macros", check=True, capture_output=True, text=True).stdout
    return {name: int(value) for name, value in (line.split() for line in text.splitlines())}


@pytest.mark.parametrize(
    ("enum", "prefix", "absent"), ENUMS, ids=lambda v: getattr(v, "__name__", "")
)
def test_enumerations_are_the_headers(enum, prefix, absent, macros):
    # __members__: a flag of several bits is a member as well
    members = {name: int(member) for name, member in enum.__members__.items()}
    ours = {f"{prefix}{name}": members[name] for name in members.keys() - set(absent)}
    assert ours == {name: macros.get(name) for name in ours}


@pytest.mark.parametrize("name", PLAIN)
def test_constants_are_the_headers(name, macros):
    assert macros[name] == PLAIN[name]
