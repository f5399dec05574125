"""The loaders, one declaration each: what it is, which file it takes, which machine it runs on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import packages
from boot.reporter import QUICK
from loaders import machine, media

if TYPE_CHECKING:
    from collections.abc import Callable

BUILD = Path(__file__).resolve().parents[2] / "build"
GRUB = BUILD / "images" / "grub-loader" / "loader.iso"
SYSTEMD_BOOT = BUILD / "images" / "systemd-boot" / "systemd-bootx64.efi"
SYSTEMD_BOOT_IA32 = BUILD / "images" / "systemd-boot-ia32" / "systemd-bootia32.efi"
SYSLINUX_EFI = BUILD / "images" / "syslinux-efi"
KEXEC = BUILD / "images" / "kexec-tools" / "kexec"
SYSLINUX = machine.first(packages.SYSLINUX).parent
ISOLINUX = machine.first(packages.ISOLINUX)

FILE_A, FILE_B, FILE_IA32 = "A", "B", "A, `--efi ia32`"
KERNELS = ("6.1-cloud", "6.12-cloud", "6.1-686-pae")
NEWEST = ("6.12-cloud",)
"""For what is one more way to a door that other rows have for all kernels."""


@dataclass(frozen=True)
class Case:
    """What a loader is to start: an image, and what it shall hand over beside it."""

    image: Path
    initrd: Path
    line: str
    folder: Path
    """For the loader's media."""


@dataclass(frozen=True)
class No:
    """Why a loader cannot start an image, and what it says itself to that."""

    reason: str
    says: str
    """A regular expression that its console matches."""
    kernels: tuple[str, ...] = KERNELS


@dataclass(frozen=True)
class Loader:
    """One row of the table."""

    group: str
    name: str
    command: str
    file: str
    start: Callable[[Case], list[str]]
    """QEMU's options, after the media are made."""
    line: str = "{}"
    """What the guest's command line is, by the one that was handed over."""
    initrd: bool = True
    """Whether it hands over an initrd."""
    like: str = ""
    """The row whose stock kernel sees the same machine; this one, if it can start one."""
    differs: tuple[str, ...] = ()
    """What a guest may see otherwise there, as matrix/compare.py names it; the row says why."""
    no: tuple[No, ...] = ()
    kernels: tuple[str, ...] = KERNELS

    @property
    def key(self) -> str:
        return f"{self.name} {self.command}"

    @property
    def row(self) -> str:
        return f"{self.key} {self.file}"

    def refusal(self, kernel: str) -> No | None:
        return next((no for no in self.no if kernel in no.kernels), None)


def _qemu(case: Case) -> list[str]:
    return ["-kernel", str(case.image), "-initrd", str(case.initrd), "-append", case.line]


def _qemu_ovmf(case: Case) -> list[str]:
    return [*machine.ovmf(), *_qemu(case)]


def _qemu_ovmf_ia32(case: Case) -> list[str]:
    return [*machine.ovmf_ia32(), *_qemu(case)]


_QEMU = "QEMU, SeaBIOS -kernel"
_OTHER_MACHINE = (
    "32-bit firmware starts no program for x86-64, a stock 64-bit kernel neither (CoreStartImage "
    "in edk2's MdeModulePkg/Core/Dxe/Image/Image.c: EFI_UNSUPPORTED). systemd-boot and GRUB's "
    "`linux` do, by the entry that the image has for it"
)
QEMU = (
    Loader("qemu", "QEMU, SeaBIOS", "-kernel", FILE_A, _qemu),
    Loader("qemu", "QEMU", "-kernel", FILE_B, _qemu, like=_QEMU),
    Loader("qemu", "QEMU, OVMF", "-kernel", FILE_A, _qemu_ovmf, "{} initrd=initrd"),
    Loader(
        *("qemu", "QEMU, OVMF ia32", "-kernel", FILE_A, _qemu_ovmf_ia32),
        no=(No(_OTHER_MACHINE, "EFI Internal Shell"),),
        kernels=NEWEST,
    ),
)


def _bios_disk(case: Case) -> list[str]:
    return machine.disk(case.image)


def _bios_iso(case: Case) -> list[str]:
    made = media.iso(case.folder / "x.iso", "image", {"image": case.image})
    return machine.cd(made)


BIOS = (
    Loader("bios", "SeaBIOS", "disk", FILE_A, _bios_disk, "", False, "SYSLINUX linux"),
    Loader("bios", "SeaBIOS", "ISO image", FILE_A, _bios_iso, "", False, "ISOLINUX linux"),
)


