# The setup header of the bzImage-shaped file, and the page that its entries are in.
from __future__ import annotations

from hvmlite.guest.layout import HIGH_MEMORY, PAGE
from hvmlite.spec import universal as u
from hvmlite.spec.linux import (
    BOOT_FLAG,
    HDRS,
    HEADER_JUMP,
    HEADER_START,
    JUMP_END,
    KERNEL_INFO_MAGIC,
    SECTOR,
    KernelInfo,
    LoadFlags,
    SetupHeader,
    Version,
    XLoadFlags,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.universal._kernel import Kernel
    from hvmlite.universal._place import Place

__all__ = ["HEADER_END", "jumps", "setup_header"]

HEADER_END = HEADER_START + SetupHeader.SIZE
"""The code that the jump at 0x200 goes to begins here."""

_JUMP_SHORT = 0xEB
_JUMP_NEAR = 0xE9
_PARAGRAPH = 16
_KERNEL_INFO_AT = 0x240
_OWN = XLoadFlags.XLF_KERNEL_64 | XLoadFlags.XLF_EFI_HANDOVER_32 | XLoadFlags.XLF_EFI_HANDOVER_64
_KERNELS = (
    XLoadFlags.XLF_CAN_BE_LOADED_ABOVE_4G
    | XLoadFlags.XLF_EFI_KEXEC
    | XLoadFlags.XLF_5LEVEL
    | XLoadFlags.XLF_5LEVEL_ENABLED
)
# What the stub can do itself, and what is the wrapped kernel's to say.


def setup_header(
    kernel: Kernel, where: Place, file_size: int, cmdline: int, version_at: int
) -> SetupHeader:
    """Return the setup header.

    Loaders may put the protected-mode part at any page: the stub moves the kernel if it must.
    `pref_address` is the place at which it need not.

    :param cmdline: bytes of the built-in command line; what is handed in comes behind it
    :param version_at: where in the file the version string is
    """
    wrapped = 0
    if kernel.header.version >= Version.V2_12:
        wrapped = kernel.header.xloadflags & _KERNELS
    if kernel.kind != u.KernelKind.BZIMAGE64:
        wrapped &= ~XLoadFlags.XLF_CAN_BE_LOADED_ABOVE_4G
    return SetupHeader(
        setup_sects=u.HEAD_SIZE // SECTOR - 1,
        syssize=(file_size - u.HEAD_SIZE) // _PARAGRAPH,
        boot_flag=BOOT_FLAG,
        jump=_JUMP_SHORT | (HEADER_END - JUMP_END) << 8,
        header=HDRS,
        version=Version.V2_15,
        kernel_version=version_at - HEADER_JUMP,
        loadflags=LoadFlags.LOADED_HIGH,
        code32_start=HIGH_MEMORY,
        initrd_addr_max=min(kernel.initrd_max, kernel.header.initrd_addr_max or 0xFFFFFFFF),
        kernel_alignment=PAGE,
        relocatable_kernel=1,
        min_alignment=PAGE.bit_length() - 1,
        xloadflags=_OWN | wrapped,
        cmdline_size=max(0, kernel.cmdline_max - (cmdline + 1 if cmdline else 0)),
        payload_offset=u.PROTECTED_ELF,
        payload_length=where.size,
        pref_address=where.protected,
        init_size=where.end - where.protected,
        handover_offset=u.PROTECTED_HANDOVER,
        kernel_info_offset=_KERNEL_INFO_AT,
    )


def jumps(setup_type_max: int) -> bytes:
    """Return the page before the ELF file, in which all fixed entries go to _start.

    The jump is the same in 32-bit and 64-bit mode, and changes no register and no flag.

    :param setup_type_max: the highest type of setup_data that the wrapped kernel knows
    """
    page = bytearray(u.PROTECTED_ELF)
    target = u.PROTECTED_ELF + u.ELF_STUB_OFFSET
    for at in (
        u.PROTECTED_ENTRY32,
        u.PROTECTED_HANDOVER,
        u.PROTECTED_ENTRY64,
        u.PROTECTED_HANDOVER + u.PROTECTED_ENTRY64,
    ):
        after = at + 5
        page[at:after] = bytes((_JUMP_NEAR,)) + (target - after).to_bytes(4, "little")
    info = KernelInfo(
        header=KERNEL_INFO_MAGIC,
        size=KernelInfo.SIZE,
        size_total=KernelInfo.SIZE,
        setup_type_max=setup_type_max,
    )
    page[_KERNEL_INFO_AT : _KERNEL_INFO_AT + KernelInfo.SIZE] = info.pack()
    return bytes(page)
