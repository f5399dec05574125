"""Disks and CD-ROM images: real ones against sfdisk and xorriso, and hostile ones."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import zlib

import pytest

from hvmlite.errors import FormatError
from hvmlite.images import parse as parse_image
from hvmlite.spec import disk

MIB = 1 << 20
ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"
SFDISK = shutil.which("sfdisk", path=f"{os.environ['PATH']}:/sbin:/usr/sbin") or "sfdisk"


def parse(data):
    image = parse_image(data, "t")
    assert image.format == "disk"
    return image


def partitioned(folder, script, size=64 * MIB):
    path = folder / "disk"
    with path.open("wb") as file:
        file.truncate(size)
    subprocess.run([SFDISK, "-q", path], input=script, text=True, check=True)
    return path


GPT = f'label: gpt\nsize=8M, type={ESP}, name="EFI ä"\nsize=16M, type={LINUX}\nstart=100000\n'
DOS = (
    "label: dos\nsize=8M, type=ef, bootable\nsize=40M, type=5\nsize=4M, type=c\nsize=4M\nsize=4M\n"
)


@pytest.mark.parametrize(("scheme", "script"), [("gpt", GPT), ("dos", DOS)])
def test_partitions_as_sfdisk_reads_them(tmp_path, scheme, script):
    path = partitioned(tmp_path, script)
    told = subprocess.run([SFDISK, "-J", path], capture_output=True, text=True, check=True)
    table = json.loads(told.stdout)["partitiontable"]
    image = parse(path.read_bytes())
    assert image.warnings == ()
    assert image.disk.scheme == {"dos": "mbr"}.get(scheme, scheme)

    def kind(text):
        return text.lower() if scheme == "gpt" else f"0x{int(text, 16):02x}"

    theirs = [
        (int(re.search(r"\d+$", each["node"])[0]), each["start"] * 512, each["size"] * 512,
         kind(each["type"]), each.get("name", ""), each.get("bootable", False))
        for each in table["partitions"]
        if each["type"] != "5"
    ]  # fmt: skip
    ours = [(p.number, p.start, p.size, p.type, p.name, p.active) for p in image.disk.partitions]
    assert ours == theirs
    assert [p.number for p in image.disk.partitions if p.esp] == [1]
    assert dict(image.facts)["partition table"] == image.disk.scheme


def test_a_gpt_for_sectors_of_4096_bytes(tmp_path):
    data = bytearray(gpt_disk(sector=4096))
    image = parse(data)
    (partition,) = image.disk.partitions
    assert (partition.start, partition.size, partition.esp) == (8 * 4096, 4096, True)


def test_a_fat_partition_is_seen(tmp_path):
    path = partitioned(tmp_path, GPT)
    first, other, _ = parse(path.read_bytes()).disk.partitions
    assert not first.fat
    subprocess.run(
        ["mformat", "-i", f"{path}@@{first.start}", "-t", "8", "-h", "64", "-s", "32", "::"],
        check=True,
    )
    first, other, _ = parse(path.read_bytes()).disk.partitions
    assert first.fat
    assert not other.fat


def test_a_whole_fat_file_system(tmp_path):
    """Its boot sector ends as an MBR does; there is text where that has partitions."""
    path = tmp_path / "fat"
    subprocess.run(["mformat", "-C", "-i", path, "-f", "1440", "::"], check=True)
    found = parse(path.read_bytes()).disk
    assert (found.fat, found.scheme, found.partitions) == (True, "", ())


def iso(folder, *options):
    tree = folder / "tree"
    tree.mkdir(exist_ok=True)
    (tree / "boot.bin").write_bytes(b"\xeb\xfe".ljust(2048, b"\0"))
    (tree / "efi.img").write_bytes(bytes(64 << 10))
    path = folder / "cd.iso"
    command = ["xorriso", "-as", "mkisofs", "-quiet", *options, "-o", path, tree]
    subprocess.run(command, check=True, capture_output=True)
    return path


BIOS = ("-b", "boot.bin", "-no-emul-boot", "-boot-load-size", "4")
EFI = ("-eltorito-alt-boot", "-e", "efi.img", "-no-emul-boot")


@pytest.mark.parametrize("options", [(), BIOS, BIOS + EFI, EFI[1:]])
def test_boot_catalogs_as_xorriso_reads_them(tmp_path, options):
    agrees(iso(tmp_path, *options))


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("grub-rescue", "rescue.iso"),
        ("ipxe", "ipxe.iso"),
        ("memtest86+", "memtest86+x64.iso"),
        ("debian-netboot", "netboot.iso"),
    ],
)
def test_real_cdroms(images, folder, name):
    found = agrees(images[folder] / name)
    assert found.iso
    assert {entry.platform for entry in found.boot_entries} == {"bios", "efi"}
    assert any(partition.esp for partition in found.partitions) is (folder != "ipxe")


def agrees(path):
    """The boot entries and the MBR partitions are those that xorriso reports."""
    command = ["xorriso", "-indev", path, "-report_el_torito", "plain"]
    told = subprocess.run(
        [*command, "-report_system_area", "plain"], capture_output=True, text=True, check=True
    ).stdout
    found = parse(path.read_bytes()).disk
    platforms, emulations = {"BIOS": "bios", "UEFI": "efi"}, {"none": "none", "fd1.4": "floppy"}
    theirs = [
        (platforms[p], b == "y", emulations[e], int(seg, 16) or 0x7C0, int(lba) * 2048, int(n))
        for p, b, e, seg, n, lba in re.findall(
            r"boot img : +\d+ +(\w+) +(\w) +(\S+) +(0x\w+) +0x\w+ +(\d+) +(\d+)", told
        )
    ]
    ours = [
        (e.platform, e.bootable, e.emulation, e.segment, e.start, e.sectors)
        for e in found.boot_entries
    ]
    assert ours == theirs
    rows = re.findall(
        r"^MBR partition +: +(\d+) +(0x\w+) +(0x\w+) +(\d+) +(\d+)", told, re.MULTILINE
    )
    if found.scheme == "mbr":
        assert [(p.number, p.type, p.start, p.size) for p in found.partitions] == [
            (int(n), f"{int(t, 16):#04x}", int(s) * 512, int(c) * 512) for n, _, t, s, c in rows
        ]
    return found


def test_a_qcow2_image_is_not_looked_into():
    header = b"QFI\xfb" + (3).to_bytes(4, "big") + bytes(16) + (1 << 30).to_bytes(8, "big")
    image = parse(header.ljust(4096, b"\0"))
    assert image.disk.container == "qcow2"
    assert image.facts == (
        ("container", "qcow2"), ("version", "3"), ("virtual size", "1073741824 bytes"),
    )  # fmt: skip


def test_a_boot_sector_alone():
    found = parse(b"\xeb\xfe".ljust(510, b"\0") + b"\x55\xaa").disk
    assert (found.signature, found.boot_code, found.scheme, found.iso) == (True, True, "", False)


@pytest.mark.parametrize("data", [bytes(4096), b"\xeb\xfe".ljust(512, b"\0"), b"\x55\xaa"])
def test_no_disk(data):
    with pytest.raises(FormatError):
        parse_image(data, "t")


# --- hostile tables -----------------------------------------------------------------------------


def gpt_disk(sector=512, sectors=64, entries=None, backup=False, **fields):
    """A disk with a GPT and one ESP; `fields` override the header's."""
    import uuid

    if entries is None:
        entries = disk.GptEntry(
            PartitionTypeGUID=uuid.UUID(ESP).bytes_le, StartingLBA=8, EndingLBA=8
        ).pack()
    count = len(entries) // 128
    values = {
        "Signature": b"EFI PART", "Revision": 0x10000, "HeaderSize": 92, "MyLBA": 1,
        "PartitionEntryLBA": 2, "NumberOfPartitionEntries": count, "SizeOfPartitionEntry": 128,
        "PartitionEntryArrayCRC32": zlib.crc32(entries),
    } | fields  # fmt: skip
    header = disk.GptHeader(**values)
    if "HeaderCRC32" not in fields:
        header = header.replace(HeaderCRC32=zlib.crc32(header.pack()))
    data = bytearray(sector * sectors)
    data[510:512] = b"\x55\xaa"
    at = sector * (sectors - 1 if backup else 1)
    data[at : at + 92] = header.pack()
    start = values["PartitionEntryLBA"] * sector
    if start + len(entries) <= len(data):
        data[start : start + len(entries)] = entries
    return bytes(data)


