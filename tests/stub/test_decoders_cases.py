"""The stub's decoders, case by case: what only some loaders hand over, and each way to be wrong."""

from __future__ import annotations

import struct

import pytest

from hvmlite.model import MemoryRange
from hvmlite.spec.linux import BootParams
from stub.decoders import Decoders, Stopped

AT = 0x20000
TEXT = 0x30000
MAP = 0x40000
EFI = 0x50000
ROM = (0xE0000, bytes(0x20000))
RAM = (MemoryRange(0, 0x9F000), MemoryRange(0x100000, 0x4000000))
RSDP1 = b"RSD PTR \x10OEMID0\0" + bytes(4)
RSDP2 = b"RSD PTR \x10OEMID0\2" + struct.pack("<IIQI", 0x1000, 36, 0x2000, 0)
IBI_SYST = struct.pack("<QIIII", 0x5453595320494249, 2 << 16, 24, 0, 0)


@pytest.fixture(scope="module")
def decoders(tmp_path_factory):
    running = Decoders(tmp_path_factory.mktemp("decoders"))
    yield running
    running.close()


@pytest.fixture
def one(decoders):
    def run(**fields):
        """Multiboot 1; `more` are regions beside the information."""
        more = fields.pop("more", [])
        return decoders.run("multiboot1", AT, [(AT, info1(**fields)), *more])

    return run


@pytest.fixture
def two(decoders):
    def run(*tags, total=None, more=(), end=True):
        """Multiboot2; there are a memory map and an end tag unless a test has its own."""
        body = b"".join(tags) + (map2() + tag(0) if end else b"")
        data = struct.pack("<II", 8 + len(body) if total is None else total, 0) + body
        return decoders.run("multiboot2", AT, [(AT, data), ROM, *more])

    return run


@pytest.fixture
def pvh(decoders):
    def run(more=(), xen=None, **fields):
        return decoders.run("pvh", AT, [(AT, start_info(**fields)), *more], xen=xen)

    return run


FIELDS1 = {
    "flags": "I", "mem_lower": "I", "mem_upper": "I", "boot_device": "I", "cmdline": "I",
    "mods_count": "I", "mods_addr": "I", "syms": "16s", "mmap_length": "I", "mmap_addr": "I",
    "drives_length": "I", "drives_addr": "I", "config_table": "I", "boot_loader_name": "I",
    "apm_table": "I", "vbe_control_info": "I", "vbe_mode_info": "I", "vbe_mode": "H",
    "vbe_seg": "H", "vbe_off": "H", "vbe_len": "H", "framebuffer": "28s",
}  # fmt: skip


def info1(**fields):
    """All other fields are 0, all flags as asked; memory sizes unless there is something better."""
    fields = {"flags": 1, "mem_lower": 636, "mem_upper": 64512} | fields
    values = [fields.pop(name, b"" if f[-1] == "s" else 0) for name, f in FIELDS1.items()]
    assert not fields
    return struct.pack("<" + "".join(FIELDS1.values()), *values)


def tag(kind, body=b"", size=None):
    data = struct.pack("<II", kind, 8 + len(body) if size is None else size) + body
    return data + bytes(-len(data) % 8)


def map2(*records, entry_size=24):
    records = records or [(r.start, r.size, 1) for r in RAM]
    packed = [struct.pack("<QQII", *record, 0).ljust(entry_size, b"\xaa") for record in records]
    return tag(6, struct.pack("<II", entry_size, 0) + b"".join(packed))


def start_info(
    magic=0x336EC578, version=1, modules=0, modlist=0, line=0, rsdp=0, map_=MAP, count=0
):
    return struct.pack(
        "<IIIIQQQQII", magic, version, 0, modules, modlist, line, rsdp, map_, count, 0
    )


def stops(run, *arguments, **options):
    with pytest.raises(Stopped) as stopped:
        run(*arguments, **options)
    return stopped.value.args[0]


def page_of(handed):
    return BootParams.unpack(handed.page)


