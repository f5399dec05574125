"""ACPI tables, read by ACPICA's own disassembler and compiler, and byte by byte."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hvmlite.guest import acpi
from hvmlite.guest.memory import PlanMemory, fill
from hvmlite.guest.place import place
from hvmlite.model import (
    BootInfo,
    CpuState,
    Entry,
    Machine,
    MemoryRange,
    MemoryType,
    Mode,
    PciHost,
    Platform,
    RamBlock,
    Ref,
    SerialPort,
)
from hvmlite.spec import acpi as spec

HOLE = MemoryRange(0xA0000, 0x100000, MemoryType.RESERVED)
BARE = Platform(pic=False, pit=False, rtc=False, serial=())
MICROVM = Platform(reset=(0x64, 0xFE), i8042=True)
PC = Platform(
    i8042=True,
    pm_base=0x600,
    gpe_base=0xAFE0,
    gpe_length=4,
    s5=5,
    reset=(0xCF9, 0x0F),
    pci=PciHost(mmio=(0xC0000000, 0xFEC00000), gsi=(10, 10, 11, 11), buses=256),
)
Q35 = Platform(
    vga=True,
    pm_base=0x600,
    gpe_base=0x620,
    gpe_length=16,
    reset=(0xCF9, 0x0F),
    hpet=0xFED00000,
    serial=(SerialPort(), SerialPort(0x2F8, 3)),
    pci=PciHost(
        mmio=(0xC0000000, 0xFEC00000),
        gsi=(16, 17, 18, 19, 20, 21, 22, 23),
        ecam=0xB0000000,
        mmio64=(0x800000000, 0x1000000000),
        express=True,
    ),
)
PLATFORMS = {"bare": BARE, "microvm": MICROVM, "pc": PC, "q35": Q35}


def machine(platform, cpus=1, mib=64):
    return Machine(
        "test", mib << 20, (RamBlock(0, mib << 20, 0),), (HOLE,), cpus=cpus, platform=platform
    )


def plan(platform, cpus=1):
    machine_ = machine(platform, cpus)
    return place(Entry("test", acpi.tables(machine_), CpuState()), machine_, BootInfo())


def number(data, offset, size):
    return int.from_bytes(data[offset : offset + size], "little")


def found(plan_):
    """All tables, as an operating system finds them: from the RSDP through pointers only."""
    memory = PlanMemory(plan_)

    def table(address):
        return memory.read(address, number(memory.read(address, 8), 4, 4))

    rsdp = memory.read(plan_.boot_info.rsdp, 36)
    xsdt = table(number(rsdp, 24, 8))
    tables = {"RSD PTR ": rsdp, "XSDT": xsdt, "RSDT": table(number(rsdp, 16, 4))}
    for at in range(36, len(xsdt), 8):
        listed = table(number(xsdt, at, 8))
        tables[listed[:4].decode()] = listed
    fadt = tables["FACP"]
    assert number(fadt, 40, 4) == number(fadt, 140, 8)
    tables["DSDT"] = table(number(fadt, 140, 8))
    if number(fadt, 36, 4):
        tables["FACS"] = table(number(fadt, 36, 4))
    return tables


def run(*command, cwd):
    done = subprocess.run(command, check=False, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def disassembled(table, folder: Path):
    """What ``iasl -d`` makes of a table; what it says besides is checked here."""
    name = table[:4].decode().strip().lower()
    (folder / f"{name}.dat").write_bytes(table)
    said = run("iasl", "-d", f"{name}.dat", cwd=folder)
    text = (folder / f"{name}.dsl").read_text()
    for word in ("rror", "arning", "nvalid", "nknown", "ncorrect"):
        assert word not in said, said
        assert word not in text, text
    return text


def field(text, offset, name):
    """The value of a field in iasl's listing: ``[06Dh 0109   2]   Boot Flags (...) : 0004``."""
    line = re.search(rf"^\[{offset:03X}h .*?\] +{re.escape(name)}.*? : (.*)$", text, re.MULTILINE)
    assert line, f"no {name} at {offset:#x} in\n{text}"
    return int(line[1].split()[0], 16)


