# Both files as runs of bytes: our own pages, and slices of the kernel's and the initrd's files.
from __future__ import annotations

from zlib import crc32

from hvmlite import blobs
from hvmlite.errors import RequestError
from hvmlite.spec import universal as u
from hvmlite.spec.linux import HEADER_START, BootParams
from hvmlite.spec.pe import DOS_MAGIC, DosHeader
from hvmlite.universal import _elf, _linux, _multiboot, _pe
from hvmlite.universal._place import Place, place
from hvmlite.wire import patch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hvmlite.universal._kernel import Kernel
    from hvmlite.wire import Buffer

__all__ = ["build"]

_MULTIBOOT1_AT = 0x400
_MULTIBOOT2_AT = 0x420
_VERSION_AT = 0x540
_VERSION_MAX = u.HEAD_CODE - _VERSION_AT - 1
_SUMMED = 1 << 20
_TITLE = "hvmlite universal image"


def build(
    kernel: Kernel, initrd: Sequence[Buffer], cmdline: bytes, firmware: str
) -> tuple[tuple[tuple[Buffer, ...], tuple[Buffer, ...]], Place]:
    """Return the bzImage-shaped file and the ELF file, and where they go.

    :param firmware: which UEFI takes it as its own program: a name of ``_pe.FIRMWARE``
    :raises RequestError: it does not fit
    :raises UnsupportedError: the stub was not built
    """
    if firmware not in _pe.FIRMWARE:
        raise RequestError(
            f"efi: {firmware!r}, one of {', '.join(_pe.FIRMWARE)} needed", field="efi"
        )
    room = kernel.cmdline_max
    if len(cmdline) > room:
        raise RequestError(
            f"command line: {len(cmdline)} bytes, at most {room} needed by this kernel",
            field="cmdline",
        )
    if b"\0" in cmdline:
        raise RequestError("command line: a NUL, text without one needed", field="cmdline")
    size = sum(map(len, initrd))
    where = place(kernel, cmdline, size)
    stub = _stub(kernel, where, cmdline, size)
    pieces = (
        (0, (_elf.first_page(where, kernel.version), stub)),
        (where.cmdline_offset, (cmdline,)),
        (where.initrd_offset, initrd),
        (where.kernel_offset, kernel.parts),
    )
    elf = tuple(_joined(pieces, where.size))
    rest = (_linux.jumps(kernel.setup_type_max), *elf)
    head = _head(kernel, where, cmdline, stub, firmware)
    _put(head, u.HEAD_ID, _identity(head, stub, cmdline, *initrd, *kernel.parts))
    return ((bytes(head), *rest), elf), where


def _identity(*parts: Buffer) -> bytes:
    # By this the boot sector takes a drive for its own. Nobody forges it: a sum will do, of large
    # parts that of their ends: there kernels and compressed archives have sums of their own.
    total, size = 0, 0
    for part in parts:
        whole = len(part) <= 2 * _SUMMED
        for piece in (part,) if whole else (part[:_SUMMED], part[-_SUMMED:]):
            total = crc32(piece, total)
        size += len(part)
    return total.to_bytes(4, "little") + size.to_bytes(8, "little")


def _joined(pieces: Sequence[tuple[int, Sequence[Buffer]]], size: int) -> list[Buffer]:
    found: list[Buffer] = []
    at = 0
    for offset, parts in (*pieces, (size, ())):
        if gap := offset - at:
            found.append(bytes(gap))
        found += [part for part in parts if len(part)]
        at = offset + sum(map(len, parts))
    return found


def _stub(kernel: Kernel, where: Place, cmdline: bytes, initrd: int) -> bytes:
    stub = bytearray(blobs.read("universal"))
    from_start = u.ELF_STUB_OFFSET
    params = u.Params(
        kernel_kind=kernel.kind,
        flags=u.ParamsFlag.RELOCATABLE if kernel.relocatable else 0,
        kernel_offset=where.kernel_offset - from_start,
        kernel_size=kernel.size,
        kernel_memory=kernel.memory,
        kernel_address=kernel.address,
        kernel_align=kernel.align,
        kernel_entry=kernel.entry,
        initrd_offset=where.initrd_offset - from_start,
        initrd_size=initrd,
        command_line_offset=where.cmdline_offset - from_start,
        command_line_size=len(cmdline),
        image_offset=-from_start,
        image_size=where.size,
        initrd_max=kernel.initrd_max,
        command_line_max=kernel.cmdline_max,
    )
    _put(stub, u.PARAMS_OFFSET, params.pack())
    _put(stub, u.HEADER_OFFSET, kernel.raw_header)
    return bytes(stub)


def _head(kernel: Kernel, where: Place, cmdline: bytes, stub: bytes, firmware: str) -> bytearray:
    head = bytearray(blobs.read("universal-head"))
    size = u.HEAD_SIZE + u.PROTECTED_ELF + where.size
    header = _linux.setup_header(kernel, where, size, len(cmdline), _VERSION_AT)
    _put(head, 0, DOS_MAGIC)
    patch(head, DosHeader.FIELDS["e_lfanew"].offset, 4, u.HEAD_HEADERS)
    patch(head, BootParams.FIELDS["sentinel"].offset, 2, 0xFFFF)  # two, as in Linux's header.S
    _put(head, HEADER_START, header.pack())
    _put(head, u.HEAD_HEADERS, _pe.headers(where, size, firmware))
    _put(head, _MULTIBOOT1_AT, _multiboot.header1(where, _MULTIBOOT1_AT))
    _put(head, _MULTIBOOT2_AT, _multiboot.header2(where, _MULTIBOOT2_AT))
    _put(head, _VERSION_AT, _version(kernel))
    _put(head, u.HEAD_STUB16, stub[: u.STUB16_SIZE])
    _put(head, _pe.COMPAT_AT, _pe.compat())
    return head


def _version(kernel: Kernel) -> bytes:
    # The release comes first, as in every kernel's version string.
    release, _, rest = kernel.version.partition(" ")
    text = f"{release} ({_TITLE}) {rest}" if release else f"0 ({_TITLE})"
    return text.encode("ascii", "replace")[:_VERSION_MAX] + b"\0"


def _put(target: bytearray, at: int, data: bytes) -> None:
    assert at + len(data) <= len(target)
    target[at : at + len(data)] = data
