"""The universal images of three kernels, and what the stock kernels see without them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import hvmlite
from boot.json_report import blob
from boot.reporter import QUICK
from hvmlite import universal
from hvmlite.matrix import report as reports
from initramfs import Archive
from loaders import machine
from loaders.rows import FILE_A, FILE_B, FILE_IA32, KERNELS, LOADERS, NEWEST, Case, Loader

# no_timer_check: Linux counts ticks in a few milliseconds, which TCG on a busy machine fails.
BUILT_IN = f"console=ttyS0 quiet {QUICK} no_timer_check hvmlite.given=built-in"
HANDED_OVER = "hvmlite.given=handed-over"
PAYLOAD = {f"/payload/{name}": name.encode() * 4097 for name in ("built-in", "handed-over")}
SUMS = {path: hashlib.sha256(data).hexdigest() for path, data in PAYLOAD.items()}


def initrds(kernel: str) -> tuple[bytes, bytes]:
    """The one to build in, which has /init, and the one to hand over."""
    first, second = PAYLOAD
    init = Archive().file("/init", blob(kernel), 0o755).file(first, PAYLOAD[first])
    for folder in ("/proc", "/sys", "/dev"):
        init.directory(folder)
    init.character_device("/dev/console", 5, 1).character_device("/dev/ttyS0", 4, 64)
    return init.gzip(), Archive().file(second, PAYLOAD[second]).gzip()


@dataclass
class Starts:
    """Starts of the universal images, and of the stock kernels beside them."""

    kernels: object
    folder: Path
    natives: dict[tuple[str, str], reports.Report] = field(default_factory=dict)

    def universal(self, loader: Loader, kernel: str, folder: Path) -> machine.Seen:
        initrd = folder / "handed-over.gz"
        initrd.write_bytes(initrds(kernel)[1])
        case = Case(self._image(kernel, loader.file), initrd, HANDED_OVER, folder)
        return machine.watch(loader.start(case), until=self._until(loader, kernel))

    def native(self, key: str, kernel: str, folder: Path) -> reports.Report:
        """What the stock kernel reports, with the same command line and files."""
        if (key, kernel) not in self.natives:
            (loader,) = (each for each in LOADERS if each.key == key and each.file == FILE_A)
            folder = folder / "native"
            folder.mkdir()
            initrd = folder / "initrd.gz"
            one, two = initrds(kernel)
            initrd.write_bytes(one + bytes(-len(one) % 4 + 4) + two)
            line = f"{BUILT_IN} {HANDED_OVER}"
            seen = machine.watch(loader.start(Case(self.kernels[kernel], initrd, line, folder)))
            assert seen.report is not None, f"the stock kernel did not report:\n{seen.said}"
            self.natives[key, kernel] = reports.parse(seen.report)
        return self.natives[key, kernel]

    def _image(self, kernel: str, file: str) -> Path:
        path = self.folder / f"{kernel}.{file}"
        if not path.exists():
            image = hvmlite.open_image(self.kernels[kernel])
            efi = "ia32" if file == FILE_IA32 else "x64"
            made = universal.wrap(image, initrds=[initrds(kernel)[0]], cmdline=BUILT_IN, efi=efi)
            path.write_bytes(made.elf_bytes() if file == FILE_B else made.image_bytes())
        return path

    @staticmethod
    def _until(loader: Loader, kernel: str) -> str | None:
        no = loader.refusal(kernel)
        return no.says if no else None


@pytest.fixture(scope="session")
def starts(kernels, tmp_path_factory) -> Starts:
    return Starts(kernels, tmp_path_factory.mktemp("universal"))


@pytest.fixture(scope="session")
def compared(nightly) -> tuple[str, ...]:
    """The kernels that are started natively, too."""
    return KERNELS if nightly else NEWEST