def flags(text):
    """The names of the flags that are set, in iasl's listing of a FADT."""
    part = text.partition("Flags (decoded below)")[2].partition("Flags (decoded below)")[2]
    return set(re.findall(r"^ +(\S.*) : 1$", part.partition("[074h")[0], re.MULTILINE))


def code(platform, folder):
    """The DSDT as source, after it was compiled again to the same bytes (but for the header)."""
    table = found(plan(platform))["DSDT"]
    source = disassembled(table, folder)
    run("iasl", "-p", "again", "dsdt.dsl", cwd=folder)
    assert (folder / "again.aml").read_bytes()[36:] == table[36:]
    return source


@pytest.mark.parametrize("name", PLATFORMS)
@pytest.mark.parametrize("cpus", [1, 2, 255, 300])
def test_every_table_is_found_and_sums_to_zero(name, cpus):
    tables = found(plan(PLATFORMS[name], cpus))
    rsdp = tables.pop("RSD PTR ")
    assert rsdp[:8] == b"RSD PTR "
    assert sum(rsdp[:20]) % 256 == 0
    assert sum(rsdp) % 256 == 0
    assert rsdp[15] == 2
    tables.pop("FACS", None)
    for signature, table in tables.items():
        assert sum(table) % 256 == 0, signature


def test_tables_are_there_when_their_hardware_is():
    least = {"RSD PTR ", "RSDT", "XSDT", "FACP", "APIC", "DSDT"}
    assert found(plan(BARE)).keys() == least
    assert found(plan(MICROVM)).keys() == least
    assert found(plan(PC)).keys() == least | {"FACS"}
    assert found(plan(Q35)).keys() == least | {"FACS", "HPET", "MCFG"}


@pytest.mark.parametrize("name", PLATFORMS)
def test_iasl_reads_every_table(name, tmp_path):
    tables = found(plan(PLATFORMS[name], 300))
    for signature in tables.keys() - {"RSD PTR ", "DSDT"}:
        disassembled(tables[signature], tmp_path)


@pytest.mark.parametrize("name", PLATFORMS)
def test_the_dsdt_is_recompiled_to_the_same_bytes(name, tmp_path):
    code(PLATFORMS[name], tmp_path)


@pytest.mark.parametrize("layout", [spec.Fadt, spec.Facs, spec.Hpet])
def test_offsets_are_those_of_acpica(layout, tmp_path):
    # iasl prints "[offset in hex, offset, size]" of each field that it knows.
    signature = {spec.Fadt: "FACP", spec.Facs: "FACS", spec.Hpet: "HPET"}[layout]
    text = disassembled(found(plan(Q35))[signature], tmp_path)
    known = {(int(o), int(s)) for o, s in re.findall(r"^\[\w+h (\d+) +(\d+)\]", text, re.M)}
    assert len(known) >= 10
    for name, declared in layout.FIELDS.items():
        if name == "header":
            continue
        assert (declared.offset, declared.size) in known, name


@pytest.mark.parametrize(
    ("platform", "flags"),
    [
        (BARE, 0b100100),  # no VGA, no CMOS RTC, nothing on the ISA bus
        (MICROVM, 0b000111),  # i8042 and serial
        (replace(MICROVM, i8042=False), 0b000101),
        (PC, 0b000111),
        (Q35, 0b000001),
    ],
)
def test_legacy_hardware_is_there_or_not_as_the_platform_says(platform, flags, tmp_path):
    table = found(plan(platform))["FACP"]
    text = disassembled(table, tmp_path)
    # Linux believes "no i8042" only from FADT revision 3 on (arch/x86/kernel/acpi/boot.c).
    assert table[8] >= 3
    assert field(text, 0x6D, "Boot Flags") == flags | (0 if platform.vga else 4)
    assert field(text, 0x6C, "RTC Century Index") == (0x32 if platform.rtc else 0)


