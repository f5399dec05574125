# The kernel that is wrapped: its bytes as they lie in memory, and what the stub must know of it.
from __future__ import annotations

from hvmlite.errors import FormatError, RequestError
from hvmlite.guest.layout import PAGE
from hvmlite.model import Image, Offer, Refusal
from hvmlite.protocols import linux32, linux64
from hvmlite.spec.linux import (
    BOOT_FLAG,
    ENTRY64,
    HDRS,
    HEADER_END_MAX,
    HEADER_JUMP,
    HEADER_START,
    INITRD_ADDR_MAX_DEFAULT,
    JUMP_END,
    KERNEL_INFO_MAGIC,
    SECTOR,
    SETUP_SECTS_DEFAULT,
    KernelInfo,
    LoadFlags,
    SetupHeader,
    Version,
    XLoadFlags,
)
from hvmlite.spec.universal import (
    ELF_STUB_OFFSET,
    PARAMS_MAGIC,
    PARAMS_OFFSET,
    STUB_AT,
    KernelKind,
)
from hvmlite.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hvmlite.wire import Buffer

__all__ = ["HEADER_SIZE", "Kernel", "kernel_of"]

HEADER_SIZE = HEADER_END_MAX - HEADER_START
_MOST_HOLES = 64 << 20
# Bytes between an ELF's segments, which the image has as zeros. Linux has next to none.
_JUMP = 0xEB | (HEADER_START + SetupHeader.SIZE - JUMP_END) << 8

_BANNER = rb"Linux version ([0-9][!-~]{2,64}) \("

_ABSENT = SetupHeader(
    boot_flag=BOOT_FLAG,
    jump=_JUMP,
    header=HDRS,
    version=Version.V2_12,
    loadflags=LoadFlags.LOADED_HIGH,
    initrd_addr_max=0x7FFFFFFF,
)
# The header that an ELF has not, with the values that Linux takes for itself by PVH (2.12).


class Kernel(Value):
    """What is put into the image, and where it runs."""

    kind: KernelKind
    parts: tuple[Buffer, ...]
    """Its bytes from `address` on, in order, as slices of the file."""
    size: int
    memory: int
    """What it occupies from its first byte on while it starts."""
    address: int
    """Where it runs; a relocatable one also at each higher multiple of `align`."""
    align: int
    relocatable: bool
    entry: int
    """From its first byte."""
    header: SetupHeader
    raw_header: bytes
    """HEADER_SIZE bytes, with zeros beyond the header's end."""
    initrd_max: int
    """The last byte that an initrd may have."""
    cmdline_max: int
    version: str
    """The version string in the kernel, empty if it has none."""
    setup_type_max: int
    """Of its kernel_info, 0 if it has none."""


def kernel_of(image: Image) -> Kernel:
    """Take a Linux kernel for wrapping: by its 64-bit entry, else by its 32-bit entry.

    :raises RequestError: it has neither, the message has every reason; or is a universal image
    :raises FormatError: it is truncated
    """
    answers = (linux64.offers(image), linux32.offers(image))
    for offer, is_64 in zip(answers, (True, False), strict=True):
        if isinstance(offer, Offer):
            kernel = offer.image
            _refuse_wrapped(kernel)
            if isinstance(kernel.header, SetupHeader):
                return _bzimage(offer, kernel.header, is_64)
            return _elf(offer, is_64)
    raise RequestError(
        f"{image.source}: cannot be wrapped: {_why(answers)}",
        field="kernel",
        hint="wrap takes the Linux kernels that `hvmlite inspect` offers linux64 or linux32 for",
    )


def _refuse_wrapped(kernel: Image) -> None:
    magic = PARAMS_MAGIC.to_bytes(4, "little")
    for start in (STUB_AT, ELF_STUB_OFFSET):
        at = start + PARAMS_OFFSET
        if kernel.data[at : at + len(magic)] == magic:
            raise RequestError(
                f"{kernel.source}: a universal image already, a kernel needed",
                field="kernel",
                hint="wrap the kernel itself once more, with all that shall be built in",
            )


def _why(answers: tuple[Offer | Refusal, ...]) -> str:
    # What both entries lack is said once.
    reasons: dict[str, list[str]] = {}
    for answer in answers:
        if isinstance(answer, Refusal):
            for reason in answer.reasons:
                reasons.setdefault(str(reason), []).append(answer.protocol)
    return "; ".join(text if len(who) > 1 else f"{who[0]}: {text}" for text, who in reasons.items())