# The command line's first word, and who the loader is.


@pytest.mark.parametrize(
    ("name", "line", "expected", "kind"),
    [
        (b"GRUB 2.06-13+deb12u1", b"a b", b"a b", 0x72),
        (b"qemu", b"/path/kernel a  b", b"a  b", 0xB0),
        (b"qemu", b"/path/kernel", b"", 0xB0),
        (b"qemu", b" /path/kernel   a", b"a", 0xB0),
        (b"kexec 2.0.25", b"universal quiet", b"quiet", 0xD0),
        (b"iPXE 1.21.1", b"http://host/universal quiet", b"quiet", 0x40),
        (b"ISOLINUX 6.04 20200816 ", b"/universal quiet", b"quiet", 0x33),
        (b"hvmlite (as GRUB 2)", b"a b", b"a b", 0xFF),
        (b"GRU", b"a b", b"a b", 0xFF),
        (b"", b"a b", b"a b", 0xFF),
        (None, b"a b", b"a b", 0xFF),
    ],
)
def test_a_word_is_left_out_only_where_the_loader_is_known_to_put_one(
    one, two, name, line, expected, kind
):
    tags = [tag(1, line + b"\0")] + ([] if name is None else [tag(2, name + b"\0")])
    texts = [(TEXT, line + b"\0")] + ([] if name is None else [(TEXT + 0x1000, name + b"\0")])
    flags = 1 | 1 << 2 | (0 if name is None else 1 << 9)
    first = one(flags=flags, cmdline=TEXT, boot_loader_name=TEXT + 0x1000, more=texts)
    for handed in (first, two(*tags)):
        assert handed.cmdline == expected
        assert page_of(handed).hdr.type_of_loader == kind


# Memory


def test_memory_sizes_will_do_without_a_map(one, two):
    handed = one()
    assert handed.memory_map == RAM
    assert page_of(handed).alt_mem_k == 64512
    sizes = tag(4, struct.pack("<II", 636, 64512))
    assert two(sizes, tag(0), end=False).memory_map == RAM
    empty = tag(6, struct.pack("<II", 24, 0))
    assert two(empty, sizes, tag(0), end=False).memory_map == RAM


def test_a_map_is_better_than_sizes(one, two):
    records = struct.pack("<IQQI", 20, 0, 0x1000, 1) + struct.pack("<IQQIQ", 28, 1 << 40, 9, 99, 0)
    handed = one(flags=1 | 1 << 6, mmap_addr=MAP, mmap_length=len(records), more=[(MAP, records)])
    assert handed.memory_map == (MemoryRange(0, 0x1000), MemoryRange(1 << 40, (1 << 40) + 9, 2))
    handed = two(map2((5, 6, 3), (7, 8, 7), entry_size=40), tag(0), end=False)
    assert handed.memory_map == (MemoryRange(5, 11, 3), MemoryRange(7, 15, 7))


def test_version_0_of_pvh_asks_xen(pvh):
    table = [(0, 0x80000000, 1), (0xFC000000, 0x1000, 2)]
    asked = (MemoryRange(0, 0x80000000), MemoryRange(0xFC000000, 0xFC001000, 2))
    for fields in ({"version": 0}, {"version": 1, "count": 0}):
        handed = pvh(xen=table, **fields)
        assert handed.memory_map == asked
        assert page_of(handed).hdr.type_of_loader == 0x90
        assert stops(pvh, **fields) == "memory map: none, and no Xen to ask for it, one is needed"
    assert stops(pvh, version=0, xen=[]) == "memory map: none from Xen, 1 to 1024 records needed"


def test_version_0_of_pvh_is_forty_bytes(decoders):
    data = start_info(version=0)[:40]
    handed = decoders.run("pvh", AT, [(AT, data)], xen=[(0, 1 << 30, 1)])
    assert handed.memory_map == (MemoryRange(0, 1 << 30),)