# Otherwise GRUB, whose console is the serial port, leaves the display as it is.
_GRAPHICS = "insmod all_video\nset gfxpayload=1024x768x32\n"


def _grub(case: Case, *commands: str) -> list[str]:
    cfg = _GRAPHICS + "\n".join(commands).format(line=case.line) + "\nboot\n"
    files = {"loader.cfg": cfg, "image": case.image, "initrd.gz": case.initrd}
    data = media.fat(case.folder / "data.fat", files)
    return [*machine.disk(GRUB), *machine.disk(data, 1)]


def _linux(case: Case) -> list[str]:
    return _grub(case, "linux /image {line}", "initrd /initrd.gz")


def _linux16(case: Case) -> list[str]:
    return _grub(case, "linux16 /image {line}", "initrd16 /initrd.gz")


def _multiboot(case: Case) -> list[str]:
    return _grub(case, "multiboot /image {line}", "module /initrd.gz initrd")


def _multiboot2(case: Case) -> list[str]:
    return _grub(case, "multiboot2 /image {line}", "module2 /initrd.gz initrd")


def _chainloader(case: Case) -> list[str]:
    return _grub(case, "chainloader /image {line}")


def _on(firmware: Callable[[], list[str]], start: Callable) -> Callable[[Case], list[str]]:
    return lambda case: [*firmware(), *start(case)]


_BOOT_IMAGE = "BOOT_IMAGE=/image {}"
_PC, _X64, _IA32 = "GRUB i386-pc", "GRUB x86_64-efi", "GRUB i386-efi"


def _grub_rows(group: str, name: str, firmware: Callable[[], list[str]]) -> tuple[Loader, ...]:
    def multiboot(command: str, file: str, start: Callable) -> Loader:
        # GRUB sets a graphics mode for it only if the header wishes for one. Multiboot1 has no
        # words for what UEFI told.
        differs = ("frame buffer",)
        if command == "multiboot" and firmware is not list:
            differs += ("ACPI tables", "RSDP", "processors", "EFI")
        extra = firmware is not list and (command, file, name) != ("multiboot2", FILE_A, _X64)
        kernels = NEWEST if extra else KERNELS
        more = {"like": f"{name} linux", "differs": differs, "kernels": kernels}
        return Loader(group, name, command, file, _on(firmware, start), **more)

    return (
        Loader(group, name, "linux", FILE_A, _on(firmware, _linux), _BOOT_IMAGE),
        multiboot("multiboot2", FILE_A, _multiboot2),
        multiboot("multiboot2", FILE_B, _multiboot2),
        multiboot("multiboot", FILE_A, _multiboot),
    )


GRUBS = (
    *_grub_rows("grub-pc", _PC, list),
    Loader("grub-pc", _PC, "linux16", FILE_A, _linux16, _BOOT_IMAGE),
    *_grub_rows("grub-efi", _X64, machine.ovmf),
    Loader(
        *("grub-efi", _X64, "chainloader", FILE_A),
        # The mode is the firmware's own.
        *(_on(machine.ovmf, _chainloader), "{}", False, f"{_X64} linux", ("frame buffer",)),
    ),
    *_grub_rows("grub-ia32", _IA32, machine.ovmf_ia32),
    Loader(
        *("grub-ia32", _IA32, "chainloader", FILE_A, _on(machine.ovmf_ia32, _chainloader)),
        no=(No(_OTHER_MACHINE, "error: unknown error"),),
        kernels=NEWEST,
    ),
)


def _esp(case: Case, files: dict[str, Path | str]) -> list[str]:
    return machine.disk(media.fat(case.folder / "esp.fat", files))


def _ovmf(case: Case) -> list[str]:
    return [*machine.ovmf(), *_esp(case, {"EFI/BOOT/BOOTX64.EFI": case.image})]


def _ovmf_ia32(case: Case) -> list[str]:
    return [*machine.ovmf_ia32(), *_esp(case, {"EFI/BOOT/BOOTIA32.EFI": case.image})]


def _shell_files(case: Case) -> dict[str, Path | str]:
    return {
        "image.efi": case.image,
        "initrd.gz": case.initrd,
        "startup.nsh": f"fs0:\\image.efi {case.line} initrd=\\initrd.gz\r\n",
    }


def _shell(case: Case) -> list[str]:
    return [*machine.ovmf(), *_esp(case, _shell_files(case))]


