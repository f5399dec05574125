"""What QEMU's `-kernel` would do: judged by QEMU itself, which says at once whether it will."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvmlite.peers import qemu
from makers import elf
from makers import peers as make
from makers.bzimage import BzImage
from peers import qemu_itself

PVH = make.pvh_note()
KLUDGE = 0x10003
AT = 0x100080  # where a header in an ELF64 with one segment and no notes lies, as code at 1 MiB


def kludge(*fields: int, flags: int = KLUDGE) -> bytes:
    """An ELF64 with a multiboot header whose address fields are these."""
    return make.with_header(make.kernel(), make.multiboot1(flags, *fields))


NOTES = {
    "one note": [elf.notes_segment(PVH)],
    "wide number": [elf.notes_segment(make.pvh_note(size=8))],
    "build id before it": [elf.notes_segment(make.build_id(), PVH)],
    "another owner": [elf.notes_segment(elf.note("GNU", 18, make.word(make.ENTRY)))],
    "no notes": [],
    "an empty segment": [elf.Segment(b"", type=4, align=4, memsz=64)],
    "number 0": [elf.notes_segment(make.pvh_note(0, 8))],
    "two segments, the last one counts": [
        elf.notes_segment(PVH),
        elf.notes_segment(make.property_note(), align=8),
    ],
    # github.com/cloudius-systems/osv/issues/1113, PEERS 25: packed by 4 in a segment that says 8
    "osv-1113": [elf.notes_segment(make.build_id(), PVH, align=8)],
    # cloud-hypervisor issue 3222 and kata-containers issue 3145: the toolchain's property note
    "ch-3222": [elf.notes_segment(make.property_note(), make.pvh_note(size=8, align=8), align=8)],
    "kata-3145": [elf.notes_segment(make.property_note(), PVH, make.build_id(), align=8)],
    # rust-vmm/linux-loader issue 71: a segment that states no alignment at all
    "linux-loader-71": [elf.notes_segment(make.build_id(), PVH, align=0)],
    "aligned to a page": [elf.notes_segment(make.build_id(), PVH, align=0x1000)],
    "packed by 1": [elf.notes_segment(elf.note("Xen", 6, b"abcde"), PVH, align=1)],
}
IMAGES = {
    **{name: make.kernel(*segments).build() for name, segments in NOTES.items()},
    **{f"{name}, 32": make.kernel(*s, bits=32).build() for name, s in NOTES.items()},
    "notes in a section only": elf.Elf(
        segments=make.kernel().segments, sections=[elf.Sect(".note.Xen", PVH, type=7, align=4)]
    ).build(),
    "e_flags": make.kernel(*NOTES["one note"], ehdr={"e_flags": 4}).build(),
    "another machine": make.kernel(*NOTES["one note"], machine=40).build(),
    "multiboot in an ELF64": make.with_header(make.kernel(), make.multiboot1()),
    "multiboot in an ELF64 of i386": make.with_header(make.kernel(machine=3), make.multiboot1()),
    "multiboot in an ELF32 of x86-64": make.with_header(
        make.kernel(bits=32, machine=62), make.multiboot1()
    ),
    "multiboot before PVH": make.with_header(
        make.kernel(elf.notes_segment(PVH), bits=32), make.multiboot1()
    ),
    "wrong sum": make.with_header(
        make.kernel(elf.notes_segment(PVH)), make.word(0x1BADB002, 3, 0)
    ),
    "unknown flags": make.with_header(make.kernel(bits=32), make.multiboot1(0x13)),
    "video": make.with_header(make.kernel(bits=32), make.multiboot1(7, *[0] * 9)),
    "too far": make.kernel(bits=32).build().ljust(8144, b"\0") + make.multiboot1() + bytes(64),
    "kludge": kludge(AT, 0x100000, 0, 0, AT),
    "kludge, all fields": kludge(AT, 0x100000, 0x100100, 0x200000, AT),
    "load_addr": kludge(0x100000, 0x200000, 0, 0, AT),
    "header_addr": kludge(0x200000, 0x100000, 0, 0, AT),
    "load_end_addr": kludge(AT, 0x100000, 0xFFFFF, 0, AT),
    "bss_end_addr": kludge(AT, 0x100000, 0x100100, 0x100010, AT),
    "load size": kludge(AT, 0x100000, 0x200000, 0, AT),
    "4 GiB": kludge(0xFFFFFF80, 0xFFFFFF00, 0, 0, AT),
    "bzImage": BzImage().build(),
    "zImage": BzImage(header={"loadflags": 0}).build(),
    "bzImage 2.00": BzImage(version=0x200, header_end=0x224).build(),
    "HdrS in an ELF": b"\x7fELF" + BzImage().build()[4:],
}  # fmt: skip


def agree(data: bytes, read=make.parse) -> qemu_itself.Answer:
    """Hold our verdict against what QEMU does; returns that."""
    said = qemu.verdict(read(data))
    answer = qemu_itself.ask(data)
    assert said.ways == ((answer.way,) if answer.way else ()), (said, answer)
    return answer


@pytest.mark.boot
@pytest.mark.parametrize("name", IMAGES)
def test_qemu_does_what_the_verdict_says(name):
    answer = agree(IMAGES[name])
    reasons = qemu.verdict(make.parse(IMAGES[name])).reasons
    if not answer.way and not answer.said.startswith("status"):  # it died without a word
        (reason,) = reasons
        (rule,) = {
            rule.says
            for rule in qemu.REQUIREMENTS.values()
            if reason.needed == rule.needed and reason.what == f"{rule.way}: {rule.what}"
        }
        assert rule in answer.said


@pytest.mark.boot
@settings(max_examples=60)
@given(make.noted())
def test_qemu_walks_over_notes_as_we_say(data):
    agree(data, make.bare)


@pytest.mark.boot
@pytest.mark.parametrize("name", ["6.1-cloud", "6.12-cloud", "6.1-686-pae"])
def test_debians_kernels(kernels, name):
    data = kernels[name].read_bytes()
    assert agree(data).way == "linux16"
    payload = make.parse(data).payload
    assert agree(bytes(payload.image.data)).way == "pvh"


@pytest.mark.boot
@pytest.mark.parametrize(
    ("name", "file", "way"),
    [
        ("xen-shim", "xen-shim", "multiboot1"),
        ("xen", "xen.efi", ""),
        ("grub-pvh", "grub.elf", "pvh"),
        ("grub-invaders", "invaders.exec", "multiboot1"),
        ("memtest86+", "memtest86+x64.bin", "linux16"),
        ("ipxe", "ipxe.lkrn", "linux16"),
    ],
)
def test_other_real_images(images, name, file, way):
    assert agree((images[name] / file).read_bytes()).way == way


@pytest.mark.parametrize(
    ("name", "file", "hint"),
    [
        ("xen", "xen.gz", "unpack the file first"),
        ("grub-rescue", "rescue.iso", "by -drive"),
        ("systemd-boot", "systemd-bootx64.efi", "OVMF"),
    ],
)
def test_what_is_for_another_option_is_told(images, name, file, hint):
    # QEMU would run their first bytes as a kernel of before 2.00: docs/real-images.md on xen.gz
    said = qemu.verdict(make.parse((images[name] / file).read_bytes()))
    assert not said.starts
    assert hint in said.reasons[0].hint


@pytest.mark.parametrize("name", ["osv-1113", "ch-3222", "kata-3145"])
def test_the_note_that_qemu_misses_is_named(name):
    said = qemu.verdict(make.parse(IMAGES[name]))
    assert not said.starts
    (reason,) = said.reasons
    assert reason.what == "pvh: PHYS32_ENTRY note"
    assert "one is in PT_NOTE segment 1 at 0x" in reason.found
    assert ".note.gnu.property" in reason.hint


def test_a_multiboot_header_that_is_too_far_is_named():
    # embox issue 2468 and zig-os issue 3: QEMU speaks of PVH, and a multiboot kernel was meant
    said = qemu.verdict(make.parse(IMAGES["too far"]))
    assert "a multiboot1 header lies at 0x1fd0" in said.reasons[0].found


def test_it_says_that_more_ram_is_needed():
    far = elf.Segment(b"x", paddr=0x10000000, memsz=0x1000)
    said = qemu.verdict(make.parse(make.kernel(far, elf.notes_segment(PVH)).build()))
    assert said.starts
    assert any("0x10001000" in warning for warning in said.warnings)


def test_a_walk_over_a_hundred_mebibytes_of_zeros_ends_soon():
    data = make.kernel(elf.notes_segment(bytes(12))).build() + bytes(100 << 20)
    assert not qemu.verdict(make.parse(data)).starts


def test_a_walk_that_stands_still_ends():
    # 32-bit arithmetic wraps: 12 + 0xfffffff4 is 0. Our own reader refuses the note, a peer's must
    # not hang on it all the same.
    data = make.kernel(elf.notes_segment(bytes(32)), bits=32).build()
    image = make.parse(data)
    at = len(data) - 32
    broken = data[:at] + make.word(0xFFFFFFF4, 0, 3) + data[at + 12 :]
    assert not qemu.verdict(dataclasses.replace(image, data=memoryview(broken))).starts


@settings(max_examples=200)
@given(st.binary(max_size=600), st.sampled_from(list(IMAGES)), st.data())
def test_no_bytes_hurt(noise, name, data):
    good = IMAGES[name]
    at = data.draw(st.integers(0, len(good) - 1))
    broken = good[:at] + noise + good[at + len(noise) :]
    image = dataclasses.replace(make.parse(good), data=memoryview(broken))
    assert qemu.verdict(image).peer == "qemu"