def test_a_later_version_of_pvh_is_read_as_version_1(pvh):
    record = struct.pack("<QQII", 0, 1 << 30, 1, 0)
    handed = pvh(version=7, count=1, more=[(MAP, record)], rsdp=0xE0010)
    assert handed.memory_map == (MemoryRange(0, 1 << 30),)
    assert page_of(handed).acpi_rsdp_addr == 0xE0010
    assert page_of(handed).hdr.type_of_loader == 0xB0


# Screen


def test_text_and_indexed_frame_buffers(two):
    screen = page_of(
        two(tag(8, struct.pack("<QIIIBBH", 0xB8000, 160, 80, 25, 16, 2, 0)))
    ).screen_info
    assert (screen.orig_video_isVGA, screen.orig_video_mode) == (1, 3)
    assert (screen.orig_video_cols, screen.orig_video_lines) == (80, 25)
    assert (screen.lfb_base, screen.lfb_width) == (0, 0)
    indexed = struct.pack("<QIIIBBHH", 0xE0000000, 640, 640, 480, 8, 0, 0, 0)
    screen = page_of(two(tag(8, indexed))).screen_info
    assert (screen.orig_video_isVGA, screen.lfb_depth, screen.red_size) == (0x23, 8, 0)
    unknown = struct.pack("<QIIIBBHH", 0xE0000000, 640, 640, 480, 8, 3, 0, 0)
    assert page_of(two(tag(8, unknown))).screen_info.orig_video_isVGA == 0


def vbe(attributes=0x9B, model=6):
    mode = bytearray(256)
    struct.pack_into("<H14xHHH", mode, 0, attributes, 4096, 1024, 768)
    mode[0x19], mode[0x1B], mode[0x1D] = 32, model, 9
    mode[0x1F:0x27] = bytes([8, 16, 8, 8, 8, 0, 8, 24])
    struct.pack_into("<I", mode, 0x28, 0xFD000000)
    return bytes(mode)


def test_a_mode_of_the_vesa_bios_is_a_frame_buffer(one, two):
    first = one(flags=1 | 1 << 11, vbe_mode_info=TEXT, vbe_seg=0xC000, vbe_off=0x1234,
                more=[(TEXT, vbe())])  # fmt: skip
    second = two(tag(7, struct.pack("<4H", 0x4118, 0xC000, 0x1234, 0x56) + bytes(512) + vbe()))
    for handed in (first, second):
        screen = page_of(handed).screen_info
        assert screen.orig_video_isVGA == 0x23
        assert (screen.lfb_width, screen.lfb_height, screen.lfb_depth) == (1024, 768, 32)
        assert (screen.lfb_base, screen.lfb_linelength, screen.lfb_size) == (0xFD000000, 4096, 48)
        assert (screen.red_pos, screen.red_size, screen.rsvd_pos, screen.rsvd_size) == (
            16,
            8,
            24,
            8,
        )
        assert (screen.vesapm_seg, screen.vesapm_off, screen.vesa_attributes) == (
            0xC000,
            0x1234,
            0x9B,
        )
    for mode in (vbe(attributes=0x1B), vbe(model=0)):
        handed = one(flags=1 | 1 << 11, vbe_mode_info=TEXT, more=[(TEXT, mode)])
        assert page_of(handed).screen_info.orig_video_isVGA == 0


def test_a_vbe_tag_that_is_too_short_says_nothing(two):
    assert page_of(two(tag(7, bytes(300)))).screen_info.orig_video_isVGA == 0


def test_apm_is_handed_on(one, two):
    apm = bytes(range(1, 21))
    handed = one(flags=1 | 1 << 10, apm_table=TEXT, more=[(TEXT, apm)])
    assert handed.page[0x40:0x54] == two(tag(10, apm)).page[0x40:0x54] == apm


# ACPI and EFI


def test_no_question_is_answered_from_the_one_before(two):
    ebda = [(0x40E, (0x9FC0).to_bytes(2, "little")), (0x9FC00, bytes(0x400))]
    two(tag(14, RSDP1), more=ebda)
    two(tag(14, RSDP1))