def _systemd_boot_files(case: Case, name: str, program: Path) -> dict[str, Path | str]:
    entry = f"title x\nlinux /image\ninitrd /initrd.gz\noptions {case.line}\n"
    return {
        f"EFI/BOOT/{name}": program,
        "loader/loader.conf": "timeout 0\ndefault x.conf\n",
        "loader/entries/x.conf": entry,
        "image": case.image,
        "initrd.gz": case.initrd,
    }


def _systemd_boot(case: Case) -> list[str]:
    files = _systemd_boot_files(case, "BOOTX64.EFI", SYSTEMD_BOOT)
    return [*machine.ovmf(), *_esp(case, files)]


def _systemd_boot_ia32(case: Case) -> list[str]:
    files = _systemd_boot_files(case, "BOOTIA32.EFI", SYSTEMD_BOOT_IA32)
    return [*machine.ovmf_ia32(), *_esp(case, files)]


_SHELL = "fs0:\\image.efi {} initrd=\\initrd.gz"
EFI = (
    Loader("efi", "OVMF", "BOOTX64.EFI", FILE_A, _ovmf, "", False, "OVMF UEFI Shell"),
    Loader(
        *("efi", "OVMF ia32", "BOOTIA32.EFI", FILE_A, _ovmf_ia32),
        no=(No(_OTHER_MACHINE, r"failed to start Boot0001 [^\n]*Unsupported"),),
        kernels=NEWEST,
    ),
    Loader(
        *("efi", "OVMF ia32", "BOOTIA32.EFI", FILE_IA32, _ovmf_ia32, "", False),
        *("OVMF ia32 systemd-boot",),
    ),
    Loader("efi", "OVMF", "UEFI Shell", FILE_A, _shell, _SHELL, kernels=NEWEST),
    Loader("efi", "OVMF", "systemd-boot", FILE_A, _systemd_boot, "initrd=\\initrd.gz {}"),
    Loader(
        *("efi", "OVMF ia32", "systemd-boot", FILE_A),
        *(_systemd_boot_ia32, "initrd=\\initrd.gz {}"),
    ),
)


def _syslinux_config(case: Case, mboot: bool) -> str:
    if mboot:
        what = f"KERNEL mboot.c32\nAPPEND /image {case.line} --- /initrd.gz"
    else:
        what = f"LINUX /image\nINITRD /initrd.gz\nAPPEND {case.line}"
    return f"SERIAL 0 115200\nDEFAULT x\nLABEL x\n{what}\n"


def _syslinux_files(case: Case, mboot: bool) -> dict[str, Path | str]:
    return {
        "syslinux.cfg": _syslinux_config(case, mboot),
        "image": case.image,
        "initrd.gz": case.initrd,
        **{name: SYSLINUX / name for name in ("ldlinux.c32", "libcom32.c32", "mboot.c32")},
    }


def _syslinux(mboot: bool) -> Callable[[Case], list[str]]:
    def start(case: Case) -> list[str]:
        disk = media.fat(case.folder / "syslinux.fat", _syslinux_files(case, mboot))
        media.run("syslinux", "--install", disk)
        return machine.disk(disk)

    return start


def _isolinux(mboot: bool) -> Callable[[Case], list[str]]:
    def start(case: Case) -> list[str]:
        files = {"isolinux.bin": ISOLINUX, **_syslinux_files(case, mboot)}
        files["isolinux.cfg"] = files.pop("syslinux.cfg")
        made = media.iso(case.folder / "x.iso", "isolinux.bin", files, "-boot-info-table")
        return machine.cd(made)

    return start


def _syslinux_efi(bits: int) -> Callable[[Case], list[str]]:
    def start(case: Case) -> list[str]:
        name = {32: "IA32", 64: "X64"}[bits]
        files = {
            f"EFI/BOOT/BOOT{name}.EFI": SYSLINUX_EFI / f"syslinux{bits}.efi",
            f"EFI/BOOT/ldlinux.e{bits}": media.MODULES / f"efi{bits}" / f"ldlinux.e{bits}",
            "EFI/BOOT/syslinux.cfg": _syslinux_config(case, False),
            "image": case.image,
            "initrd.gz": case.initrd,
        }
        firmware = {32: machine.ovmf_ia32, 64: machine.ovmf}[bits]
        return [*firmware(), *_esp(case, files)]

    return start


