"""Services whose sessions live briefly, and the parts of the sessions package without the web."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from tools.testbed.access import SERVICE
from tools.testbed.parts import MAC_KEYS, PATIENTLY, Parts
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PATIENT, Person, ServiceProcess, sign_up

from service.redis.client import RedisClient
from service.sessions.refresh_tokens import RefreshTokens
from tests.sessions.scripted import Scripted
from tests.support.both_user_stores import more_pods, shared_service, shared_store  # noqa: F401
from tests.support.living import lend
from tests.support.script_clock import ScriptClock


@pytest.fixture(scope="session")
def strict_service(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """A grace of one second, three sessions a user, a proxy on this machine that is believed."""
    service = ServiceProcess(
        tmp_path_factory.mktemp("strict"),
        redis_server.url_of(SERVICE),
        SERVICE_REFRESH_GRACE="1",
        SERVICE_MAX_SESSIONS="3",
        SERVICE_TRUSTED_PROXIES="127.0.0.1/32",
        **PATIENT,
    )
    yield from lend("strict_service", service)


@pytest.fixture(scope="session")
def brief_service(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """Sessions that end after two seconds without a refresh, and after four in any case."""
    service = ServiceProcess(
        tmp_path_factory.mktemp("brief"),
        redis_server.url_of(SERVICE),
        SERVICE_REFRESH_IDLE_TTL="2",
        SERVICE_REFRESH_TTL="4",
        **PATIENT,
    )
    yield from lend("brief_service", service)


@pytest.fixture
async def strict(strict_service: ServiceProcess, keys: RedisServer) -> AsyncIterator[Person]:
    """Somebody who has just signed up at `strict_service`."""
    async with httpx.AsyncClient(base_url=strict_service.url, timeout=30) as client:
        yield await sign_up(client)


@pytest.fixture
async def brief(brief_service: ServiceProcess, keys: RedisServer) -> AsyncIterator[Person]:
    """Somebody who has just signed up at `brief_service`."""
    async with httpx.AsyncClient(base_url=brief_service.url, timeout=30) as client:
        yield await sign_up(client)


@pytest.fixture
async def parts(keys: RedisServer) -> AsyncIterator[Parts]:
    """The use cases on an empty Redis, in this process."""
    redis_client = RedisClient(keys.url, timing=PATIENTLY)
    yield Parts(redis_client)
    await redis_client.aclose()


@pytest.fixture(scope="session")
def refresh_tokens() -> RefreshTokens:
    """Tokens under two MAC keys, of which the second is the current one."""
    return RefreshTokens(MAC_KEYS, 2)


@pytest.fixture
async def scripted(keys: RedisServer) -> AsyncIterator[Scripted]:
    """The scripts themselves, under a clock of the test's."""
    clock = ScriptClock(keys)
    yield Scripted(clock)
    await clock.aclose()