def test_a_copy_of_the_rsdp_goes_where_the_kernel_leaves_it_alone(two):
    for tags, copy in (((tag(14, RSDP1),), RSDP1), ((tag(15, RSDP2), tag(14, RSDP1)), RSDP2)):
        handed = two(*tags)
        assert handed.node == struct.pack("<QII", 0, 0, len(copy)) + copy
        page = page_of(handed)
        assert page.acpi_rsdp_addr == page.hdr.setup_data + 16


@pytest.mark.parametrize("where", [0xE0000, 0xF5AD0, 0xFFFD0, 0x9FC00, 0x9FFD0])
def test_the_original_of_the_rsdp_is_better(decoders, where):
    rom, ebda = bytearray(0x20000), bytearray(0x400)
    room, at = (rom, where - 0xE0000) if where >= 0xE0000 else (ebda, where - 0x9FC00)
    room[at : at + 36] = RSDP2
    rom[0x100:0x124] = RSDP2[:-1] + b"!"  # another's
    body = tag(15, RSDP2) + map2() + tag(0)
    data = struct.pack("<II", 8 + len(body), 0) + body
    regions = [(AT, data), (0xE0000, bytes(rom)), (0x9FC00, bytes(ebda))]
    regions.append((0x40E, struct.pack("<H", 0x9FC0)))
    handed = decoders.run("multiboot2", AT, regions)
    page = page_of(handed)
    assert (page.acpi_rsdp_addr, page.hdr.setup_data) == (where, 0)


def test_an_rsdp_that_is_none(two):
    assert stops(two, tag(15, bytes(36))) == 'RSDP signature: not "RSD PTR ", which is needed'
    assert stops(two, tag(15, RSDP2[:35])) == "RSDP tag: 0x2b, a larger size needed"
    assert stops(two, tag(15, RSDP2 + bytes(36))) == "RSDP size: 0x48, at most 0x40 needed"


@pytest.mark.parametrize(("wide", "signature"), [(True, 0x34364C45), (False, 0x32334C45)])
def test_efi_that_has_been_left(two, wide, signature):
    table = tag(12, struct.pack("<Q", EFI)) if wide else tag(11, struct.pack("<I", EFI))
    map_ = tag(17, struct.pack("<II", 48, 1) + bytes(96))
    frame = tag(8, struct.pack("<QIIIBBH6B", 1 << 33, 4096, 1024, 768, 32, 1, 0, 16, 8, 8, 8, 0, 8))
    handed = two(table, map_, frame, more=[(EFI, IBI_SYST)])
    page = page_of(handed)
    efi = page.efi_info
    assert (efi.efi_loader_signature, efi.efi_systab, efi.efi_systab_hi) == (signature, EFI, 0)
    assert (efi.efi_memdesc_size, efi.efi_memdesc_version, efi.efi_memmap_size) == (48, 1, 96)
    assert efi.efi_memmap == AT + 8 + len(table) + 16
    screen = page.screen_info
    assert (screen.orig_video_isVGA, screen.lfb_size) == (0x70, 4096 * 768)
    assert (screen.lfb_base, screen.ext_lfb_base, screen.capabilities) == (0, 2, 2)


def test_half_of_efi_is_none(two):
    assert page_of(two(tag(12, struct.pack("<Q", EFI)))).efi_info.efi_loader_signature == 0
    assert page_of(two(tag(17, bytes(8)))).efi_info.efi_loader_signature == 0


def test_an_efi_table_with_a_bad_signature(two):
    tags = (tag(12, struct.pack("<Q", EFI)), tag(17, struct.pack("<II", 48, 1)))
    message = "EFI system table: 0x1234, 0x5453595320494249 (IBI SYST) needed"
    assert stops(two, *tags, more=[(EFI, (0x1234).to_bytes(24, "little"))]) == message