def gpt_warning(match, **fields):
    image = parse(gpt_disk(**fields))
    assert image.disk.partitions == ()
    assert any(re.search(match, warning) for warning in image.warnings), image.warnings


def test_4c_gpt_entry_count_and_size():
    gpt_warning("SizeOfPartitionEntry 0, a multiple of 8", SizeOfPartitionEntry=0)
    gpt_warning("SizeOfPartitionEntry 127", SizeOfPartitionEntry=127)
    gpt_warning("SizeOfPartitionEntry 129", SizeOfPartitionEntry=129)
    gpt_warning("4294967295 entries of 128 bytes", NumberOfPartitionEntries=0xFFFFFFFF)
    gpt_warning("1 entries of 4294967288 bytes", SizeOfPartitionEntry=0xFFFFFFF8)
    gpt_warning("lie outside the disk", NumberOfPartitionEntries=8000)


def test_4c_gpt_entries_at_lba_0_or_past_the_end():
    for lba in (0, 64, 1 << 32, (1 << 64) - 1):
        gpt_warning(f"entries at LBA {lba} lie outside", PartitionEntryLBA=lba)


def test_4c_gpt_header_size_and_checksums():
    for size in (0, 91, 513, 0xFFFFFFFF):
        gpt_warning(f"HeaderSize {size}, 92 to 512 was needed", HeaderSize=size)
    gpt_warning("the checksum of its header is wrong", HeaderCRC32=1)
    gpt_warning("the checksum of its entries is wrong", PartitionEntryArrayCRC32=1)


