"""The plugin for pytest: it is there wherever `openshow-guard` is installed."""

from collections.abc import Iterator

import pytest

from .fake_issuer import FakeIssuer


@pytest.fixture
def fake_issuer() -> Iterator[FakeIssuer]:
    """Signs access tokens and ends sessions, for verifiers that it was told to `stand_in` for."""
    issuer = FakeIssuer()
    yield issuer
    issuer.close()
