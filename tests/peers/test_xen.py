"""What Xen's tools would build a guest from: judged by libxenguest itself."""

from __future__ import annotations

import dataclasses
import lzma
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvmlite.peers import xen
from makers import bzimage, elf
from makers import peers as make
from makers.bzimage import BzImage, payload

BASE = 0xFFFFFFFF80000000
PVH = make.pvh_note()


def text(kind: int, value: str, nul: bytes = b"\0") -> bytes:
    return elf.note("Xen", kind, value.encode() + nul)


def number(kind: int, value: int, size: int = 8) -> bytes:
    return elf.note("Xen", kind, value.to_bytes(size, "little"))


PV = {
    "GUEST_OS": text(6, "linux"),
    "XEN_VERSION": text(5, "xen-3.0"),
    "VIRT_BASE": number(3, BASE),
    "ENTRY": number(1, BASE + make.ENTRY),
    "PADDR_OFFSET": number(4, 0),
    "FEATURES": text(10, "!writable_page_tables|hvm_callback_vector"),
    "LOADER": text(8, "generic"),
    "INIT_P2M": number(15, 0x8000000000),
    "HYPERCALL_PAGE": number(2, BASE + 0x101000),
}


def pv(**changes: bytes) -> list[elf.Segment]:
    """The notes of a PV kernel, some of them changed; an empty one is left out."""
    return [elf.notes_segment(*(PV | changes).values())]


NOTES = {
    "pvh": [elf.notes_segment(PVH)],
    "pvh, 8 bytes": [elf.notes_segment(make.pvh_note(size=8))],
    "pvh, 2 bytes": [elf.notes_segment(elf.note("Xen", 18, b"\x10\0"))],
    "pvh, 3 bytes count as 0": [elf.notes_segment(elf.note("Xen", 18, b"\x10\0\x10"))],
    "unset": [elf.notes_segment(make.pvh_note(0xFFFFFFFF))],
    "unset and set": [elf.notes_segment(PVH), elf.notes_segment(make.pvh_note(0xFFFFFFFF))],
    "at the end": [elf.notes_segment(make.pvh_note(0x102000))],
    "after the end": [elf.notes_segment(make.pvh_note(0x102001))],
    "before the start": [elf.notes_segment(make.pvh_note(0xFFFFF))],
    "another owner": [elf.notes_segment(elf.note("GNU", 18, make.word(make.ENTRY)))],
    "no notes": [],
    "two segments": [elf.notes_segment(PVH), elf.notes_segment(make.property_note(), align=8)],
    # OSv 1113, Cloud Hypervisor 3222, kata-containers 3145: Xen packs by 4, whatever is stated
    "osv-1113": [elf.notes_segment(make.build_id(), PVH, align=8)],
    "ch-3222": [elf.notes_segment(make.property_note(), make.pvh_note(size=8, align=8), align=8)],
    "kata-3145": [elf.notes_segment(make.property_note(), PVH, make.build_id(), align=8)],
    "pv": pv(),
    "pv and pvh": pv(PHYS32_ENTRY=PVH),
    "another system": pv(GUEST_OS=text(6, "netbsd"), LOADER=b""),
    "another system, generic": pv(GUEST_OS=text(6, "netbsd")),
    "another version": pv(XEN_VERSION=text(5, "xen-4.0")),
    "no version": pv(XEN_VERSION=b""),
    "no base": pv(VIRT_BASE=b""),
    "no base and no offset": pv(VIRT_BASE=b"", PADDR_OFFSET=b"", ENTRY=number(1, make.ENTRY)),
    "entry outside": pv(ENTRY=number(1, BASE)),
    "no entry": pv(ENTRY=b""),
    "p2m in the kernel": pv(INIT_P2M=number(15, BASE + 0x100000)),
    "unknown feature": pv(FEATURES=text(10, "!linux_rsdp_unrestricted"), PHYS32_ENTRY=PVH),
    "unknown feature, not required": pv(FEATURES=text(10, "linux_rsdp_unrestricted|x")),
    "dom0 only": pv(FEATURES=text(10, "!dom0|writable_page_tables"), PHYS32_ENTRY=PVH),
    "features without end": pv(FEATURES=text(10, "!writable_page_tables", b"")),
    "pvh with an offset alone": [elf.notes_segment(PVH, PV["PADDR_OFFSET"])],
    "pvh with its p2m inside": [elf.notes_segment(PVH, number(15, 0x100000))],
    "pae": pv(PAE_MODE=text(9, "yes")),
    "bimodal": pv(PAE_MODE=text(9, "yes,bimodal")),
}
SMALL = make.kernel(*NOTES["pvh"]).build()


