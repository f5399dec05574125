"""Linux bzImage and zImage, boot protocol 2.00 to 2.15.

Source: Linux 6.12 ``Documentation/arch/x86/boot.rst``. The header's fields are handed on as they
are in the file; what an entry needs of them is for the protocols to say.
"""

from __future__ import annotations

from functools import partial

from hvmlite.errors import FormatError
from hvmlite.images._compression import detect
from hvmlite.images._looks import is_pe
from hvmlite.images._payload import size_word, unpack
from hvmlite.images._universal import universal_facts
from hvmlite.model import Image, Payload
from hvmlite.spec import linux
from hvmlite.spec.elf import ELFMAG
from hvmlite.spec.universal import STUB_AT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.images._limits import Limits
    from hvmlite.model import PeHeaders
    from hvmlite.wire import Buffer

__all__ = ["NAME", "parse", "recognises"]

NAME = "bzimage"
_MIN_SIZE = 0x400
_MAX_VERSION_STRING = 256
_MAGIC = linux.HDRS.to_bytes(4, "little")
_SHORT_JUMP = 0xEB


def recognises(data: Buffer) -> bool:
    """Return whether "HdrS" is where the boot protocol 2.00 and later puts it."""
    return bytes(data[linux.JUMP_END : linux.JUMP_END + 4]) == _MAGIC


def parse(data: Buffer, source: str, limits: Limits) -> Image:
    """Read the setup header and find the payload, which is decompressed when it is first used.

    :param source: the name of the file, for messages
    :raises FormatError: the header does not agree with itself or with the file
    """
    view = memoryview(data).toreadonly()
    header = _header(view, source)
    start = _protected_mode_start(header)
    warnings = _oddities(view, header, start)
    payload = _payload(view, header, source, limits, warnings)
    return Image(
        format=NAME,
        source=source,
        data=view,
        payload=payload,
        header=header,
        pe_headers=partial(_pe_headers, view, source) if is_pe(view) else None,
        facts=_facts(view, header, start, payload, warnings),
        warnings=tuple(warnings),
    )


def _protected_mode_start(header: linux.SetupHeader) -> int:
    return ((header.setup_sects or linux.SETUP_SECTS_DEFAULT) + 1) * linux.SECTOR


def _header(view: memoryview, source: str) -> linux.SetupHeader:
    if len(view) < _MIN_SIZE:
        raise FormatError(
            f"truncated kernel: {len(view):#x} bytes, at least {_MIN_SIZE:#x} were needed",
            source=source,
        )
    end = _header_end(view, source)
    # Beyond its end is code: fields of later protocols read as 0.
    raw = bytes(view[linux.HEADER_START : end])[: linux.SetupHeader.SIZE]
    header = linux.SetupHeader.unpack(raw.ljust(linux.SetupHeader.SIZE, b"\0"), source=source)
    if header.boot_flag != linux.BOOT_FLAG:
        raise FormatError(
            f"boot signature {header.boot_flag:#06x}, {linux.BOOT_FLAG:#06x} was needed",
            source=source,
            offset=0x1FE,
        )
    if header.version < linux.Version.V2_00:
        raise FormatError(
            f"boot protocol {_version(header)}, 2.00 or later was needed",
            source=source,
            offset=0x206,
        )
    if header.setup_sects > linux.SETUP_SECTS_MAX:
        raise FormatError(
            f"{header.setup_sects} setup sectors, at most {linux.SETUP_SECTS_MAX} were needed",
            source=source,
            offset=linux.HEADER_START,
        )
    if _protected_mode_start(header) > len(view):
        raise FormatError(
            f"truncated kernel: setup needs {_protected_mode_start(header):#x} bytes,"
            f" the file has {len(view):#x}",
            source=source,
        )
    return header


def _header_end(view: memoryview, source: str) -> int:
    end = linux.JUMP_END + view[linux.HEADER_JUMP + 1]
    if not linux.HEADER_END_MIN <= end <= linux.HEADER_END_MAX:
        raise FormatError(
            f"setup header ends at {end:#x}, {linux.HEADER_END_MIN:#x} to"
            f" {linux.HEADER_END_MAX:#x} was needed",
            source=source,
            offset=linux.HEADER_JUMP,
        )
    return end


def _version(header: linux.SetupHeader) -> str:
    return f"{header.version >> 8}.{header.version & 0xFF:02}"


def _oddities(view: memoryview, header: linux.SetupHeader, start: int) -> list[str]:
    warnings = []
    if header.jump & 0xFF != _SHORT_JUMP:
        warnings.append(
            f"byte {header.jump & 0xFF:#x} at {linux.HEADER_JUMP:#x}, a short jump (0xeb) was"
            " needed: the header's length may be wrong"
        )
    stated = start + 16 * header.syssize  # in paragraphs: up to 15 bytes too much
    if header.version >= linux.Version.V2_04 and stated - len(view) > 15:
        warnings.append(f"the file has {len(view):#x} bytes, syssize says {stated:#x}: truncated?")
    if header.version == linux.Version.V2_14:
        warnings.append("boot protocol 2.14 was a mistake and means 2.13")
    return warnings