@pytest.mark.parametrize(("start", "end"), [(0, 5), (9, 8), (8, 64), ((1 << 64) - 1,) * 2])
def test_4c_gpt_partitions_outside_the_disk(start, end):
    entry = disk.GptEntry(PartitionTypeGUID=b"x" * 16, StartingLBA=start, EndingLBA=end).pack()
    image = parse(gpt_disk(entries=entry))
    assert image.disk.partitions == ()
    assert image.warnings == (f"partition 1: LBA {start}-{end} lies outside the disk",)


def test_4c_a_gpt_with_more_partitions_than_are_shown():
    entry = disk.GptEntry(PartitionTypeGUID=b"x" * 16, StartingLBA=20, EndingLBA=20).pack()
    image = parse(gpt_disk(sectors=4096, entries=entry * 4000))
    assert len(image.disk.partitions) == 128
    assert image.warnings == ("more than 128 partitions: the others are left out",)


def test_4c_only_the_backup_of_a_gpt():
    image = parse(gpt_disk(backup=True, MyLBA=63))
    assert (image.disk.scheme, len(image.disk.partitions)) == ("gpt", 1)
    assert image.warnings == ("only the backup of the GPT can be used, at the end of the disk",)


def test_4c_a_broken_gpt_with_a_whole_backup():
    data = bytearray(gpt_disk(HeaderCRC32=1))
    data[63 * 512 :] = gpt_disk(backup=True, MyLBA=63)[63 * 512 :]
    image = parse(bytes(data))
    assert (image.disk.scheme, len(image.disk.partitions)) == ("gpt", 1)
    assert image.warnings == ("GPT ignored: the checksum of its header is wrong",)


def mbr(*partitions, sectors=64):
    record = disk.Mbr(partitions=partitions, signature=b"\x55\xaa", boot_code=b"\xfa").pack()
    return bytearray(record.ljust(512 * sectors, b"\0"))


def part(kind, start, size, flag=0):
    return disk.MbrPartition(
        boot_indicator=flag, os_type=kind, starting_lba=start, size_in_lba=size
    )


@pytest.mark.parametrize("link", [0, 8, 16, 0xFFFFFFFF])
def test_4c_extended_partitions_that_loop(link):
    data = mbr(part(5, 8, 40))
    inner = disk.Mbr(partitions=(part(0x83, 1, 1), part(5, link, 1)), signature=b"\x55\xaa")
    for lba in (8, 16, 24):
        data[lba * 512 : lba * 512 + 512] = inner.pack()
    started = time.process_time()
    image = parse(bytes(data))
    assert time.process_time() - started < 1
    assert len(image.disk.partitions) <= 64
    assert image.warnings


