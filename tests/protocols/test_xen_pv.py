"""Xen PV: what Xen would read and by which of its rules it would refuse; never an offer."""

from __future__ import annotations

import pytest

from hvmlite.errors import UnsupportedError
from hvmlite.images import parse
from hvmlite.model import BootInfo, CpuState, Refusal
from hvmlite.protocols import xen_pv
from hvmlite.spec import elf as spec
from hvmlite.spec.xen import ElfNote
from images.test_uki import BZIMAGE
from makers.elf import Elf, Sect, Segment, note, notes_segment
from makers.pe import uki

BASE = 0xFFFFFFFF80000000
LAST = "Xen hypervisor: none: there is nobody to take hypercalls, one needed"
GOOD = {
    ElfNote.XEN_VERSION: b"xen-3.0\0",
    ElfNote.GUEST_OS: b"linux\0",
    ElfNote.LOADER: b"generic\0",
    ElfNote.VIRT_BASE: BASE,
    ElfNote.ENTRY: BASE + 0x1000010,
    ElfNote.FEATURES: b"!writable_page_tables|pae_pgdir_above_4gb",  # without a NUL, as Linux's
    ElfNote.HYPERCALL_PAGE: BASE + 0x1001000,
}


def kernel(changes=(), *, section=False, extra=b"", **fields):
    notes = {k: v for k, v in (GOOD | dict(changes)).items() if v is not None}
    raw = b"".join(
        note("Xen", kind, value if isinstance(value, bytes) else value.to_bytes(8, "little"))
        for kind, value in notes.items()
    )
    file = Elf(**fields)
    file.segments = [Segment(b"\xf4" * 0x2000, paddr=0x1000000)]
    if section:
        file.sections = [Sect(".notes", raw + extra, spec.ShType.NOTE, align=4)]
    else:
        file.segments.append(notes_segment(raw + extra))
    return file.build()


def asked(data):
    found = xen_pv.offers(parse(data, "t"))
    assert isinstance(found, Refusal)
    assert found.protocol == "xen_pv"
    return [str(reason) for reason in found.reasons], dict(found.facts)


@pytest.mark.parametrize("section", [False, True])
def test_a_kernel_that_xen_would_take(section):
    reasons, facts = asked(kernel(section=section))
    assert reasons == [LAST]
    assert facts["Xen would take it as PV"] == "yes"
    assert facts["read from"] == f"7 notes in {'sections' if section else 'segments'}"
    assert facts["XEN_VERSION"] == "xen-3.0"
    assert facts["VIRT_BASE"] == hex(BASE)
    assert facts["FEATURES"] == "!writable_page_tables|pae_pgdir_above_4gb"
    assert facts["virtual addresses"] == f"{BASE + 0x1000000:#x}-{BASE + 0x1002000:#x}"
    assert facts["virtual entry"] == f"{BASE + 0x1000010:#x}"
    assert facts["hypercall page"] == f"{BASE + 0x1001000:#x}"


# Each rule of libelf by itself: (the notes that change, the reason)
RULES = {
    "loader or guest": (
        {ElfNote.LOADER: b"netbsd\0", ElfNote.GUEST_OS: b"NetBSD\0"},
        "guest's kind: LOADER 'netbsd', GUEST_OS 'NetBSD', LOADER generic or GUEST_OS linux needed",
    ),
    "neither": (
        {ElfNote.LOADER: None, ElfNote.GUEST_OS: None},
        "guest's kind: LOADER '', GUEST_OS '', LOADER generic or GUEST_OS linux needed",
    ),
    "version": ({ElfNote.XEN_VERSION: b"xen-2.0\0"}, "XEN_VERSION: 'xen-2.0', xen-3.0 needed"),
    "no version": ({ElfNote.XEN_VERSION: None}, "XEN_VERSION: '', xen-3.0 needed"),
    "feature": (
        {ElfNote.FEATURES: b"pae|!turbo|dom0\0"},
        "FEATURES: !turbo, one that Xen knows needed, since it is required (!)",
    ),
    "offset without base": (
        {ElfNote.VIRT_BASE: None, ElfNote.PADDR_OFFSET: 0, ElfNote.ENTRY: 0x1000000},
        "VIRT_BASE: none, but PADDR_OFFSET is there, both or neither needed",
    ),
    "entry": (
        {ElfNote.ENTRY: 0x1000000},
        f"virtual entry: 0x1000000, one within {BASE + 0x1000000:#x}-{BASE + 0x1002000:#x} needed",
    ),
    "base": (
        {ElfNote.PADDR_OFFSET: 0x1800000, ElfNote.ENTRY: BASE - 0x7FFFF0},
        f"VIRT_BASE: {BASE:#x}, at most {BASE - 0x800000:#x} needed",
    ),
    "p2m": (
        {ElfNote.INIT_P2M: BASE + 0x1001000},
        f"INIT_P2M: {BASE + 0x1001000:#x}, one outside "
        f"{BASE + 0x1000000:#x}-{BASE + 0x1002000:#x} needed",
    ),
}


@pytest.mark.parametrize("name", sorted(RULES))
def test_each_rule_of_libelf(name):
    changes, expected = RULES[name]
    reasons, facts = asked(kernel(changes.items()))
    assert reasons == [expected, LAST]
    assert facts["Xen would take it as PV"] == "no"


