# What a unified kernel image (UKI) and its addons add to a start: kernel, command line, initrds.
# UAPI.5, "Unified Kernel Image"; where it leaves something open, as systemd-stub 257 does it.
from __future__ import annotations

import os

from hvmlite import model
from hvmlite.errors import FormatError, RequestError
from hvmlite.images import uki
from hvmlite.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hvmlite.boot._files import Path
    from hvmlite.images import Limits
    from hvmlite.model import Dropped, Image, Module, Part
    from hvmlite.wire import Buffer

    Parts = Mapping[str, Sequence[Part]]

__all__ = ["Unified", "own_cmdline", "unify", "with_profile"]

_ADDS = (".cmdline", ".dtb", ".dtbauto", ".initrd", ".ucode")
_WHITE = bytes(range(0x21)) + b"\x7f"
_SPACES = bytes.maketrans(_WHITE, b" " * len(_WHITE))
# Not for a kernel that is entered directly, and why.
_LEFT = {
    ".splash": "there is no screen to show it on",
    ".dtb": "no entry of x86 takes a device tree here",
    ".dtbauto": "no entry of x86 takes a device tree here",
    ".efifw": "there is no UEFI firmware to replace",
    ".pcrsig": "there is no TPM that measures the start",
    ".pcrpkey": "there is no TPM that measures the start",
    ".profile": "systemd-stub's file /.extra/profile is not made",
}


class Unified(Value):
    """What all parts together say; `own` has those of the image, `addons` each addon's in order."""

    own: Parts
    addons: tuple[Parts, ...]

    def cmdline(self, given: bytes) -> bytes:
        """Return the command line: `given`, else the image's own; then the addons' ones."""
        lines = [given or _line(self.own), *map(_line, self.addons)]
        return b" ".join(line for line in lines if line)

    def modules(self, given: Sequence[Module]) -> list[Module]:
        """Return all initrds, the user's last, as one module.

        Microcode goes before the rest: the kernel looks for it in the uncompressed archives at the
        beginning, and takes the first that it finds, so that an addon's goes before the image's. Of
        other files with one name the last counts.
        """
        data: list[Buffer] = [
            part.data for each in (*reversed(self.addons), self.own) for part in _of(each, ".ucode")
        ]
        data += [part.data for each in (self.own, *self.addons) for part in _of(each, ".initrd")]
        data += [module.data for module in given]
        if not data:
            return []
        return [model.Module(_joined(data), name="initrd")]

    @property
    def dropped(self) -> tuple[Dropped, ...]:
        """What is not handed over, each kind of part once."""
        found = {name for each in (self.own, *self.addons) for name in each}
        return tuple(model.Dropped(name, why) for name, why in _LEFT.items() if name in found)


def unify(image: Image, profile: str | None, addons: Sequence[Path]) -> Unified | None:
    """Return what a UKI says in a profile, together with its addons; None for another image.

    :raises RequestError: there is no such profile, a file is no addon of this image, or the image
        is no UKI and a profile or addons were asked for
    """
    if image.format != uki.NAME:
        for field, asked in (("profile", profile), ("addon", addons)):
            if asked:
                raise RequestError(
                    f"{field}: {image.source} is of format {image.format}, a UKI needed",
                    field=field,
                )
        return None
    own = uki.chosen(image.parts, _number(image, profile))
    # By file name, as systemd-stub sorts them, not by the order in which they were named.
    paths = [os.fspath(path) for path in addons]
    ordered = sorted(paths, key=lambda path: (path.rpartition("/")[2], path))
    return Unified(own, tuple(_addon(path, image, own) for path in ordered))


def with_profile(image: Image, profile: str | None, limits: Limits) -> Image:
    """Return the image with the kernel of a profile as its payload.

    :raises RequestError: there is no such profile, or no kernel in it
    """
    if image.format != uki.NAME:
        return image
    number = _number(image, profile)
    kernels = uki.chosen(image.parts, number).get(uki.KERNEL)
    if not kernels:
        where = "the image" if number is None else f"profile {number} and the base"
        raise RequestError(
            f"{image.source}: {where} without {uki.KERNEL}, a kernel needed", field="profile"
        )
    if image.payload is not None and image.payload.offset == kernels[0].offset:
        return image
    return image.replace(payload=uki.payload(kernels[0], image.source, limits))


def own_cmdline(image: Image, profile: str | None) -> bytes | None:
    """Return the command line in a UKI's profile; None if there is none, or the image is no UKI.

    :raises RequestError: there is no such profile
    """
    if image.format != uki.NAME:
        return None
    own = uki.chosen(image.parts, _number(image, profile))
    return _line(own) if ".cmdline" in own else None


def _number(image: Image, profile: str | None) -> int | None:
    # By number, or by the ID that a .profile gives; `@1` is how systemd-stub writes a number.
    if profile is None:
        return uki.default_profile(image.parts)
    known = uki.profiles(image.parts)
    for number, name, _ in known:
        if profile in (str(number), f"@{number}") or (name and profile == name):
            return number
    names = ", ".join(f"{number} ({name})" if name else str(number) for number, name, _ in known)
    raise RequestError(
        f"profile {profile}: not in {image.source}, "
        + (f"one of {names} needed" if known else "which has no profiles at all"),
        field="profile",
    )


def _addon(path: str, image: Image, own: Parts) -> dict[str, tuple[Part, ...]]:
    from hvmlite.boot import open_image

    addon = open_image(path)
    found = uki.chosen(addon.parts, None)
    if addon.format != "pe" or not any(name in found for name in _ADDS):
        what = "a UKI" if addon.format == uki.NAME else f"format {addon.format} without them"
        raise RequestError(
            f"addon {path}: {what}, a PE file with one of {', '.join(_ADDS)} needed", field="addon"
        )
    ours, theirs = _machine(image), _machine(addon)
    if ours != theirs:
        raise RequestError(
            f"addon {path}: for PE machine {theirs:#x}, {ours:#x} needed", field="addon"
        )
    release, wanted = _text(found, ".uname"), _text(own, ".uname")
    if release and wanted and release != wanted:
        shown = release.decode("utf-8", "backslashreplace")
        raise RequestError(
            f"addon {path}: for kernel {shown!r}, "
            f"{wanted.decode('utf-8', 'backslashreplace')!r} needed",
            field="addon",
        )
    return found


def _machine(image: Image) -> int:
    if image.pe_headers is None:
        raise FormatError("no PE headers, some needed", source=image.source)
    return image.pe_headers().machine


def _of(parts: Parts, name: str) -> Sequence[Part]:
    return parts.get(name, ())


def _text(parts: Parts, name: str) -> bytes:
    return b"".join(bytes(part.data) for part in _of(parts, name)[:1]).split(b"\0", 1)[0].strip()


def _line(parts: Parts) -> bytes:
    # Up to the first NUL; control characters are spaces, and none of them at the ends.
    return _text(parts, ".cmdline").translate(_SPACES).strip(b" ")


def _joined(data: Iterable[Buffer]) -> Buffer:
    # One alone is handed over as it is, not copied.
    from hvmlite.guest.initrd import archives  # of a UKI only

    pieces = archives(data)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
