"""Says what a file that is no kernel looks like, so that a mix-up is seen at once."""

from __future__ import annotations

from hvmlite.spec.linux import BOOT_FLAG

__all__ = ["is_pe", "like"]

_STARTS = (
    (b"070701", "a cpio archive (an initrd?)"),
    (b"070702", "a cpio archive (an initrd?)"),
    (b"070707", "an old cpio archive (an initrd?)"),
    (b"\xc7\x71", "an old cpio archive (an initrd?)"),
    (b"\x7fELF", "an ELF file"),
    (b"\x04\x22\x4d\x18", "an LZ4 frame (kernels have the legacy format, lz4 -l)"),
    (b"!<arch>\n", "an ar archive or a Debian package"),
    (b"\xed\xab\xee\xdb", "an RPM package"),
    (b"PK\x03\x04", "a zip archive"),
    (b"hsqs", "a squashfs file system"),
    (b"QFI\xfb", "a qcow2 disk image"),
    (b"KDMV", "a VMDK disk image"),
    (b"conectix", "a VHD disk image"),
    (b"vhdxfile", "a VHDX disk image"),
    (b"\xd0\x0d\xfe\xed", "a flattened device tree"),
    (b"\x27\x05\x19\x56", "a U-Boot image"),
    (b"\xfe\xed\xfa", "a Mach-O file"),
    (b"\xcf\xfa\xed\xfe", "a Mach-O file"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a picture"),
    (b"#!", "a script"),
)
_AT_OFFSETS = (
    (56, b"ARMd", "a kernel Image for AArch64"),
    (48, b"RISCV", "a kernel Image for RISC-V"),
    (257, b"ustar", "a tar archive"),
    (0x438, b"\x53\xef", "an ext2/3/4 file system"),
    (0x8001, b"CD001", "an ISO 9660 image"),
)
_BOOT_SECTOR = BOOT_FLAG.to_bytes(2, "little")
_SAMPLE = 4096
_LFANEW = 0x3C  # e_lfanew of the DOS header


def like(data: memoryview) -> str:
    """Return a few words about what `data` looks like."""
    if len(data) == 0:
        return "nothing at all (empty)"
    start = bytes(data[:_SAMPLE])
    for magic, what in _STARTS:
        if start.startswith(magic):
            return what
    for offset, magic, what in _AT_OFFSETS:
        if bytes(data[offset : offset + len(magic)]) == magic:
            return what
    if is_pe(data):
        return "a PE (EFI or Windows) program"
    if start.startswith(b"MZ"):
        return f"a DOS program, {len(data)} bytes long"
    if start[510:512] == _BOOT_SECTOR:
        return "a boot sector, a disk image or a Linux kernel from before boot protocol 2.00"
    if not any(start):
        return "zeros"
    if _is_text(start):
        return "text"
    return f"data of an unknown kind ({start[:8].hex(' ')})"


def is_pe(data: memoryview) -> bool:
    """Return whether there is "MZ" at the beginning, and "PE" where it points."""
    if bytes(data[:2]) != b"MZ" or len(data) < _LFANEW + 4:
        return False
    at = int.from_bytes(data[_LFANEW : _LFANEW + 4], "little")
    return bytes(data[at : at + 4]) == b"PE\0\0"


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # not just cut in the middle of a character
            return False
        text = start[: error.start].decode("utf-8")
    return all(c.isprintable() or c in "\t\r\n\f" for c in text)