def test_either_loader_or_guest_will_do():
    for missing in (ElfNote.LOADER, ElfNote.GUEST_OS):
        assert asked(kernel({missing: None}.items()))[0] == [LAST]


def test_an_unknown_feature_that_is_not_required_is_no_matter():
    assert asked(kernel({ElfNote.FEATURES: b"turbo|writable_page_tables"}.items()))[0] == [LAST]


def test_without_an_entry_note_e_entry_counts():
    inside = BASE + 0x1000020
    reasons, facts = asked(kernel({ElfNote.ENTRY: None}.items(), entry=inside))
    assert reasons == [LAST]
    assert facts["virtual entry"] == hex(inside)


def test_without_a_base_addresses_are_physical():
    changes = {ElfNote.VIRT_BASE: None, ElfNote.ENTRY: 0x1000010}
    assert asked(kernel(changes.items()))[1]["virtual addresses"] == "0x1000000-0x1002000"


def test_addresses_that_wrap():
    reasons, _ = asked(kernel({ElfNote.VIRT_BASE: (1 << 64) - 0x1001000}.items()))
    assert any(reason.startswith("virtual addresses: ") for reason in reasons)


def test_the_last_of_several_notes_counts():
    again = note("Xen", ElfNote.XEN_VERSION, b"xen-2.0\0")
    assert asked(kernel(extra=again))[0][0].startswith("XEN_VERSION: 'xen-2.0'")


def test_notes_of_sections_count_only_without_notes_of_segments():
    file = Elf(entry=0x1000000)
    file.segments = [
        Segment(b"\xf4" * 0x2000, paddr=0x1000000),
        notes_segment(note("Xen", ElfNote.GUEST_OS, b"linux\0")),
    ]
    file.sections = [
        Sect(".n", note("Xen", ElfNote.XEN_VERSION, b"xen-3.0\0"), spec.ShType.NOTE, align=4)
    ]
    reasons, facts = asked(file.build())
    assert facts["read from"] == "1 notes in segments"
    assert reasons[0] == "XEN_VERSION: '', xen-3.0 needed"


OLD = (
    b"GUEST_OS=linux,GUEST_VER=2.6,XEN_VER=xen-3.0,VIRT_BASE=0xC0000000,ELF_PADDR_OFFSET=0xC0000000"
    b",VIRT_ENTRY=0xC0100000,HYPERCALL_PAGE=0x102,FEATURES=writable_page_tables,PAE=yes,LOADER=generic"
)


def old(text, paddr=0xC0100000):
    file = Elf(bits=32, machine=spec.EM_386, entry=paddr)
    file.segments = [Segment(b"\xf4" * 0x3000, paddr=paddr)]
    file.sections = [Sect("__xen_guest", text + b"\0")]
    return file.build()


def test_a_section_from_before_there_were_notes():
    reasons, facts = asked(old(OLD))
    assert reasons == [LAST]
    assert facts["read from"] == "text in section __xen_guest"
    assert facts["GUEST_VER"] == "2.6"
    assert facts["hypercall page"] == "0xc0102000"
    assert facts["virtual addresses"] == "0xc0100000-0xc0103000"


def test_without_an_offset_in_the_old_text_it_is_the_base():
    text = OLD.replace(b",ELF_PADDR_OFFSET=0xC0000000", b"")
    assert asked(old(text))[1]["virtual addresses"] == "0xc0100000-0xc0103000"


@pytest.mark.parametrize("text", [b"", b",,,=,", b"VIRT_BASE=", b"VIRT_BASE=0xzz", b"\xff" * 9000])
def test_old_text_that_is_nonsense(text):
    reasons, _ = asked(old(text))
    assert reasons[-1] == LAST
    assert len(reasons) > 1


def test_images_without_a_word_for_xen():
    reasons, _ = asked(BZIMAGE)  # PHYS32_ENTRY and GUEST_OS only
    assert reasons[0].startswith("guest's kind")
    file = Elf(machine=40)
    file.segments = [Segment(b"\xf4" * 64, paddr=0x1000000)]
    assert asked(file.build())[0] == [
        "Xen's ELF notes: neither in a segment nor in a section, "
        "notes of owner Xen, or a section __xen_guest, needed"
    ]
    assert asked(b"\xfa".ljust(510, b"\0") + b"\x55\xaa")[0][0].startswith("image format: disk")


def test_a_machine_that_xen_does_not_know():
    assert asked(kernel(machine=40))[0][0] == "ELF machine: 40 (ARM), i386 or x86-64 needed"


@pytest.mark.parametrize(
    ("name", "takes"), [("6.1-cloud", True), ("6.12-cloud", True), ("6.1-686-pae", False)]
)
def test_real_kernels(kernels, name, takes):
    """Linux for i386 has had no PV entry since 5.9, but still the notes."""
    wanted = "CONFIG_XEN_PV=y\n" in kernels.config(name)
    reasons, facts = asked(kernels[name].read_bytes())
    assert (facts["Xen would take it as PV"] == "yes") is takes is wanted
    assert reasons[-1] == LAST
    assert facts == asked(uki(kernels[name].read_bytes()))[1]


def test_nothing_can_be_encoded_or_decoded():
    with pytest.raises(UnsupportedError, match="no hypervisor to call found, Xen needed"):
        xen_pv.encode(None, BootInfo(), None, None)
    with pytest.raises(UnsupportedError):
        xen_pv.decode(None, CpuState())
