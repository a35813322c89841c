"""Sessions, an issuer, and guards that know of both."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tools.testbed.issuer import Issuer
from tools.testbed.parts import PATIENTLY, SIGNING_KEYS, Parts
from tools.testbed.redis_server import RedisServer
from tools.testbed.wheels import build_wheels, wheel_of

from service.guard.fake_issuer import FakeIssuer
from service.guard.verifier_thread import thread_of
from service.redis.client import RedisClient
from tests.guard.feed_writer import FeedWriter
from tests.guard.guards import Guards, marked, parts_at


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheels and source distributions of server and guard."""
    directory = tmp_path_factory.mktemp("wheels")
    build_wheels(directory, "--sdist")
    return directory


@pytest.fixture(scope="session")
def guard_wheel(wheels: Path) -> Path:
    """The wheel `openshow-guard`, which can be imported from."""
    return wheel_of("openshow-guard", wheels)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """Publishes the keys that `parts` signs with."""
    with Issuer(SIGNING_KEYS) as issuer:
        yield issuer


@pytest.fixture
async def parts(keys: RedisServer) -> AsyncIterator[Parts]:
    """The sessions on an empty Redis, in this process."""
    async with parts_at(keys.url, timing=PATIENTLY) as parts:
        yield parts


@pytest.fixture
async def feed(keys: RedisServer) -> AsyncIterator[FeedWriter]:
    """The feed of a marked Redis without a service."""
    redis_client = RedisClient(keys.url, timing=PATIENTLY)
    with keys.client() as client:
        async with marked(redis_client):
            yield FeedWriter(client)
    await redis_client.aclose()


@pytest.fixture
async def guards(keys: RedisServer, issuer: Issuer) -> AsyncIterator[Guards]:
    """Starts guards, and stops them in the end."""
    async with Guards(issuer, keys.url.reveal()) as guards:
        yield guards


@pytest.fixture
def fake() -> Iterator[FakeIssuer]:
    """Stands in for an issuer. The threads of its verifiers, where they have one, end with it."""
    fake = FakeIssuer()
    yield fake
    for verifier in fake._verifiers:
        thread_of(verifier).close()
    fake.close()
