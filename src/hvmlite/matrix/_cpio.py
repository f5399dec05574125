# The part of cpio's newc form that an initramfs of ours needs: folders, files, device nodes.
# The kernel's Documentation/driver-api/early-userspace/buffer-format.rst describes it.
from __future__ import annotations

import stat
from dataclasses import dataclass

__all__ = ["Entry", "archive", "device", "directory", "file"]

_TRAILER = "TRAILER!!!"  # the name that ends an archive


@dataclass(frozen=True, slots=True)
class Entry:
    # `mode` is st_mode, type and permissions; owners are root, times are 0.
    path: str
    mode: int
    data: bytes = b""
    rdev: tuple[int, int] = (0, 0)


def directory(path: str) -> Entry:
    return Entry(path, stat.S_IFDIR | 0o755)


def file(path: str, data: bytes, mode: int = 0o644) -> Entry:
    return Entry(path, stat.S_IFREG | mode, data)


def device(path: str, major: int, minor: int) -> Entry:
    return Entry(path, stat.S_IFCHR | 0o600, rdev=(major, minor))


def archive(*entries: Entry) -> bytes:
    # The entries in this order, which must name a folder before what is in it.
    out = bytearray()
    for inode, entry in enumerate((*entries, Entry(_TRAILER, 0)), 1):
        name = entry.path.encode() + b"\0"
        # ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        fields = (inode, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, *entry.rdev, len(name), 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields)
        for part in (name, entry.data):
            out += part
            out += bytes(-len(out) % 4)
    return bytes(out)