def _payload(
    view: memoryview,
    header: linux.SetupHeader,
    source: str,
    limits: Limits,
    warnings: list[str],
) -> Payload | None:
    start = _protected_mode_start(header)
    inner = f"{source}:payload"
    if header.version >= linux.Version.V2_08 and header.payload_length:
        offset, length = start + header.payload_offset, header.payload_length
        if offset + length > len(view):
            raise FormatError(
                f"payload ends at {offset + length:#x}, only {len(view):#x} bytes are there",
                source=source,
                offset=offset,
                hint="The file is truncated, or its setup header is wrong.",
            )
        data = view[offset : offset + length]
        name = "none" if bytes(data[:4]) == ELFMAG else detect(data)
        if name:
            work = partial(unpack, name, data, inner, limits, appended=name != "none")
            return Payload(name, offset, length, "header", work)
        warnings.append(
            f"payload begins with {bytes(data[:8]).hex(' ')}, no compression that is known"
        )
    from hvmlite.images import _scan  # few kernels need it

    found = _scan.find(view, start, inner, limits)
    if found is None:
        warnings.append("no payload found: neither by the header nor by a search for magics")
        return None
    name, offset = found
    data = view[offset:]
    return Payload(
        name, offset, len(data), "scan", partial(unpack, name, data, inner, limits, exact=False)
    )


def _pe_headers(view: memoryview, source: str) -> PeHeaders:
    # Only who asks for UEFI's entry pays for it, and hears what is wrong with it.
    from hvmlite.images import _pe

    return _pe.read(view, source).headers


def _facts(
    view: memoryview,
    header: linux.SetupHeader,
    start: int,
    payload: Payload | None,
    warnings: list[str],
) -> tuple[tuple[str, str], ...]:
    facts = [("protocol", _version(header))]
    text = _kernel_version(view, header, warnings)
    if text:
        facts.append(("kernel version", text))
    high = header.loadflags & linux.LoadFlags.LOADED_HIGH
    facts.append(("kind", "bzImage (loaded high)" if high else "zImage (loaded low)"))
    for since, name, value in (
        (linux.Version.V2_05, "kernel_alignment", f"{header.kernel_alignment:#x}"),
        (linux.Version.V2_05, "relocatable", "yes" if header.relocatable_kernel else "no"),
        (linux.Version.V2_10, "pref_address", f"{header.pref_address:#x}"),
        (linux.Version.V2_10, "init_size", f"{header.init_size:#x}"),
        (linux.Version.V2_12, "xloadflags", _flag_names(header.xloadflags)),
        (linux.Version.V2_06, "cmdline_size", str(header.cmdline_size)),
        (linux.Version.V2_03, "initrd_addr_max", f"{header.initrd_addr_max:#x}"),
    ):
        if header.version >= since:
            facts.append((name, value))
    setup_type_max = _setup_type_max(view, header, start, warnings)
    if setup_type_max is not None:
        facts.append(("setup_type_max", f"{setup_type_max:#x}"))
    if payload is not None:
        facts.append(("payload", _describe(view, payload)))
    facts += universal_facts(view, STUB_AT, warnings)
    return tuple(facts)


def _describe(view: memoryview, payload: Payload) -> str:
    if payload.found == "scan":
        return f"{payload.compression} at {payload.offset:#x}, found by its magic"
    text = f"{payload.compression}, {payload.length} bytes at {payload.offset:#x}"
    size = size_word(view[payload.offset : payload.offset + payload.length])
    return text if payload.compression == "none" or size is None else f"{text}, {size} unpacked"


def _flag_names(value: int) -> str:
    names = [flag.name or "" for flag in linux.XLoadFlags if value & flag]
    unknown = value & ~sum(linux.XLoadFlags)
    return " ".join(names + ([f"{unknown:#x}"] if unknown else [])) or "none"


def _kernel_version(view: memoryview, header: linux.SetupHeader, warnings: list[str]) -> str | None:
    if not header.kernel_version:
        return None
    offset = header.kernel_version + linux.HEADER_JUMP
    if offset >= _protected_mode_start(header):
        warnings.append(f"kernel version string at {offset:#x} lies outside the setup")
        return None
    text, nul, _ = bytes(view[offset : offset + _MAX_VERSION_STRING]).partition(b"\0")
    if not nul:
        warnings.append(f"kernel version string at {offset:#x} has no end")
        return None
    return "".join(c if c.isprintable() else "?" for c in text.decode("ascii", "replace"))


def _setup_type_max(
    view: memoryview, header: linux.SetupHeader, start: int, warnings: list[str]
) -> int | None:
    if header.version < linux.Version.V2_15 or not header.kernel_info_offset:
        return None
    offset = start + header.kernel_info_offset
    if offset + linux.KernelInfo.SIZE > len(view):
        warnings.append(f"kernel_info at {offset:#x} lies outside the file")
        return None
    info = linux.KernelInfo.unpack(view, offset)
    if info.header != linux.KERNEL_INFO_MAGIC:
        warnings.append(f"kernel_info at {offset:#x} has magic {info.header:#x}")
        return None
    return info.setup_type_max
