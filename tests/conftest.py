"""What all tests share: Hypothesis profiles, one seed for all that is random, real kernels."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

ROOT = Path(__file__).resolve().parent.parent
KERNELS = ROOT / "build" / "kernels"
IMAGES = ROOT / "build" / "images"

set_hypothesis_home_dir(ROOT / "build" / "hypothesis")  # its examples of failures
for name, cases in (("ci", 1_000), ("nightly", 20_000)):
    settings.register_profile(
        name,
        max_examples=cases,
        deadline=None,  # the machine is shared with guests that boot
        suppress_health_check=[HealthCheck.too_slow],  # for the same reason
        print_blob=True,
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    # One number repeats a whole run: pytest-randomly prints its seed, Hypothesis follows it.
    # Where Hypothesis was given a seed of its own, or the order is not random, it is left alone.
    from hypothesis import core

    seed = config.getoption("randomly_seed", None)
    if isinstance(seed, int) and config.getoption("hypothesis_seed", None) is None:
        core.global_force_seed = seed


def _seconds(item) -> float:
    """About how long a test takes: a guest, an idea tried out a thousand times, or one case."""
    if item.get_closest_marker("boot") or item.get_closest_marker("slow"):
        return 8
    return 2 if item.get_closest_marker("hypothesis") else 0.1


@pytest.hookimpl(trylast=True)  # after pytest-randomly, whose order within a file stays
def pytest_collection_modifyitems(items):
    """Give the workers the longest files first: at the end, one would wait for the other's."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    seconds = Counter()
    for item in items:
        seconds[item.path] += _seconds(item)
    items.sort(key=lambda item: -seconds[item.path])


class Kernels:
    """The kernels that ``tools/kernels.py`` fetched, by short name: ``kernels["6.12-cloud"]``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, name: str) -> Path:
        vmlinuz = self.folder / name / "vmlinuz"
        if not vmlinuz.is_file():
            pytest.fail(
                f"{vmlinuz} is missing, run: python3 tools/kernels.py {name}", pytrace=False
            )
        return vmlinuz

    def config(self, name: str) -> str:
        """The kernel's own ``.config``: what it was built to offer, in its builder's words."""
        self[name]
        return (self.folder / name / "config").read_text()


@pytest.fixture(scope="session")
def kernels() -> Kernels:
    """Paths of real kernels; a kernel that is not there fails the test, it never skips it."""
    return Kernels(KERNELS)


class Images:
    """What ``tools/boot_images.py`` fetched and made: ``images["xen"] / "xen.gz"``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, name: str) -> Path:
        from boot_images import IMAGES as KNOWN

        if not KNOWN[name].there(self.folder / name):
            text = f"{self.folder / name} is not complete, run: python3 tools/boot_images.py {name}"
            pytest.fail(text, pytrace=False)
        return self.folder / name


@pytest.fixture(scope="session")
def images() -> Images:
    """Folders of real boot images; one that is not there fails the test, it never skips it."""
    return Images(IMAGES)


@pytest.fixture(scope="session")
def nightly() -> bool:
    """Whether this run has the long budget: 200 boots instead of 20, and so on."""
    return settings.get_current_profile_name() == "nightly"


@pytest.fixture(scope="session")
def microkernels() -> Path:
    """The folder of the project's own guests, which are built from ``stub/microkernel``."""
    import microkernel

    microkernel.build()
    return microkernel.FOLDER