def test_fadt_of_a_pc(tmp_path):
    text = disassembled(found(plan(Q35))["FACP"], tmp_path)
    for offset, name, value in [
        (0x2E, "SCI Interrupt", 9),
        (0x30, "SMI Command Port", 0),
        (0x38, "PM1A Event Block Address", 0x600),
        (0x40, "PM1A Control Block Address", 0x604),
        (0x4C, "PM Timer Block Address", 0x608),
        (0x50, "GPE0 Block Address", 0x620),
        (0x58, "PM1 Event Block Length", 4),
        (0x59, "PM1 Control Block Length", 2),
        (0x5B, "PM Timer Block Length", 4),
        (0x5C, "GPE0 Block Length", 16),
        (0x80, "Value to cause reset", 0x0F),
        (0x98, "Address", 0x600),
        (0xB0, "Address", 0x604),
        (0xD4, "Address", 0x608),
        (0xE0, "Address", 0x620),
        (0x78, "Address", 0xCF9),
    ]:
        assert field(text, offset, name) == value, name
    assert flags(text) == {
        "WBINVD instruction is operational (V1)",
        "All CPUs support C1 (V1)",
        "Control Method Sleep Button (V1)",
        "Reset Register Supported (V2)",
    }


def test_without_power_management_registers_hardware_is_reduced(tmp_path):
    text = disassembled(found(plan(MICROVM))["FACP"], tmp_path)
    assert flags(text) == {
        "WBINVD instruction is operational (V1)",
        "All CPUs support C1 (V1)",
        "Control Method Power Button (V1)",
        "Control Method Sleep Button (V1)",
        "RTC wake not in fixed reg space (V1)",
        "Reset Register Supported (V2)",
        "Hardware Reduced (V5)",
    }
    for offset, name in [(0x24, "FACS Address"), (0x38, "PM1A Event Block Address")]:
        assert field(text, offset, name) == 0


def madt_items(table):
    at, items = 44, []
    while at < len(table):
        kind, length = table[at], table[at + 1]
        items.append((kind, bytes(table[at + 2 : at + length])))
        at += length
    assert at == len(table)
    return items


@pytest.mark.parametrize("cpus", [1, 4, 254, 255, 256, 300])
def test_madt_has_a_record_for_every_processor(cpus):
    items = madt_items(found(plan(Q35, cpus))["APIC"])
    lapics = [(i[0], i[1], number(i, 2, 4)) for kind, i in items if kind == 0]
    x2apics = [(number(i, 2, 4), number(i, 10, 4), number(i, 6, 4)) for k, i in items if k == 9]
    assert lapics + x2apics == [(cpu, cpu, 1) for cpu in range(cpus)]
    assert len(lapics) == min(cpus, 255)
    assert [i for kind, i in items if kind == 4] == [b"\xff\0\0\x01"]
    nmis = [i for kind, i in items if kind == 10]
    assert nmis == ([b"\0\0\xff\xff\xff\xff\x01\0\0\0"] if cpus > 255 else [])


def test_madt_describes_the_interrupts_of_a_pc(tmp_path):
    table = found(plan(Q35))["APIC"]
    assert number(table, 36, 4) == 0xFEE00000
    assert number(table, 40, 4) == 1
    items = madt_items(table)
    assert [i for kind, i in items if kind == 1] == [b"\0\0\0\0\xc0\xfe\0\0\0\0"]
    # ISA IRQ 0 to GSI 2 as the bus does it; IRQ 9 to GSI 9, active high and level triggered.
    overrides = [i for kind, i in items if kind == 2]
    assert overrides == [b"\0\0\2\0\0\0\0\0", b"\0\x09\x09\0\0\0\x0d\0"]
    text = disassembled(table, tmp_path)
    assert re.search(r"Polarity : 1\s.*Trigger Mode : 3", text, re.DOTALL)


def test_madt_of_a_machine_without_8259_and_8254():
    table = found(plan(BARE))["APIC"]
    assert number(table, 40, 4) == 0
    assert not [i for kind, i in madt_items(table) if kind == 2]