def big_xz(data: bytes, bits: int) -> bytes:
    """A stream whose header asks for a dictionary of this code (30 is 128 MiB, 29 is 96)."""
    packed = bytearray(bzimage.xz(data))
    header = packed[12 : 12 + (packed[12] + 1) * 4]
    at = header.index(b"\x21\x01") + 2
    header[at] = bits
    header[-4:] = zlib.crc32(header[:-4]).to_bytes(4, "little")
    packed[12 : 12 + len(header)] = header
    assert lzma.decompress(packed) == data
    return bytes(packed) + len(data).to_bytes(4, "little")


IMAGES = {
    **{name: make.kernel(*segments).build() for name, segments in NOTES.items()},
    **{
        f"{name}, 32": make.kernel(
            *segments, bits=32, entry=make.ENTRY, type=2
        ).build()
        for name, segments in NOTES.items()
    },
    "in a section": elf.Elf(
        segments=make.kernel().segments, sections=[elf.Sect(".note.Xen", PVH, type=7, align=4)]
    ).build(),
    "in a section, and other notes in a segment": elf.Elf(
        segments=make.kernel(elf.notes_segment(make.build_id())).segments,
        sections=[elf.Sect(".note.Xen", PVH, type=7, align=4)],
    ).build(),
    "in a section, and other Xen notes in a segment": elf.Elf(
        segments=make.kernel(elf.notes_segment(text(6, "linux"))).segments,
        sections=[elf.Sect(".note.Xen", PVH, type=7, align=4)],
    ).build(),
    "without permission": make.kernel(
        *NOTES["pvh"], elf.Segment(b"x", paddr=0x80000, flags=0)
    ).build(),
    "arm": make.kernel(*pv(), machine=40).build(),
    "gzip around an ELF": bzimage.gzip(SMALL),
    "xz around an ELF": bzimage.xz(SMALL),
    **{
        f"bzImage, {name}": BzImage(payload(name, SMALL)).build() for name in bzimage.COMPRESSORS
    },
    "bzImage, none": BzImage(SMALL).build(),
    "bzImage, 2.07": BzImage(payload("gzip", SMALL), version=0x207).build(),
    "bzImage, setup_sects 0": BzImage(payload("gzip", SMALL), setup_sects=0).build(),
    "bzImage, wrong size": BzImage(bzimage.xz(SMALL) + bytes(4)).build(),
    "bzImage, xz of 96 MiB": BzImage(big_xz(SMALL, 29)).build(),
    "bzImage, xz of 128 MiB": BzImage(big_xz(SMALL, 30)).build(),
    "bzImage, xz of 192 MiB": BzImage(big_xz(SMALL, 31)).build(),
    "bzImage, xz of 256 MiB": BzImage(big_xz(SMALL, 32)).build(),
    "bzImage, odd": BzImage(b"odd payload" * 9).build(),
    "bzImage, cut": BzImage(payload("zstd", SMALL)[:-40] + make.word(len(SMALL))).build(),
}  # fmt: skip


def agree(builder, data: bytes, read=make.parse) -> str:
    said = xen.verdict(read(data))
    ways, log = builder.ask(data)
    if "decompress support unavailable" in log:  # as Debian builds it: no bzip2, no lzo
        assert any("built with its library" in warning for warning in said.warnings)
        return log
    assert said.ways == ways, (said, log[-3000:])
    return log


