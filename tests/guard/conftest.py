"""Sessions, an issuer, and guards that know of both."""

from collections.abc import AsyncIterator, Iterator

import pytest

from service.keyspace.link import Link
from tests.guard.guards import Guards, marked
from tests.support.issuer import Issuer
from tests.support.parts import SIGNING_KEYS, Parts
from tests.support.redis_server import RedisServer


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """Publishes the keys that `parts` signs with."""
    with Issuer(SIGNING_KEYS) as issuer:
        yield issuer


@pytest.fixture
async def parts(keys: RedisServer) -> AsyncIterator[Parts]:
    """The sessions on an empty Redis, in this process."""
    link = Link(keys.url)
    async with marked(link):
        yield Parts(link)
    await link.aclose()


@pytest.fixture
async def guards(keys: RedisServer, issuer: Issuer) -> AsyncIterator[Guards]:
    """Starts guards, and stops them in the end."""
    async with Guards(issuer, keys.url.reveal()) as guards:
        yield guards