def test_hpet_and_mcfg(tmp_path):
    tables = found(plan(Q35))
    text = disassembled(tables["HPET"], tmp_path)
    assert field(text, 0x24, "Hardware Block ID") == 0x8086A201
    assert field(text, 0x2C, "Address") == 0xFED00000
    text = disassembled(tables["MCFG"], tmp_path)
    assert field(text, 0x2C, "Base Address") == 0xB0000000
    assert field(text, 0x37, "End Bus Number") == 255


def test_dsdt_says_soft_off_only_with_a_register_for_it(tmp_path):
    package = code(PC, tmp_path).partition("Name (_S5")[2].partition("}")[0]
    assert re.findall(r"^ +(\w+),? *$", package, re.MULTILINE) == ["0x05", "0x05", "Zero", "Zero"]
    assert "_S5" not in code(MICROVM, tmp_path)


def test_dsdt_of_a_machine_without_devices_has_none(tmp_path):
    source = code(BARE, tmp_path)
    assert "Scope (_SB)" in source
    assert "Device" not in source


def test_dsdt_names_the_isa_devices(tmp_path):
    source = code(Q35, tmp_path)
    first, second = re.findall(r"Device \(COM\d\)(.*?)\}\)", source, re.DOTALL)
    for text, port, irq, uid in ((first, "0x03F8", 4, "One"), (second, "0x02F8", 3, "0x02")):
        assert 'EisaId ("PNP0501")' in text
        assert text.count(f"{port},") == 2
        assert re.search(rf"IRQNoFlags \(\)\s*\{{{irq}\}}", text)
        assert f"Name (_UID, {uid})" in text
    assert 'EisaId ("PNP0B00")' in source
    assert 'EisaId ("PNP0103")' in source
    assert "PNP0303" not in source
    assert 'EisaId ("PNP0303")' in code(PC, tmp_path)


def test_dsdt_of_a_pci_express_host(tmp_path):
    source = code(Q35, tmp_path)
    assert 'Name (_HID, EisaId ("PNP0A08")' in source
    assert 'Name (_CID, EisaId ("PNP0A03")' in source
    for text in (
        "WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode",
        "0x00FF,             // Range Maximum",
        "0xC0000000,         // Range Minimum",
        "0xFEBFFFFF,         // Range Maximum",
        "0x0000000800000000, // Range Minimum",
        "0x0000000FFFFFFFFF, // Range Maximum",
        "0x000A0000,         // Range Minimum",
        'EisaId ("PNP0C02")',
        "0x00000000B0000000, // Range Minimum",
        "0x00000000BFFFFFFF, // Range Maximum",
    ):
        assert text in source, text
    routes = re.findall(
        r"Package \(0x04\)\s*\{\s*(\w+),\s*(\w+),\s*Zero,\s*(\w+)\s*\}",
        source.partition("_PRT")[2],
    )
    words = {"Zero": 0, "One": 1}
    numbers = [[words[w] if w in words else int(w, 16) for w in route] for route in routes]
    assert numbers == [
        [slot << 16 | 0xFFFF, pin, 16 + (slot + pin) % 8] for slot in range(32) for pin in range(4)
    ]


def test_dsdt_of_a_conventional_pci_host(tmp_path):
    source = code(PC, tmp_path)
    assert 'Name (_HID, EisaId ("PNP0A03")' in source
    assert "PNP0A08" not in source
    assert "PNP0C02" not in source
    assert "0x000A0000," not in source  # no VGA: its window is no PCI device's
    bare = code(replace(PC, pci=replace(PC.pci, gsi=())), tmp_path)
    assert "_PRT" not in bare


def test_acpica_loads_and_runs_the_dsdt(tmp_path):
    # acpiexec is ACPICA's interpreter, the code that Linux runs, in user space.
    (tmp_path / "dsdt.dat").write_bytes(found(plan(Q35))["DSDT"])
    said = run("acpiexec", "-b", "evaluate \\_S5_;evaluate \\_SB_.PCI0._PRT;quit", "dsdt.dat",
               cwd=tmp_path)  # fmt: skip
    assert "AE_" not in said, said
    assert said.count("Contains 4 Elements") + said.count("[Package]") > 100, said