@pytest.mark.parametrize(("step", "size"), [(0, 96), (0, 0), (39, 39), (0x1001, 0x1001)])
def test_an_efi_map_that_linux_cannot_divide(two, step, size):
    """Linux divides by the size of a descriptor before it looks at it."""
    map_ = tag(17, struct.pack("<II", step, 1) + bytes(size))
    message = "descriptors of 0x28 to 0x1000 bytes are needed"
    found = stops(two, tag(12, struct.pack("<Q", EFI)), map_, more=[(EFI, IBI_SYST)])
    assert found == f"memory map: {step:#x}, {message}".replace(" 0x0,", " 0,")


def test_an_efi_map_with_a_part_of_a_descriptor(two):
    """Linux counts whole ones."""
    map_ = tag(17, struct.pack("<II", 48, 1) + bytes(95))
    handed = two(tag(12, struct.pack("<Q", EFI)), map_, more=[(EFI, IBI_SYST)])
    assert page_of(handed).efi_info.efi_memmap_size == 95


def test_efi_whose_services_are_alive(two):
    wide = (tag(18), tag(12, struct.pack("<Q", EFI)), tag(20, struct.pack("<Q", 1 << 40)))
    assert stops(two, *wide) == f"EFI handle {1 << 40:#x}, table {EFI:#x}"
    narrow = (tag(11, struct.pack("<I", EFI)), tag(19, struct.pack("<I", 0x77)), tag(18))
    assert stops(two, *narrow, tag(0), end=False) == f"EFI handle 0x77, table {EFI:#x}"
    message = "EFI handle and table tags: one is missing, both are needed"
    assert stops(two, tag(18), wide[1]) == message


# What is wrong


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"flags": 0}, "flags: 0, a memory map or memory sizes needed"),
        ({"flags": 9, "mods_count": 65}, "mods_count: 0x41, at most 0x40 needed"),
        ({"flags": 9, "mods_count": 1, "mods_addr": 0x70000}, "mods_addr: 0x70000, memory needed"),
        ({"flags": 1 | 1 << 6, "mmap_length": 0x10001}, "mmap_length: 0x10001, at most 0x10000"),
        ({"flags": 1 | 1 << 6, "mmap_length": 23, "mmap_addr": AT}, "mmap_length: 0x17, whole rec"),
        ({"flags": 1 | 1 << 6, "mmap_length": 24, "mmap_addr": AT + 4, "mem_lower": 19},
         "memory map record size: 0x13, 0x14 or more needed"),
        ({"flags": 5, "cmdline": 0x70000}, "cmdline: 0x70000, "),
    ],
)  # fmt: skip
def test_multiboot1_that_is_wrong(one, fields, message):
    assert stops(one, **fields).startswith(message)


def test_a_module_that_ends_before_it_starts(one, two):
    message = "mod_end: 0x5, an end that is not below the start needed"
    assert stops(two, tag(3, struct.pack("<II", 6, 5) + b"\0")) == message
    more = [(TEXT, struct.pack("<IIII", 6, 5, 0, 0))]
    assert stops(one, flags=9, mods_count=1, mods_addr=TEXT, more=more) == message


def test_a_command_line_without_an_end(one):
    assert (
        stops(one, flags=5, cmdline=TEXT, more=[(TEXT, b"x" * 64)])
        == "cmdline: 0x30000, a NUL needed"
    )