def _bzimage(offer: Offer, header: SetupHeader, is_64: bool) -> Kernel:
    image = offer.image
    start = ((header.setup_sects or SETUP_SECTS_DEFAULT) + 1) * SECTOR
    code = image.data[start:]
    stated = 16 * header.syssize if header.version >= Version.V2_04 else 0
    if stated - len(code) >= 16:  # in paragraphs: up to 15 bytes too much
        raise FormatError(
            f"truncated kernel: {len(code):#x} bytes of protected-mode code, {stated:#x} needed"
            " by syssize",
            source=image.source,
        )
    end = JUMP_END + image.data[HEADER_JUMP + 1]
    address = _address(offer, header)
    above_4g = is_64 and header.xloadflags & XLoadFlags.XLF_CAN_BE_LOADED_ABOVE_4G
    limit = INITRD_ADDR_MAX_DEFAULT
    if header.version >= Version.V2_03:
        limit = header.initrd_addr_max
    return Kernel(
        kind=KernelKind.BZIMAGE64 if is_64 else KernelKind.BZIMAGE32,
        parts=(code,),
        size=len(code),
        memory=max(offer.needs - address, len(code)),
        address=address,
        align=offer.relocation.align if offer.relocation else PAGE,
        relocatable=offer.relocation is not None,
        entry=ENTRY64 if is_64 else 0,
        header=header,
        raw_header=bytes(image.data[HEADER_START:end]).ljust(HEADER_SIZE, b"\0"),
        initrd_max=(1 << 64) - 1 if above_4g else limit,
        cmdline_max=offer.cmdline_limit or 0,
        version=dict(image.facts).get("kernel version", ""),
        setup_type_max=_setup_type_max(code, header),
    )


def _address(offer: Offer, header: SetupHeader) -> int:
    at = offer.entry if offer.protocol == linux32.NAME else offer.entry - ENTRY64
    # One that is not relocatable moves itself to pref_address: there it may be loaded at once.
    if offer.relocation is None and header.version >= Version.V2_10:
        return max(at, header.pref_address)
    return at


def _setup_type_max(code: memoryview, header: SetupHeader) -> int:
    at = header.kernel_info_offset
    if header.version < Version.V2_15 or not 0 < at <= len(code) - KernelInfo.SIZE:
        return 0
    info = KernelInfo.unpack(code, at)
    return info.setup_type_max if info.header == KERNEL_INFO_MAGIC else 0


def _elf(offer: Offer, is_64: bool) -> Kernel:
    image = offer.image
    start = min(segment.paddr for segment in image.segments if segment.memsz)
    parts = tuple(_flat(image, start))
    align = offer.relocation.align if offer.relocation else PAGE
    header = _ABSENT.replace(kernel_alignment=min(align, 1 << 31))
    return Kernel(
        kind=KernelKind.ELF64 if is_64 else KernelKind.ELF32,
        parts=parts,
        size=sum(map(len, parts)),
        memory=offer.needs - start,
        address=start,
        align=align,
        relocatable=offer.relocation is not None,
        entry=offer.entry - start,
        header=header,
        raw_header=header.pack().ljust(HEADER_SIZE, b"\0"),
        initrd_max=0xFFFFFFFF if is_64 else INITRD_ADDR_MAX_DEFAULT,
        cmdline_max=offer.cmdline_limit or 0,
        version=_release(image),
        setup_type_max=0,
    )


def _release(image: Image) -> str:
    # As it stands in the text that it says first.
    import re  # not in the way of bzImages, which have it in their header

    banner = re.compile(_BANNER)
    for segment in image.segments:
        if found := banner.search(segment.data):
            return found[1].decode("ascii")
    return ""


def _flat(image: Image, start: int) -> Iterator[Buffer]:
    # The segments as they lie in memory, up to the last byte that is in the file.
    at, holes = start, 0
    for segment in sorted(image.segments, key=lambda each: each.paddr):
        if not len(segment.data):
            continue
        if hole := segment.paddr - at:
            holes += hole
            if holes > _MOST_HOLES:
                raise FormatError(
                    f"{holes:#x} bytes between PT_LOAD segments, at most {_MOST_HOLES:#x} needed",
                    source=image.source,
                )
            yield bytes(hole)
        yield segment.data
        at = segment.paddr + len(segment.data)
