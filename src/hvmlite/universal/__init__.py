"""Universal images: a stub before an unmodified Linux kernel, for every loader (docs/universal.md).

The stub's machine code is from ``stub/universal``; this room writes the headers by which loaders
find it, and tells it where the kernel, the initrd and the command line are.
"""

from __future__ import annotations

import os

from hvmlite import boot, model
from hvmlite.guest.initrd import archives
from hvmlite.universal._image import build
from hvmlite.universal._kernel import kernel_of
from hvmlite.universal._write import write_files
from hvmlite.values import Value, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hvmlite.boot import Path
    from hvmlite.images import Limits
    from hvmlite.model import Image
    from hvmlite.wire import Buffer

__all__ = ["Universal", "wrap", "write_files"]


class Universal(Value):
    """The two files, as runs of bytes that are written one after the other.

    Slices of the kernel's and the initrd's files are among them; nothing is copied.
    """

    image: tuple[Buffer, ...] = field(repr=False)
    """bzImage, UEFI program, multiboot1 and multiboot2 image and BIOS boot sector in one."""
    elf: tuple[Buffer, ...] = field(repr=False)
    """For loaders that insist on an ELF file; the end of `image`."""
    kind: str
    """How the kernel is entered: bzimage64, bzimage32, elf64, elf32."""
    release: str
    """The wrapped kernel's release, empty if it does not say one."""
    kernel_size: int
    """Of what is wrapped of the kernel, in bytes."""
    initrd_size: int
    cmdline: bytes
    address: int
    """Where the kernel lies if the image is loaded where it asks to be. There it also runs, unless
    it can run at one address only and too much was built in to lie below that."""

    def image_bytes(self) -> bytes:
        """Return the bzImage-shaped file as one."""
        return b"".join(self.image)

    def elf_bytes(self) -> bytes:
        """Return the ELF file as one."""
        return b"".join(self.elf)


def wrap(
    kernel: Image | Path,
    *,
    initrds: Sequence[Path | Buffer] = (),
    cmdline: str | bytes = "",
    limits: Limits | None = None,
    profile: str | None = None,
    addons: Sequence[Path] = (),
    efi: str = "x64",
) -> Universal:
    """Put the stub in front of a Linux kernel.

    :param kernel: a bzImage, a vmlinux or a UKI: a path, or what :func:`hvmlite.open_image`
        returned
    :param initrds: built in; files, or bytes. Several are joined, each at a multiple of 4 with at
        least 4 zero bytes before it, and what a loader hands over comes behind them
    :param cmdline: built in; what a loader hands over comes behind it. Of a UKI, its own counts if
        this is empty
    :param profile: of a UKI, by number or ID; by default the first
    :param addons: of a UKI: files whose command lines and initrds are added
    :param efi: which UEFI firmware takes the image as its own program, "x64" or "ia32"; the other
        one starts it by a boot loader. The kernel may be of either width
    :raises RequestError: a file cannot be read; it is no Linux kernel that can be wrapped, or one
        that is already; the command line or the initrd is too long
    :raises UnsupportedError: this part of hvmlite was not built
    :raises FormatError: the kernel is broken
    """
    if not isinstance(kernel, model.Image):
        kernel = boot.open_image(kernel, limits)
    kernel = boot.with_profile(kernel, profile, limits or boot.Limits())
    unified = boot.unify(kernel, profile, addons)
    pieces: list[Buffer] = [
        boot.map_file(each, f"initrd {number}") if isinstance(each, str | os.PathLike) else each
        for number, each in enumerate(initrds)
    ]
    line = os.fsencode(cmdline)
    if unified is not None:
        pieces = [module.data for module in unified.modules([model.Module(p) for p in pieces])]
        line = unified.cmdline(line)
    joined = archives(pieces)
    found = kernel_of(kernel)
    files, where = build(found, joined, line, efi)
    return Universal(
        *files,
        kind=found.kind.name.lower(),
        release=found.version.partition(" ")[0],
        kernel_size=found.size,
        initrd_size=sum(map(len, joined)),
        cmdline=line,
        address=where.base + where.kernel_offset,
    )
