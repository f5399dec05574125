"""Model values made by hand, hostile names among them."""

from __future__ import annotations

from hvmlite import model as m

EVIL = "evil\x1b]0;owned\x07\nname\u202e\udcff\x9b\x7f"
"""A terminal title, a bell, a line break, a bidi override, a stray byte, C1's CSI and DEL."""


def plan(**changes) -> m.GuestPlan:
    initrd = m.Module(b"i" * 0x3000, b"", "initrd")
    other = m.Module(b"o" * 0x10, b"arg\x1b[2J\xff", EVIL)
    flat = m.SegmentRegister(0x10, 0, 0xFFFFFFFF, type=3, db=1, g=1)
    values = {
        "protocol": "pvh",
        "machine": m.Machine(
            name="q35",
            memory=6 << 30,
            ram=(m.RamBlock(0, 2 << 30, 0), m.RamBlock(4 << 30, 4 << 30, 2 << 30)),
            reserved=(m.MemoryRange(0xA0000, 1 << 20, 2), m.MemoryRange(0xB0000000, 3 << 30, 2)),
            cpus=2,
            disks=(m.Disk("/tmp/d\x1bsk"),),
        ),
        "cpu": m.CpuState(
            rip=0x1000370, rbx=0x1000, cr0=0x11, cs=m.SegmentRegister(8, 0, 0xFFFFFFFF, 11, db=1),
            ds=flat, es=flat, fs=flat, gs=flat, ss=flat, gdtr=m.DescriptorTable(0x2000, 31),
            msrs=((0xC0000100, 5),),
        ),
        "pieces": (
            m.PlacedPiece("start info", m.Kind.BOOT_INFO, 0x1000, 0x1038, b"s" * 0x38),
            m.PlacedPiece("GDT", m.Kind.DESCRIPTORS, 0x2000, 0x2020, b"g" * 32),
            m.PlacedPiece("kernel segment 0", m.Kind.KERNEL, 16 << 20, 51 << 20, b"k"),
            m.PlacedPiece("ACPI", m.Kind.ACPI, 0x7FFE0000, 0x7FFE1000, b"a", 3),
            m.PlacedPiece("initrd", m.Kind.MODULE, 0x7FFF0000, 0x7FFF3000, initrd.data),
            m.PlacedPiece(EVIL, m.Kind.MODULE, 5 << 30, (5 << 30) + 16, other.data),
        ),
        "boot_info": m.BootInfo(
            b"console=ttyS0 \x1b[31mred",
            (initrd, other),
            (m.MemoryRange(0, 0xA0000), m.MemoryRange(0x100000, 2 << 30, 99)),
            0x7FFE0000,
            m.Origin("xen", "pvh", "pvh", EVIL),
        ),
        "dropped": (m.Dropped("origin", f"no room for {EVIL}"),),
    }  # fmt: skip
    return m.GuestPlan(**(values | changes))


def note(name, number, desc, label="", value=None) -> m.Note:
    return m.Note(name, number, desc, "section .notes", 0x40, 4, label, value)


def image(**changes) -> m.Image:
    data = memoryview(b"\x7fELF" + bytes(100))
    values = {
        "format": "elf",
        "source": f"/boot/{EVIL}",
        "data": data,
        "entry": 0x1000000,
        "machine": 62,
        "segments": (m.LoadSegment(16 << 20, 0, 35 << 20, data[:8], 5, 4096),),
        "notes": (
            note("Xen", 18, b"\x70\x03\0\1", "PHYS32_ENTRY", 0x1000370),
            note("Xen", 19, b"1234" * 5, "PHYS32_RELOC", (1, 2, 1 << 63)),
            note("Xen", 6, EVIL.encode("utf-8", "replace"), "GUEST_OS", EVIL),
            note(EVIL, 0x101, bytes(1000)),
        ),
        "facts": (("class", "64-bit"), ("build", EVIL)),
        "warnings": (f"note {EVIL} is odd",),
    }  # fmt: skip
    return m.Image(**(values | changes))


def bzimage(unpack) -> m.Image:
    payload = m.Payload("xz", 0x4000, 50, "header", unpack)
    return image(format="bzimage", segments=(), notes=(), entry=None, machine=None, payload=payload)


def answers(inner: m.Image) -> tuple[m.Offer | m.Refusal, ...]:
    return (
        m.Offer("pvh", 0x1000370, inner, True, 51 << 20, m.Relocation(0x200000, 1 << 20, 2**32 - 1),
                2047, facts=(("start info", EVIL),)),
        m.Offer("linux32", 0x100000, inner, False, 5, facts=()),
        m.Offer("bios", 0x7C00, inner, False, 0x7E00, firmware="seabios"),
        m.Refusal("linux64", (m.Reason("xloadflags", "bit 0 clear", "XLF_KERNEL_64 needed", EVIL),
                              m.Reason(EVIL, EVIL, EVIL)), ((EVIL, EVIL), ("entry", "0x100"))),
    )  # fmt: skip


def verdicts() -> tuple[m.Verdict, ...]:
    return (
        m.Verdict("qemu", "7.2", ("pvh",), (), (f"but {EVIL}",), ((EVIL, EVIL), ("entry", "0x1"))),
        m.Verdict("xen", "4.17", (), (m.Reason(f"pv: {EVIL}", EVIL, EVIL, EVIL),
                                      m.Reason("pvh: note", "none", "one needed"))),
    )  # fmt: skip


def engines() -> tuple[m.Availability, ...]:
    facts = (("path", "/usr/bin/qemu"), ("kvm", "no /dev/kvm, TCG is used " * 9))
    return (
        m.Availability("qemu", True, "7.2.17", facts=facts),
        m.Availability("xen", False, reason=f"absent {EVIL}", hint="install xen-utils"),
    )
