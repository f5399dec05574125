"""Whether QEMU can run here, on which accelerator, and if not, why."""

from __future__ import annotations

import fcntl
import os
import re
import stat

from hvmlite.errors import EngineUnavailable
from hvmlite.model import Availability

__all__ = ["OLDEST", "PROGRAM", "accelerator", "available", "find"]

NAME = "qemu"
PROGRAM = "qemu-system-x86_64"
OLDEST = (7, 2)
"""The oldest version that is tested (Debian 12): q35 must be able to leave out its i8042."""

_HINT = (
    "install it: apt-get install qemu-system-x86 (Debian, Ubuntu), dnf install qemu-system-x86 "
    "(Fedora), pacman -S qemu-system-x86 (Arch), zypper install qemu-x86 (openSUSE)"
)
_KVM_CHECK_EXTENSION, _KVM_CAP_X86_SMM = 0xAE03, 117  # linux/kvm.h
_ELSEWHERE = ("/usr/libexec/qemu-kvm",)  # Red Hat's


def find() -> str:
    """Return the path of QEMU.

    :raises EngineUnavailable: there is none, or it may not be executed
    """
    # An empty PATH is no folder: not the one that somebody happens to be in.
    folders = os.get_exec_path() if os.environ.get("PATH") != "" else ()
    found = [f"{folder or '.'}/{PROGRAM}" for folder in folders]
    found = [path for path in (*found, *_ELSEWHERE) if _is_file(path)]
    for path in found:
        if os.access(path, os.X_OK):
            return path
    for path in found:
        raise EngineUnavailable(f"{path}: forbidden, permission to execute needed", engine=NAME)
    raise EngineUnavailable(f"{PROGRAM}: absent, needed in PATH", engine=NAME, hint=_HINT)


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - pathlib takes 5 ms to import
    except OSError:
        return False


def available() -> Availability:
    """Ask QEMU for its version, and the system for its accelerators."""
    try:
        path = find()
        version = _version(path)
    except EngineUnavailable as reason:
        return Availability(NAME, ok=False, reason=str(reason), hint=reason.hint)
    kvm = kvm_missing()
    facts = (
        ("path", path),
        ("accelerator tcg", "available"),
        ("accelerator kvm", f"not used: {kvm}" if kvm else "available"),
        ("firmware seabios", "QEMU's own"),
        ("firmware ovmf", _ovmf()),
    )
    return Availability(NAME, ok=True, version=version, facts=facts)


def _ovmf() -> str:
    from hvmlite.engines._firmware import find_ovmf

    try:
        return str(find_ovmf().code)
    except EngineUnavailable as reason:
        return f"not available: {reason}; {reason.hint}"


def _version(path: str) -> str:
    import subprocess

    try:
        run = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as cause:
        raise EngineUnavailable(f"{path}: cannot be executed: {cause}", engine=NAME) from cause
    match = re.search(r"version (\d+)\.(\d+)(\.\d+)*", run.stdout)
    if match is None:
        said = (run.stderr or run.stdout).strip().splitlines()[-1:] or ["nothing"]
        raise EngineUnavailable(f"{path}: says {said[0]!r}, a version needed", engine=NAME)
    if (int(match[1]), int(match[2])) < OLDEST:
        needed = ".".join(map(str, OLDEST))
        raise EngineUnavailable(
            f"{path}: too old, {match[1]}.{match[2]} found, {needed} needed",
            engine=NAME,
            hint=_HINT,
        )
    return match[0].removeprefix("version ")


def kvm_missing() -> str:
    """Say why KVM is not used unless it is asked for by name; empty if it is."""
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123
            flags = file.read().partition("flags")[2].partition("\n")[0].split()
    except OSError:
        flags = []
    if not {"svm", "vmx"} & set(flags):
        # A /dev/kvm may be there all the same: a software one, slower and stranger than TCG.
        return "the processor has neither svm nor vmx (/proc/cpuinfo)"
    return _kvm_unusable()


def _kvm_unusable() -> str:
    try:
        fd = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
        try:
            smm = fcntl.ioctl(fd, _KVM_CHECK_EXTENSION, _KVM_CAP_X86_SMM)
        finally:
            os.close(fd)
    except FileNotFoundError:
        return "/dev/kvm is absent (modules kvm_intel, kvm_amd)"
    except PermissionError:
        return "/dev/kvm is forbidden (become a member of the group kvm)"
    except OSError as error:
        return f"/dev/kvm cannot be used: {error.strerror}"
    # The reset ROM starts every guest by way of SMM.
    return "" if smm else "this KVM has no system management mode (CONFIG_KVM_SMM)"


def accelerator(wanted: str) -> str:
    """Return "tcg" or "kvm" for what :class:`hvmlite.model.RunOptions` asks for.

    :raises EngineUnavailable: KVM was asked for by name, and this kernel's cannot run a plan
    """
    if wanted == "auto":
        return "tcg" if kvm_missing() else "kvm"
    if wanted == "kvm" and (reason := _kvm_unusable()):
        raise EngineUnavailable(f"kvm: {reason}", engine=NAME, hint="--accel tcg runs everywhere")
    return wanted
