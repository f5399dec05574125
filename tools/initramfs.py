"""Write initramfs archives in pure Python: the ``newc`` form of cpio.

The format is the kernel's ``Documentation/driver-api/early-userspace/buffer-format.rst``.

As a library: ``Archive().file("/init", text, 0o755).gzip()``. As a script it makes the initrd of
``make demo``: ``python3 tools/initramfs.py build/demo-initrd.gz``.

The same content gives the same bytes: entries are sorted, times are 0, owners are root.
"""

from __future__ import annotations

import os
import stat
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from packages import static_busybox

DEMO_INIT = Path(__file__).with_name("demo-init.sh")

# The busybox applets that the demo's /init calls.
APPLETS = (
    "awk", "cat", "dmesg", "grep", "head", "hexdump", "mount", "poweroff", "printf", "sed", "sh",
    "uname",
)  # fmt: skip

_TRAILER = "TRAILER!!!"  # the name that ends an archive
_LIMIT = 1 << 32  # all numbers of a newc header are eight hex digits


@dataclass(frozen=True)
class _Entry:
    mode: int  # st_mode: type and permissions
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


class Archive:
    """The files of an initramfs; missing parent folders are made as they are needed."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def directory(self, path: str, mode: int = 0o755) -> Archive:
        """Add a folder."""
        return self._add(path, _Entry(stat.S_IFDIR | mode))

    def file(self, path: str, content: bytes | str, mode: int = 0o644) -> Archive:
        """Add a file with this content."""
        data = content.encode() if isinstance(content, str) else content
        return self._add(path, _Entry(stat.S_IFREG | mode, data))

    def symlink(self, path: str, target: str) -> Archive:
        """Add a symbolic link."""
        return self._add(path, _Entry(stat.S_IFLNK | 0o777, target.encode()))

    def character_device(self, path: str, major: int, minor: int, mode: int = 0o600) -> Archive:
        """Add the node of a character device, such as 5, 1 for ``/dev/console``."""
        return self._add(path, _Entry(stat.S_IFCHR | mode, device=(major, minor)))

    def block_device(self, path: str, major: int, minor: int, mode: int = 0o600) -> Archive:
        """Add the node of a block device."""
        return self._add(path, _Entry(stat.S_IFBLK | mode, device=(major, minor)))

    def _add(self, path: str, entry: _Entry) -> Archive:
        name = str(PurePosixPath("/", path)).lstrip("/")
        parts = name.split("/")
        if not name or name == _TRAILER or ".." in parts or "\0" in name:
            raise ValueError(f"{path!r} is no path inside an archive")
        if len(entry.data) >= _LIMIT:
            raise ValueError(f"{path}: {len(entry.data)} bytes, a newc entry holds less than 4 GiB")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            found = self._entries.setdefault(parent, _Entry(stat.S_IFDIR | 0o755))
            if not stat.S_ISDIR(found.mode):
                raise ValueError(f"{path}: /{parent} is no folder")
        old = self._entries.get(name)
        if old and stat.S_ISDIR(old.mode) and not stat.S_ISDIR(entry.mode):
            raise ValueError(f"{path} is a folder already")
        self._entries[name] = entry
        return self

    def cpio(self) -> bytes:
        """The archive, not compressed."""
        out = bytearray()
        for inode, name in enumerate(sorted(self._entries), 1):
            _append(out, name, inode, self._entries[name])
        _append(out, _TRAILER, 0, _Entry(0))
        out += bytes(-len(out) % 512)
        return bytes(out)

    def gzip(self, level: int = 6) -> bytes:
        """The archive, compressed by gzip, without a time or a name in its header."""
        compressor = zlib.compressobj(level, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        return compressor.compress(self.cpio()) + compressor.flush()


def _append(out: bytearray, name: str, inode: int, entry: _Entry) -> None:
    encoded = os.fsencode(name) + b"\0"
    nlink = 2 if stat.S_ISDIR(entry.mode) else 1
    # ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    fields = (inode, entry.mode, 0, 0, nlink, 0, len(entry.data), 0, 0, *entry.device)
    out += b"070701" + b"".join(b"%08X" % field for field in (*fields, len(encoded), 0))
    out += encoded
    out += bytes(-len(out) % 4)
    out += entry.data
    out += bytes(-len(out) % 4)


def busybox(archive: Archive, applets: tuple[str, ...], binary: Path | None = None) -> Archive:
    """Add the system's static busybox as ``/bin/busybox``, and a link for each applet.

    :raises FileNotFoundError: if there is no static busybox.
    """
    binary = binary or static_busybox()
    if binary is None:
        raise FileNotFoundError(
            "no static busybox is installed, run: python3 tools/packages.py demo"
        )
    archive.file("/bin/busybox", binary.read_bytes(), 0o755)
    for applet in applets:
        archive.symlink(f"/bin/{applet}", "busybox")
    return archive


def demo() -> Archive:
    """The initrd of ``make demo``: a busybox, and an init that says what the guest sees."""
    archive = Archive().file("/init", DEMO_INIT.read_bytes(), 0o755)
    for folder in ("/proc", "/sys", "/dev"):
        archive.directory(folder)
    # The kernel opens it for init before anything is mounted.
    archive.character_device("/dev/console", 5, 1)
    return busybox(archive, APPLETS)


def main(arguments: list[str]) -> int:
    """Write the demo's initrd to the path that is the only argument."""
    if len(arguments) != 1:
        print("usage: initramfs.py OUTPUT", file=sys.stderr)
        return 2
    output = Path(arguments[0])
    try:
        data = demo().gzip()
        output.parent.mkdir(parents=True, exist_ok=True)
        partial = output.with_name(output.name + ".partial")
        partial.write_bytes(data)
        partial.replace(output)
    except OSError as error:
        print(f"initramfs: {error}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
