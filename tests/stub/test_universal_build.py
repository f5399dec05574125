"""The single stub's blob: what of its layout others rely on, and what its linker script refuses."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hvmlite import blobs
from hvmlite.spec import universal as u

STUB = Path(__file__).resolve().parents[2] / "stub"

FIRST = '#include "universal.h"\n'
USED = "__attribute__((used))"
ABSOLUTE = "initialized data that is written to|has an absolute address"
REFUSED = {
    "data": (f"u32 extra {USED} = 5;", "initialized data that is written to: it has no place"),
    "an address": (f"u8 *const extra[] {USED} = {{ (u8 *)reach }};", ABSOLUTE),
    "functions": (f"void (*const extra[])(const char *) {USED} = {{ say }};", ABSOLUTE),
    "what is elsewhere": (
        f"extern u8 extra[]; u8 *more(void); {USED} u8 *more(void) {{ return extra; }}",
        "undefined reference|hidden symbol",
    ),
    "too much": (f"const u8 extra[0x6000] {USED} = {{ 1 }};", "the stub is larger than 24 KiB"),
    "too much for 16-bit mode": (
        'const u8 extra[0x1000] __attribute__((used, section(".text16"))) = { 1 };',
        "what 16-bit mode needs is larger than its 4 KiB",
    ),
    "too much scratch": (f"u8 extra[0x19000] {USED};", "the scratch memory is too small"),
}


def built(folder: Path, extra: str = "") -> subprocess.CompletedProcess[str]:
    """Build the blob with one more source file, which the rule takes in by itself."""
    shutil.copytree(STUB, folder / "stub")
    if extra:
        (folder / "stub/universal/extra.c").write_text(FIRST + extra + "\n")
    command = ["make", "-C", folder / "stub", f"OUT={folder}", f"{folder}/universal"]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_a_build_with_more_in_it_is_not_refused_as_such(tmp_path):
    result = built(tmp_path, "const u8 extra[16] __attribute__((used)) = { 1 };")
    assert result.returncode == 0, result.stderr
    assert len((tmp_path / "universal").read_bytes()) > len(blobs.read("universal"))


@pytest.mark.parametrize("what", REFUSED)
def test_the_linker_refuses(what, tmp_path):
    extra, words = REFUSED[what]
    result = built(tmp_path, extra)
    assert result.returncode
    assert re.search(words, result.stderr), result.stderr
    assert not (tmp_path / "universal").exists()


def test_the_first_byte_tells_the_modes_apart():
    blob = blobs.read("universal")
    assert len(blob) <= u.STUB_MAX
    assert blob[:4] == b"\x0f\x1f\x06\xeb", "16-bit mode takes the jump for a displacement"
    second = 5 + blob[4]
    assert blob[second : second + 5] == b"\x67\x0f\x1f\x06\xeb", "so does 32-bit mode"
    assert blob[5] in b"\xe9\xeb"
    assert blob[second + 6] == 0xE9
    assert blob[second + 6 + blob[second + 5]] == 0xE9


def test_there_is_room_for_what_an_image_writes():
    blob = blobs.read("universal")
    assert not any(blob[u.PARAMS_OFFSET : u.PARAMS_OFFSET + u.Params.SIZE])
    assert u.PARAMS_OFFSET + u.Params.SIZE <= u.HEADER_OFFSET
    assert not any(blob[u.HEADER_OFFSET : u.HEADER_OFFSET + 0x290 - 0x1F1])


def test_offsets_in_the_zero_page_are_those_of_linux(tmp_path):
    names = {
        "EXT_MEM_K": "screen_info.ext_mem_k",
        "APM_BIOS_INFO": "apm_bios_info",
        "ACPI_RSDP_ADDR": "acpi_rsdp_addr",
        "EXT_RAMDISK_IMAGE": "ext_ramdisk_image",
        "EXT_RAMDISK_SIZE": "ext_ramdisk_size",
        "EXT_CMD_LINE_PTR": "ext_cmd_line_ptr",
        "EFI_INFO": "efi_info",
        "EFI_MEMDESC_SIZE": "efi_info.efi_memdesc_size",
        "EFI_MEMMAP": "efi_info.efi_memmap",
        "EFI_MEMMAP_SIZE": "efi_info.efi_memmap_size",
        "EFI_MEMMAP_HIGH": "efi_info.efi_memmap_hi",
        "ALT_MEM_K": "alt_mem_k",
        "E820_ENTRIES": "e820_entries",
        "SENTINEL": "sentinel",
        "HEADER": "hdr",
        "HEADER_JUMP": "hdr.jump) + 1 + 0 * (0",
        "HEADER_MAGIC": "hdr.header",
        "TYPE_OF_LOADER": "hdr.type_of_loader",
        "LOADFLAGS": "hdr.loadflags",
        "CODE32_START": "hdr.code32_start",
        "RAMDISK_IMAGE": "hdr.ramdisk_image",
        "RAMDISK_SIZE": "hdr.ramdisk_size",
        "CMD_LINE_PTR": "hdr.cmd_line_ptr",
        "XLOADFLAGS": "hdr.xloadflags",
        "SETUP_DATA": "hdr.setup_data",
        "E820_TABLE": "e820_table",
    }
    text = (STUB / "universal/boot_params.h").read_text()
    found = dict(re.findall(r"^#define (\w+)\s+(0x[0-9a-f]{3})\b", text, re.MULTILINE))
    assert names.keys() <= found.keys()
    assert found.keys() - names.keys() <= {"HEADER_END"}
    lines = ["#include <stddef.h>", "#include <asm/bootparam.h>"]
    for name, member in names.items():
        where = f"offsetof(struct boot_params, {member})"
        lines.append(f'_Static_assert({where} == {found[name]}, "{name}");')
    source = tmp_path / "offsets.c"
    source.write_text("\n".join(lines) + "\n")
    subprocess.run(["gcc", "-fsyntax-only", source], check=True)