_SYS_LINE = "BOOT_IMAGE=/image {} initrd=/initrd.gz"
_ESI = (
    "SYSLINUX 6.04 for 32-bit UEFI enters what has a 64-bit entry, a stock 64-bit kernel too, at "
    "its 32-bit one, with 0 in ESI instead of the zero page's address (kernel_jump in "
    "efi/i386/linux.S takes its first argument for one word, and gets a 64-bit address)"
)
SYSLINUXES = (
    Loader("syslinux", "SYSLINUX", "linux", FILE_A, _syslinux(False), _SYS_LINE),
    Loader("syslinux", "SYSLINUX", "mboot.c32", FILE_A, _syslinux(True), like="SYSLINUX linux"),
    Loader("syslinux", "ISOLINUX", "linux", FILE_A, _isolinux(False), _SYS_LINE),
    Loader("syslinux", "ISOLINUX", "mboot.c32", FILE_A, _isolinux(True), like="ISOLINUX linux"),
    Loader(
        *("syslinux", "SYSLINUX efi64", "linux", FILE_A, _syslinux_efi(64), _SYS_LINE),
        kernels=NEWEST,
    ),
    Loader(
        *("syslinux", "SYSLINUX efi32", "linux", FILE_A, _syslinux_efi(32)),
        no=(No(_ESI, "the registers of a boot protocol are needed"),),
        kernels=NEWEST,
    ),
)


def _ipxe(*firmware: str) -> Callable[[Case], list[str]]:
    def start(case: Case) -> list[str]:
        tree = case.folder / "tftp"
        tree.mkdir()
        (tree / "image").symlink_to(case.image)
        (tree / "initrd.gz").symlink_to(case.initrd)
        # iPXE gives a UEFI program its files as a file system; Linux asks for one by this option.
        initrd = "initrd=initrd.gz " if firmware else ""
        script = f"#!ipxe\nkernel image {initrd}{case.line}\ninitrd initrd.gz\nboot\n"
        (tree / "boot.ipxe").write_text(script)
        # QEMU's own network: DHCP and TFTP inside of the process, and no way out of it.
        return [
            *firmware,
            *("-netdev", f"user,id=net,restrict=on,tftp={tree},bootfile=boot.ipxe"),
            *("-device", "virtio-net-pci,netdev=net,bootindex=0"),
        ]

    return start


IPXE = (
    # It looks for multiboot before bzImage, and its multiboot map has RAM only (multiboot.c).
    Loader(
        *("ipxe", "iPXE", "kernel", FILE_A, _ipxe()),
        differs=("memory map", "memory resources"),
    ),
    Loader(
        *("ipxe", "iPXE, OVMF", "kernel", FILE_A, _ipxe(*machine.ovmf())),
        "image initrd=initrd.gz {}",
        kernels=NEWEST,
    ),
)


# -i: without the check of its own segments, which takes half a minute under TCG.
def _kexec(*options: str, module: bool = False) -> Callable[[Case], list[str]]:
    def start(case: Case) -> list[str]:
        initrd = ["--module=/second.gz initrd"] if module else ["--initrd=/second.gz"]
        command = media.quoted("kexec", *options, "/image", *initrd, f"--command-line={case.line}")
        files = {"image": case.image, "second.gz": case.initrd}
        first = media.kexec_initrd(case.folder / "first.cpio", KEXEC, command, files)
        host = BUILD / "kernels" / "6.1-cloud" / "vmlinuz"
        return [
            *("-kernel", str(host), "-initrd", str(first)),
            *("-append", f"console=ttyS0 quiet {QUICK}"),
        ]

    return start


KEXECS = (
    Loader("kexec", "kexec", "-l -c", FILE_A, _kexec("-c", "-i", "-l")),
    Loader(
        *("kexec", "kexec", "-l -c -t bzImage", FILE_A),
        _kexec("-c", "-i", "-l", "-t", "bzImage"),
        kernels=NEWEST,
    ),
    # One only: the sums of its segments take it half a minute under TCG. A 32-bit kernel's image
    # it does not take: bzImage64_probe wants one that may be above 4 GiB.
    Loader("kexec", "kexec", "-l -s", FILE_A, _kexec("-s", "-l"), kernels=NEWEST),
    Loader(
        *("kexec", "kexec", "-l -c -t multiboot2-x86", FILE_B),
        _kexec("-c", "-i", "-l", "-t", "multiboot2-x86", module=True),
        like="kexec -l -c",
    ),
)

LOADERS = (*QEMU, *BIOS, *GRUBS, *EFI, *SYSLINUXES, *IPXE, *KEXECS)
