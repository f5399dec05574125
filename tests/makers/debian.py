"""A Debian archive in a folder: packages by dpkg-deb, indexes for apt, nothing signed."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path


def package(folder: Path, control: dict[str, str], files: dict[str, bytes]) -> Path:
    """Build ``<name>_<version>_<arch>.deb`` in the folder."""
    name = "{Package}_{Version}_{Architecture}".format(**control)
    root = folder / f"{name}.root"
    (root / "DEBIAN").mkdir(parents=True)
    fields = {"Maintainer": "nobody <nobody@example.org>", "Description": "made by a test"}
    text = "".join(f"{key}: {value}\n" for key, value in (control | fields).items())
    (root / "DEBIAN" / "control").write_text(text)
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    deb = folder / f"{name}.deb"
    subprocess.run(
        ["dpkg-deb", "--build", "--root-owner-group", root, deb], check=True, capture_output=True
    )
    return deb


def suite(archive: Path, name: str, debs: list[Path], architectures: list[str]) -> Path:
    """Write ``dists/<name>`` for packages that are in the archive's folder."""
    dist = archive / "dists" / name
    sums = []
    for architecture in architectures:
        index = dist / "main" / f"binary-{architecture}" / "Packages"
        index.parent.mkdir(parents=True)
        index.write_text("".join(_record(deb, archive, architecture) for deb in debs))
        data = index.read_bytes()
        where = index.relative_to(dist)
        sums.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} {where}")
    lines = [f"Suite: {name}", f"Codename: {name}", f"Architectures: {' '.join(architectures)}"]
    lines += ["Components: main", "Date: Thu, 01 Jan 2026 00:00:00 UTC", "SHA256:", *sums]
    if name.endswith("-backports"):
        lines[:0] = ["NotAutomatic: yes", "ButAutomaticUpgrades: yes"]  # as Debian's own
    (dist / "Release").write_text("\n".join(lines) + "\n")
    return dist


def _record(deb: Path, archive: Path, architecture: str) -> str:
    control = subprocess.run(["dpkg-deb", "-f", deb], check=True, capture_output=True, text=True)
    if f"Architecture: {architecture}\n" not in control.stdout:
        return ""
    data = deb.read_bytes()
    return (
        f"{control.stdout.rstrip()}\nFilename: {deb.relative_to(archive)}\nSize: {len(data)}\n"
        f"SHA256: {hashlib.sha256(data).hexdigest()}\n\n"
    )
