"""Sessions, an issuer, and guards that know of both."""

from collections.abc import AsyncIterator, Iterator

import pytest
from tools.testbed.issuer import Issuer
from tools.testbed.parts import SIGNING_KEYS, Parts
from tools.testbed.redis_server import RedisServer

from service.redis.client import RedisClient
from tests.guard.guards import Guards, marked


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """Publishes the keys that `parts` signs with."""
    with Issuer(SIGNING_KEYS) as issuer:
        yield issuer


@pytest.fixture
async def parts(keys: RedisServer) -> AsyncIterator[Parts]:
    """The sessions on an empty Redis, in this process."""
    redis_client = RedisClient(keys.url)
    async with marked(redis_client):
        yield Parts(redis_client)
    await redis_client.aclose()


@pytest.fixture
async def guards(keys: RedisServer, issuer: Issuer) -> AsyncIterator[Guards]:
    """Starts guards, and stops them in the end."""
    async with Guards(issuer, keys.url.reveal()) as guards:
        yield guards