@pytest.mark.parametrize("name", IMAGES)
def test_xen_does_what_the_verdict_says(domain_builder, name):
    agree(domain_builder, IMAGES[name])


PANICS = {
    "bzImage, 2.07": "protocol",
    "bzImage, odd": "compression",
    "bzImage, xz of 256 MiB": "dictionary",
    "bzImage, cut": "unpacked",
}
"""Where Xen says what is wrong; libelf's own words are lost, only "no loader found" is left."""
REASONS = PANICS | {
    "unknown feature": "features",
    "dom0 only": "dom0",
    "another system": "loader",
    "another version": "version",
    "no base": "offset",
    "entry outside": "virt range",
    "p2m in the kernel": "p2m",
    "after the end": "phys range",
    "no notes": "phys entry",
    "pv, 32": "pae",
    "arm": "machine",
    "xz around an ELF": "kind",
}


@pytest.mark.parametrize("name", REASONS)
def test_the_reason_is_named(domain_builder, name):
    log = agree(domain_builder, IMAGES[name])
    rule = xen.REQUIREMENTS[REASONS[name]]
    assert rule.needed in {r.needed for r in xen.verdict(make.parse(IMAGES[name])).reasons}
    if name in PANICS:
        assert rule.says in log


@settings(max_examples=150)
@given(make.noted())
def test_xen_walks_over_notes_as_we_say(domain_builder, data):
    # Segments are read for their extent only: one and the same in all of these.
    agree(domain_builder, data, lambda file: dataclasses.replace(
        make.parse(SMALL), data=memoryview(file), machine=file[18]))  # fmt: skip


@settings(max_examples=100)
@given(
    st.dictionaries(
        st.sampled_from([*PV, "PHYS32_ENTRY"]),
        st.sampled_from([b"", *PV.values(), number(1, make.ENTRY), number(3, 0), number(4, BASE),
                         text(6, "linux 2.6"), text(8, "grub"), text(5, "xen-3.0-x86_64"), PVH,
                         text(10, "!dom0"), text(10, "!x")]),
    ),
    st.sampled_from([32, 64]),
)  # fmt: skip
def test_pv_notes_of_any_kind(domain_builder, changes, bits):
    agree(domain_builder, make.kernel(*pv(**changes), bits=bits).build())


@pytest.mark.parametrize("name", ["6.1-cloud", "6.1-686-pae", "6.12-cloud"])
def test_debians_kernels(domain_builder, kernels, name):
    data = kernels[name].read_bytes()
    agree(domain_builder, data)
    assert "pvh" in xen.verdict(make.parse(data)).ways


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("xen-shim", "xen-shim"),
        ("xen", "xen.gz"),
        ("xen", "xen.efi"),
        ("grub-pvh", "grub.elf"),
        ("grub-invaders", "invaders.exec"),
        ("memtest86+", "memtest86+x64.bin"),
        ("ipxe", "ipxe.lkrn"),
        ("tboot", "tboot.gz"),
        ("systemd-boot", "systemd-bootx64.efi"),
    ],
)
def test_other_real_images(domain_builder, images, name, file):
    agree(domain_builder, (images[name] / file).read_bytes())


def test_the_dictionary_of_qubes_report_is_named():
    # xen commit e6472d4668, PEERS 49: Linux 6.12 in xz, "no loader found" was all that was said
    said = xen.verdict(make.parse(IMAGES["bzImage, xz of 128 MiB"]))
    assert ("xz dictionary", "128 MiB") in said.facts
    assert any("before December 2024" in warning for warning in said.warnings)


@settings(max_examples=200)
@given(st.binary(max_size=300), st.sampled_from(list(IMAGES)), st.data())
def test_no_bytes_hurt(noise, name, data):
    good = IMAGES[name]
    at = data.draw(st.integers(0, len(good) - 1))
    broken = good[:at] + noise + good[at + len(noise) :]
    image = dataclasses.replace(make.parse(good), data=memoryview(broken))
    assert xen.verdict(image).peer == "xen"
