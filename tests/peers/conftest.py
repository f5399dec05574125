"""Fixtures of the peers' tests."""

from __future__ import annotations

import pytest

from peers.xen_itself import DomainBuilder


@pytest.fixture(scope="session")
def domain_builder(tmp_path_factory) -> DomainBuilder:
    """Xen's own domain builder."""
    return DomainBuilder(tmp_path_factory.mktemp("xen"))