@pytest.mark.parametrize(
    ("tags", "total", "message"),
    [
        ((), 0, "total_size: 0, 0x10 to 0x1000000 needed"),
        ((), 15, "total_size: 0xf, 0x10 to 0x1000000 needed"),
        ((), 0x1000001, "total_size: 0x1000001, 0x10 to 0x1000000 needed"),
        ((map2(),), None, "total_size: 0x48, an end tag within it needed"),
        ((map2(), tag(0)), 0x48, "total_size: 0x48, an end tag within it needed"),
        ((map2(), tag(1, b"a\0", size=0), tag(0)), None, "tag size: 0, 8 or more within"),
        ((tag(0, size=0),), None, "tag size: 0, 8 or more within total_size needed"),
        ((tag(6, size=7), tag(0)), None, "tag size: 0x7, 8 or more within total_size needed"),
        ((tag(6, size=0xFFFFFFFF), tag(0)), None, "tag size: 0xffffffff, 8 or more within"),
        ((tag(6, struct.pack("<II", 23, 0)), tag(0)), None, "memory map entry_size: 0x17, 0x18 or"),
        ((tag(6, struct.pack("<II", 0, 0)), tag(0)), None, "memory map entry_size: 0, 0x18 or"),
        ((tag(6), tag(0)), None, "memory map tag: 0x8, a larger size needed"),
        ((tag(0),), None, "memory map tag: none, or no record in it, one needed"),
        ((tag(1, b"text"), map2(), tag(0)), None, "command line tag: 0xc, a string with its NUL"),
        ((tag(2), map2(), tag(0)), None, "loader name tag: 0x8, a larger size needed"),
        ((tag(3, b"1234567"), map2(), tag(0)), None, "module tag: 0xf, a larger size needed"),
        ((tag(8, struct.pack("<QIIIBBH", 1, 1, 1, 1, 32, 1, 0)), map2(), tag(0)), None,
         "framebuffer tag: 0x20, the six bytes of its colours needed"),
        ((tag(99),) * 0x1001, None, "tags: 0x1000, an end tag behind at most 0x1000 needed"),
    ],
)  # fmt: skip
def test_multiboot2_that_is_wrong(two, tags, total, message):
    more = [(AT + 0x100000, b"")]
    assert stops(two, *tags, total=total, end=False, more=more).startswith(message)


@pytest.mark.parametrize(
    ("type_", "least", "name"),
    [
        (1, 1, "command line"),
        (2, 1, "loader name"),
        (3, 8, "module"),
        (4, 8, "memory size"),
        (6, 8, "memory map"),
        (7, 8, "VBE"),
        (8, 22, "framebuffer"),
        (10, 20, "APM"),
        (11, 4, "EFI32 table"),
        (12, 8, "EFI64 table"),
        (14, 20, "RSDP"),
        (15, 36, "RSDP"),
        (17, 8, "EFI map"),
        (19, 4, "EFI32 handle"),
        (20, 8, "EFI64 handle"),
    ],
)
def test_a_tag_that_is_too_small_is_named(two, type_, least, name):
    message = f"{name} tag: {least + 7:#x}, a larger size needed"
    assert stops(two, tag(type_, bytes(least - 1))) == message


@pytest.mark.parametrize("left", range(1, 8))
def test_an_end_tag_that_kexec_tools_cut(two, left):
    whole = two(map2(), tag(0), end=False)
    cut = two(map2(), tag(0), total=0x48 + left, end=False)
    assert cut == whole


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"magic": 0x336EC579}, "start_info magic: 0x336ec579, 0x336ec578 needed"),
        ({"count": 1025}, "memmap_entries: 0x401, at most 0x400 needed"),
        ({"count": 1, "map_": 0}, "memmap_paddr: 0, the address of a memory map needed"),
        ({"count": 1, "map_": 0x7FFFFFFF0000}, "memmap_paddr: 0x7fffffff0000, memory needed"),
        ({"count": 1, "map_": (1 << 64) - 8}, "memmap_paddr: 0xfffffffffffffff8, no wrapping"),
        ({"modules": 65}, "nr_modules: 0x41, at most 0x40 needed"),
        ({"modules": 1}, "modlist_paddr: 0, the address of a list needed"),
        ({"line": 0x70000}, "cmdline_paddr: 0x70000, "),
    ],
)
def test_pvh_that_is_wrong(pvh, fields, message):
    fields = {"count": 1} | fields
    record = struct.pack("<QQII", 0, 1 << 30, 1, 0)
    assert stops(pvh, more=[(MAP, record)], **fields).startswith(message)