def test_where_tables_lie():
    plan_ = plan(Q35, 300)
    assert plan_.boot_info.rsdp == plan_.address_of(acpi.RSDP)
    assert plan_.boot_info.rsdp % 16 == 0
    assert plan_.address_of("ACPI FACS") % 64 == 0
    map_ = plan_.boot_info.memory_map
    # One record each for what is reclaimed and what is kept, of whole pages, below 1 MiB.
    assert [r.type for r in map_] == [1, 4, 3, 2, 1]
    assert all(r.start % 4096 == r.end % 4096 == 0 for r in map_)
    for piece in plan_.pieces:
        type_ = MemoryType.NVS if piece.name == "ACPI FACS" else MemoryType.ACPI
        assert any(r.start <= piece.start < piece.end <= r.end and r.type == type_ for r in map_)


def test_the_rsdt_lists_what_the_xsdt_lists():
    tables = found(plan(Q35, 300))
    rsdt, xsdt = tables["RSDT"], tables["XSDT"]
    listed = [number(rsdt, at, 4) for at in range(36, len(rsdt), 4)]
    assert listed == [number(xsdt, at, 8) for at in range(36, len(xsdt), 8)]
    assert len(listed) == 4
    assert rsdt[:4] == b"RSDT"
    assert sum(rsdt) & 0xFF == 0


def test_a_copy_of_the_root_pointer_is_the_root_pointer():
    machine_ = machine(Q35)
    copies = [replace(acpi.root_pointer(r), name=f"copy {r}", memory_type=1) for r in (0, 2)]
    plan_ = place(
        Entry("test", (*acpi.tables(machine_), *copies), CpuState()), machine_, BootInfo()
    )
    placed = {piece.name: piece.data for piece in plan_.pieces}
    assert placed["copy 2"] == placed[acpi.RSDP]
    old = placed["copy 0"]
    assert len(old) == 20
    assert sum(old) & 0xFF == 0
    assert (old[:8], old[15]) == (b"RSD PTR ", 0)
    assert old[16:20] == placed[acpi.RSDP][16:20]
    assert number(old, 16, 4) == plan_.address_of("ACPI RSDT")


def test_the_rsdp_reaches_a_register_and_the_boot_information():
    machine_ = machine(Q35)
    entry = Entry("test", acpi.tables(machine_), CpuState(), {"rbx": Ref(acpi.RSDP)})
    plan_ = place(entry, machine_, BootInfo())
    assert plan_.cpu.mode is Mode.REAL
    assert plan_.cpu.rbx == plan_.boot_info.rsdp


@pytest.mark.parametrize("name", PLATFORMS)
def test_cve_2016_9384_and_xsa_464_no_byte_is_left_over(name):
    # Padding and unset fields of tables once carried the loader's own memory into the guest. Here
    # memory that was full of other things holds, after a fill, nothing but what tables contain;
    # and the same inputs give the same bytes.
    first, second = plan(PLATFORMS[name], 3), plan(PLATFORMS[name], 3)
    memories = bytearray(64 << 20), bytearray(64 << 20)
    fill(first, memories[0])
    fill(second, memories[1])
    assert memories[0] == memories[1]
    written = bytearray(64 << 20)
    for piece in first.pieces:
        assert len(piece.data) == piece.end - piece.start
        written[piece.start : piece.end] = piece.data
    assert memories[0] == written


def test_xsa_464_reserved_bytes_of_tables_are_zero():
    tables = found(plan(Q35, 300))
    assert not any(tables["RSD PTR "][33:36])
    assert tables["FACS"][33:] == bytes(31)
    fadt = tables["FACP"]
    covered = {0: 36} | {f.offset: f.size for f in spec.Fadt.FIELDS.values()}
    known = {o + i for o, size in covered.items() for i in range(size)}
    assert {at for at in range(len(fadt)) if at not in known} == {44, 111}
    assert fadt[44] == fadt[111] == 0
    assert tables["MCFG"][36:44] == bytes(8)
    assert tables["MCFG"][56:] == bytes(4)
    for kind, item in madt_items(tables["APIC"]):
        if kind == 9:
            assert item[:2] == b"\0\0"
