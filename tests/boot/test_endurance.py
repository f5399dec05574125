"""Boots in a row: none hangs, none fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from boot.agreement import agrees
from boot.reporter import boot

pytestmark = pytest.mark.boot


def test_boots_in_a_row(kernels, initrds, nightly):
    """200 boots in the nightly profile and 20 in CI, two at a time."""

    def one(_):
        return boot(kernels["6.12-cloud"], [initrds.amd64])

    with ThreadPoolExecutor(2) as pool:
        for plan, report in pool.map(one, range(200 if nightly else 20)):
            agrees(plan, report, initrds.payload)