def test_4c_an_mbr_that_goes_beyond_the_disk():
    image = parse(bytes(mbr(part(0x83, 100, 1), part(0x83, 60, 100), part(0, 0, 0, 0))))
    assert [p.number for p in image.disk.partitions] == [2]
    assert "partition 1: 0x200 bytes at 0xc800, outside the disk" in image.warnings


def test_4c_an_mbr_signature_on_other_data():
    """Debian bug 745419: a file system's boot sector is not an MBR."""
    image = parse(bytes(mbr(part(0x83, 1, 1, flag=0x20))))
    assert image.disk.scheme == ""


def torito(catalog, at=20):
    data = bytearray(40 * 2048)
    data[16 * 2048 : 16 * 2048 + 6] = b"\1CD001"
    record = disk.BootRecordVolume(
        identifier=b"CD001", version=1, boot_system_identifier=disk.EL_TORITO, boot_catalog=at
    ).pack()
    data[17 * 2048 : 17 * 2048 + len(record)] = record
    if at < 40:
        data[at * 2048 : at * 2048 + len(catalog)] = catalog
    return bytes(data)


def validation(platform=0, key=b"\x55\xaa", checksum=None):
    entry = disk.ValidationEntry(header_id=1, platform_id=platform, key=key)
    words = sum(int.from_bytes(entry.pack()[i : i + 2], "little") for i in range(0, 32, 2))
    return entry.replace(checksum=-words & 0xFFFF if checksum is None else checksum).pack()


ENTRY = disk.CatalogEntry(boot_indicator=0x88, sector_count=4, load_rba=30).pack()


def section(platform=0xEF, count=1, indicator=0x91):
    return disk.SectionHeader(
        header_indicator=indicator, platform_id=platform, number_of_entries=count
    ).pack()


def test_el_torito_with_sections_and_extensions():
    more = bytes([0x88, 0x20]) + ENTRY[2:]  # an extension follows
    catalog = validation() + ENTRY + section(count=1, indicator=0x90) + more
    catalog += bytes([0x44, 0x20]).ljust(32, b"\0") + bytes([0x44, 0]).ljust(32, b"\0")
    catalog += section(platform=2) + ENTRY
    image = parse(torito(catalog))
    assert [e.platform for e in image.disk.boot_entries] == ["bios", "efi", "0x2"]
    assert image.warnings == ()


@pytest.mark.parametrize(
    "rest",
    [
        section(count=0xFFFF) + ENTRY * 2000,
        section(count=0xFFFF, indicator=0x90) * 2000,
        section(count=0, indicator=0x90) * 2000,
        section() + bytes([0x88, 0x20]) + ENTRY[2:] + bytes([0x44, 0x20]).ljust(32, b"\0") * 2000,
        section(count=0xFFFF),
    ],
    ids=["entries", "headers", "empty sections", "extensions", "nothing"],
)
def test_el_torito_loops(rest):
    started = time.process_time()
    image = parse(torito((validation() + ENTRY + rest)[: 20 * 2048]))
    assert time.process_time() - started < 1
    assert 1 <= len(image.disk.boot_entries) <= 32


def test_el_torito_catalogs_that_are_broken():
    for catalog, at, match in (
        (b"", 1000, "lies outside the image"),
        (b"", 0xFFFFFFFF, "lies outside the image"),
        (validation(key=b"\0\0") + ENTRY, 20, "its validation entry is broken"),
        (validation(checksum=1) + ENTRY, 20, "its validation entry is broken"),
        (bytes(64), 20, "its validation entry is broken"),
    ):
        image = parse(torito(catalog, at))
        assert image.disk.boot_entries == ()
        assert match in image.warnings[0]


def test_el_torito_entries_outside_the_image_are_not_bootable():
    entry = disk.CatalogEntry(boot_indicator=0x88, load_rba=0xFFFFFFFF).pack()
    (found,) = parse(torito(validation() + entry)).disk.boot_entries
    assert not found.bootable
