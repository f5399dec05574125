"""Makes small bzImages: a setup header, some setup code, and a payload of any compression."""

from __future__ import annotations

import bz2
import gzip as gz
import lzma
import zlib
from dataclasses import dataclass, field

from hvmlite.spec import linux

HEADER_END = 0x26C  # of protocol 2.15


def gzip(data: bytes, level: int = 9) -> bytes:
    """As ``gzip -n -9``."""
    return gz.compress(data, level, mtime=0)


def bzip2(data: bytes, level: int = 9) -> bytes:
    """As ``bzip2 -9``."""
    return bz2.compress(data, level)


def lzma_alone(data: bytes, preset: int = 6) -> bytes:
    """As ``lzma -9``, which has another preset only."""
    return lzma.compress(data, lzma.FORMAT_ALONE, preset=preset)


def xz(data: bytes, dictionary: int = 1 << 20, preset: int = 1) -> bytes:
    """As the kernel's ``xz --check=crc32 --x86 --lzma2=dict=...``."""
    filters = [
        {"id": lzma.FILTER_X86},
        {"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": dictionary},
    ]
    return lzma.compress(data, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=filters)


def zstd(data: bytes, window_log: int | None = None) -> bytes:
    """As a pipe through ``zstd``: the frame does not say the size of its content."""
    import zstandard

    parameters = {"compression_level": 3, "write_checksum": True, "write_content_size": False}
    if window_log is not None:
        parameters["window_log"] = window_log
    settings = zstandard.ZstdCompressionParameters(**parameters)
    pipe = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    return pipe.compress(data) + pipe.flush()


def lz4_block(data: bytes) -> bytes:
    """One block of the legacy format: its size, then its data."""
    import lz4.block

    packed = lz4.block.compress(data, store_size=False)
    return len(packed).to_bytes(4, "little") + packed


def lz4(data: bytes) -> bytes:
    """As ``lz4 -l``."""
    blocks = [data[at : at + (8 << 20)] for at in range(0, len(data), 8 << 20)]
    return bytes.fromhex("02214c18") + b"".join(lz4_block(block) for block in blocks)


LZO_FLAGS = 1  # ADLER32_D


def lzo_header(flags: int = LZO_FLAGS, method: int = 3) -> bytes:
    """The header of an lzop file."""
    fields = bytes.fromhex("1040 20a0 0940") + bytes([method, 9]) + flags.to_bytes(4, "big")
    fields += bytes(12) + bytes([1]) + b"k"
    return bytes.fromhex("894c5a4f000d0a1a0a") + fields + zlib.adler32(fields).to_bytes(4, "big")


def lzo_block(data: bytes) -> bytes:
    """One block of an lzop file; one that does not shrink is stored."""
    from lzallright import LZOCompressor

    packed = LZOCompressor().compress(data)
    packed = packed if len(packed) < len(data) else data
    sizes = len(data).to_bytes(4, "big") + len(packed).to_bytes(4, "big")
    return sizes + zlib.adler32(data).to_bytes(4, "big") + packed


def lzo(data: bytes) -> bytes:
    """As ``lzop -9``."""
    blocks = [data[at : at + (256 << 10)] for at in range(0, len(data), 256 << 10)]
    return lzo_header() + b"".join(lzo_block(block) for block in blocks) + bytes(4)


COMPRESSORS = {
    "gzip": gzip,
    "bzip2": bzip2,
    "lzma": lzma_alone,
    "xz": xz,
    "lzo": lzo,
    "lz4": lz4,
    "zstd": zstd,
}


def payload(name: str, data: bytes) -> bytes:
    """`data` as the kernel's build packs it: compressed, its size appended except by gzip."""
    packed = COMPRESSORS[name](data)
    return packed if name == "gzip" else packed + len(data).to_bytes(4, "little")


@dataclass
class BzImage:
    """A whole file: `setup` and `code` fill the room before the payload."""

    payload: bytes = b""
    version: int = 0x20F
    setup_sects: int = 4
    header_end: int = HEADER_END
    kernel_version: str = "6.1.0-test"
    before: bytes = b"\x90" * 64
    after: bytes = b"\x90" * 64
    setup: bytes = b""
    header: dict[str, int] = field(default_factory=dict)

    def build(self) -> bytes:
        """The bytes of the file."""
        start = ((self.setup_sects or 4) + 1) * 512
        code = self.before + self.payload + self.after
        code += bytes(-len(code) % 16)
        fields = {
            "setup_sects": self.setup_sects,
            "syssize": len(code) // 16,
            "boot_flag": linux.BOOT_FLAG,
            "jump": 0xEB | (self.header_end - linux.JUMP_END) << 8,
            "header": linux.HDRS,
            "version": self.version,
            "kernel_version": 0x100,
            "loadflags": linux.LoadFlags.LOADED_HIGH,
            "code32_start": 0x100000,
            "initrd_addr_max": 0x7FFFFFFF,
            "kernel_alignment": 0x200000,
            "relocatable_kernel": 1,
            "min_alignment": 21,
            "xloadflags": 0x7F,
            "cmdline_size": 2047,
            "payload_offset": len(self.before),
            "payload_length": len(self.payload),
            "pref_address": 0x1000000,
            "init_size": 0x400000,
        }
        raw = linux.SetupHeader(**{**fields, **self.header}).pack()
        image = bytearray(start)
        image[0x1F1:] = raw[: self.header_end - 0x1F1]
        image += bytes(max(0, start - len(image)))
        image[self.header_end : self.header_end + len(self.setup)] = self.setup
        text = self.kernel_version.encode() + b"\0"
        image[0x300 : 0x300 + len(text)] = text
        return bytes(image[:start]) + code
