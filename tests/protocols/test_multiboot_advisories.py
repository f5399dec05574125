"""What went wrong in other multiboot loaders, one named test each; ELF's are in tests/images."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmlite import images
from hvmlite.errors import PlacementError
from hvmlite.guest.memory import fill
from hvmlite.model import BootInfo, Module, Offer, Refusal
from hvmlite.protocols import multiboot1, multiboot2
from makers.multiboot import CODE, MIB, START, elf, header1, header2, image, machine, symbols, tag
from protocols.multiboot_plans import plan, tags2

GIB = 1 << 30


def by_flat1(before, header, load, end, bss, entry):
    data = bytes(before) + header1(0x10003, addresses=(header, load, end, bss, entry)) + CODE
    return multiboot1.offers(image(data))


def by_flat2(before, header, load, end, bss, entry):
    tags = tag(2, header, load, end, bss), tag(3, entry)
    return multiboot2.offers(image(bytes(before) + header2(*tags) + CODE))


ways = pytest.mark.parametrize("load", [by_flat1, by_flat2])
SIZE = {by_flat1: 32 + 4, by_flat2: 64 + 4}


def refused(found) -> str:
    assert isinstance(found, Refusal), found
    return str(found.reasons[0])


# --- CVE-2017-14167: address fields that lie outside each other: out of bounds copies -----------


@ways
def test_cve_2017_14167_header_below_what_is_loaded(load):
    text = refused(load(0, START - 1, START, 0, 0, START))
    assert text == "address fields: header_addr 0xfffff, at or above load_addr 0x100000 needed"


@ways
def test_cve_2017_14167_more_before_the_header_than_the_file_has(load):
    assert "0x9 or more needed" in refused(load(8, START + 9, START, 0, 0, START + 20))
    assert isinstance(load(8, START + 8, START, 0, 0, START + 20), Offer)
    assert refused(load(0, 0xFFFFFFFF, 0, 0, 0, 0))


def test_cve_2017_14167_the_whole_file_below_address_0():
    # load_addr -1: from the file's beginning on, which would be below 0 here.
    text = refused(by_flat2(0x1000, 0xFF0, 0xFFFFFFFF, 0, 0, 0xFF0))
    assert text.startswith(
        "address fields: header_addr 0xff0, at or above the header's file offset 0x1000 needed"
    )
    assert isinstance(by_flat2(0x1000, 0x101000, 0xFFFFFFFF, 0, 0, 0x101000), Offer)


@ways
def test_cve_2017_14167_load_end_below_its_start(load):
    for end in (1, START - 1, START):
        assert f"load_end_addr {end:#x}, above" in refused(load(0, START, START, end, 0, START))


@ways
def test_cve_2017_14167_load_end_beyond_the_file(load):
    size = SIZE[load]
    assert isinstance(load(0, START, START, START + size, 0, START), Offer)
    for end in (START + size + 1, 0xFFFFFFFF):
        assert "an end within the file's" in refused(load(0, START, START, end, 0, START))


# --- CVE-2018-7550: bss_end smaller than what is loaded: a negative size to clear ---------------


@ways
def test_cve_2018_7550_bss_end_within_what_is_loaded(load):
    size = SIZE[load]
    for bss in (1, START, START + 1, START + size - 1):
        assert f"bss_end_addr {bss:#x}, at or above" in refused(
            load(0, START, START, 0, bss, START)
        )
    assert isinstance(load(0, START, START, 0, START + size, START), Offer)


# --- CVE-2020-13765 class: sums that wrap at 32 bits --------------------------------------------


@ways
def test_cve_2020_13765_addresses_near_the_end_of_32_bits(load):
    size = SIZE[load]
    top = (1 << 32) - size
    assert isinstance(load(0, top, top, 0, 0, top), Offer)
    assert "an end at 0x100000001" in refused(load(0, top + 1, top + 1, 0, 0, top + 1))
    found = load(0, START, START, 0, 0xFFFFFFFF, START)  # 4 GiB of zeros: nothing is allocated
    assert isinstance(found, Offer)
    assert found.needs == 0xFFFFFFFF


@ways
def test_an_entry_outside_what_is_loaded(load):
    for entry in (0, START - 1, START + SIZE[load], 0xFFFFFFFF):
        assert f"entry_addr {entry:#x}, an address in" in refused(
            load(0, START, START, 0, 0, entry)
        )


words = st.one_of(
    st.integers(0, 0xFFFFFFFF),
    st.integers(START - 8, START + 0x100),
    st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]),
)


@given(st.sampled_from([by_flat1, by_flat2]), st.sampled_from([0, 8, 0x100]), words, words, words,
       words, words)  # fmt: skip
def test_any_address_fields_give_a_segment_of_the_file_or_a_reason(
    load, before, header, start, end, bss, entry
):
    found = load(before, header, start, end, bss, entry)
    if isinstance(found, Refusal):
        assert found.reasons
        return
    (segment,) = found.image.segments
    assert 0 < len(segment.data) <= segment.memsz
    assert segment.end <= 1 << 32
    assert segment.paddr <= found.entry < segment.end
    offset = before - (header - segment.paddr)
    assert bytes(segment.data) == bytes(found.image.data[offset : offset + len(segment.data)])


# --- GHSA-52h2-m2cf-9jh6, linux-loader: offsets beyond the file, endless loops -------------------


def test_ghsa_52h2_a_tag_of_size_0_is_no_endless_loop():
    refused(multiboot2.offers(image(header2(tag(1, size=0)) + CODE)))


# --- crosvm 76199b4a0, XSA-95: p_paddr + p_memsz ------------------------------------------------


@pytest.mark.parametrize("memsz", [(1 << 32) - START, (1 << 32) - START - 1, GIB])
@pytest.mark.parametrize("protocol", [multiboot1, multiboot2])
def test_crosvm_76199b4a0_xsa_95_a_segment_of_gigabytes_is_refused_by_the_placer(protocol, memsz):
    header = header1() if protocol is multiboot1 else header2()
    with pytest.raises(PlacementError, match="kernel segment 0"):
        plan(protocol, elf(header, memsz=memsz), on=machine(64 * MIB))


# --- CVE-2016-9384: padding that nobody set was copied into the guest -------------------------


@pytest.mark.parametrize("protocol", [multiboot1, multiboot2])
def test_cve_2016_9384_every_byte_that_is_handed_over_is_known(protocol):
    header = header1() if protocol is multiboot1 else header2(tag(10, 0, 0xFFFFFFFF, 1, 0))
    modules = (Module(b"\xaa" * 5000, b"first"), Module(b"\xbb" * 3))
    info = BootInfo(b"console=ttyS0", modules)
    made, reader = plan(protocol, elf(header, sections=symbols()), info, tables=True)
    memory = bytearray(made.machine.memory)
    fill(made, memory)
    if protocol is multiboot2:
        tags2(reader, made.cpu.rbx)  # looks at the padding
    for number in (0, 1):
        piece = made.address_of(f"module {number}") + len(modules[number].data)
        assert not any(memory[piece : -(-piece // 4096) * 4096])
    for piece in made.pieces:
        memory[piece.start : piece.end] = bytes(piece.end - piece.start)
    assert not any(memory)  # nothing lies beside the pieces


# --- CVE-2020-15707: sums of modules ------------------------------------------------------------


@pytest.mark.parametrize("protocol", [multiboot1, multiboot2])
@pytest.mark.parametrize("count", [4, 5, 8])
def test_cve_2020_15707_many_modules_whose_sum_wraps(protocol, count):
    header = header1() if protocol is multiboot1 else header2()
    huge = memoryview(bytes(1)).cast("B")
    module = Module(_Claims(huge, GIB))
    with pytest.raises(PlacementError, match=r"^modules: no room"):
        plan(protocol, elf(header), BootInfo(modules=(module,) * count), machine(64 * GIB))


class _Claims(bytes):
    # A module of a size that nobody has to have in memory.
    def __new__(cls, data, size):
        self = super().__new__(cls, data)
        self.size = size
        return self

    def __len__(self):
        return self.size


# --- what is no kernel ----------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [multiboot1, multiboot2])
def test_a_disk_is_not_searched_for_headers_of_its_boot_loader(protocol):
    # GRUB's core image on a disk has one, which no linker script "must put first".
    data = bytearray(64 << 10)
    data[510:512] = b"\x55\xaa"
    data[0xA000:] = header1() + header2() + CODE
    found = protocol.offers(images.parse(bytes(data), "disk"))
    text = refused(found)
    assert text == "image format: disk, an ELF, or a header with load addresses, needed"
    assert found.reasons[0].hint is None
