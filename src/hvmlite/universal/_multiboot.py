# The headers of multiboot1 and multiboot2. The file that is no ELF says in them where it is loaded.
from __future__ import annotations

from hvmlite.guest.layout import PAGE
from hvmlite.spec import multiboot1 as mb1
from hvmlite.spec import multiboot2 as mb2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.universal._place import Place

__all__ = ["header1", "header2"]

_WORD = 1 << 32


def header1(where: Place, at: int) -> bytes:
    """Return the header of multiboot1 for the bzImage-shaped file from this header on.

    What is before it nobody reads then; and kexec-tools, which looks for multiboot1 before
    bzImage and cannot load what is no ELF, passes over a load address that is not at a page
    (multiboot_x86_probe of kexec-multiboot-x86.c). So `kexec -l`
    and `kexec -s` take the file for the bzImage that it is.

    :param at: where in the file it will be
    """
    flags = mb1.HeaderFlag.PAGE_ALIGN | mb1.HeaderFlag.MEMORY_INFO | mb1.HeaderFlag.AOUT_KLUDGE
    header = mb1.MultibootHeader(
        flags=flags,
        checksum=-(mb1.HEADER_MAGIC + flags) % _WORD,
        header_addr=where.head + at,
        load_addr=where.head + at,
        load_end_addr=where.base + where.size,
        bss_end_addr=where.end % _WORD,
        entry_addr=where.start,
    )
    return header.pack()[: mb1.MultibootHeader.FIELDS["mode_type"].offset]


def header2(where: Place, at: int | None = None) -> bytes:
    """Return the header of multiboot2, with an address tag for a file that is no ELF.

    The EFI entries are optional: a loader that does not know them leaves boot services and takes
    the other entry. `min_addr` and the preference for low addresses together mean the place that is
    asked for, or the next one that is free.

    :param at: where in the bzImage-shaped file it will be; None in the ELF file
    """
    optional = mb2.TAG_OPTIONAL
    tags: list[bytes] = [_request()]
    if at is not None:
        address = mb2.Multiboot2HeaderTagAddress(
            header_addr=where.head + at,
            load_addr=where.head,
            load_end_addr=where.base + where.size,
            bss_end_addr=where.end % _WORD,
        )
        tags.append(address.pack())
    entry = mb2.Multiboot2HeaderTagEntryAddress(entry_addr=where.start)
    first = where.base if at is None else where.head
    tags += [
        entry.pack(),
        mb2.Multiboot2HeaderTag(type=mb2.HeaderTagType.MODULE_ALIGN).pack(),
        mb2.Multiboot2HeaderTag(type=mb2.HeaderTagType.EFI_BS, flags=optional).pack(),
        # No EFI i386 entry tag: GRUB knows none, and enters by the entry address tag there.
        entry.replace(type=mb2.HeaderTagType.ENTRY_ADDRESS_EFI64, flags=optional).pack(),
        mb2.Multiboot2HeaderTagRelocatable(
            flags=optional,
            min_addr=first,
            max_addr=_WORD - 1,
            align=PAGE,
            preference=mb2.LoadPreference.LOW,
        ).pack(),
        mb2.Multiboot2HeaderTag(type=mb2.HeaderTagType.END).pack(),
    ]
    body = b"".join(tag + bytes(-len(tag) % mb2.TAG_ALIGN) for tag in tags)
    length = mb2.Multiboot2Header.SIZE + len(body)
    total = mb2.HEADER_MAGIC + mb2.ARCHITECTURE_I386 + length
    return mb2.Multiboot2Header(header_length=length, checksum=-total % _WORD).pack() + body


def _request() -> bytes:
    # What the stub reads, for loaders that give no more than they are asked for.
    wanted = (
        mb2.TagType.CMDLINE,
        mb2.TagType.MODULE,
        mb2.TagType.MMAP,
        mb2.TagType.FRAMEBUFFER,
        mb2.TagType.ACPI_OLD,
        mb2.TagType.ACPI_NEW,
        mb2.TagType.EFI_MMAP,
        mb2.TagType.LOAD_BASE_ADDR,
    )
    head = mb2.Multiboot2HeaderTag(
        type=mb2.HeaderTagType.INFORMATION_REQUEST,
        flags=mb2.TAG_OPTIONAL,
        size=mb2.Multiboot2HeaderTag.SIZE + 4 * len(wanted),
    )
    return head.pack() + b"".join(kind.to_bytes(4, "little") for kind in wanted)
