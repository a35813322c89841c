"""A second process on the same stores, lives of a second, and pods under the test's own clock."""

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from tools.testbed.access import SERVICE
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PATIENT, ServiceProcess

from tests.support.both_user_stores import more_pods, shared_service, shared_store  # noqa: F401
from tests.support.living import lend, living
from tests.support.script_clock import ScriptClock
from tests.support.sqlite_threads import sqlite_threads_end  # noqa: F401  autouse
from tests.support.two_factor import Holder, new_holder
from tests.support.user_stores import NewUserStore, UserStore
from tests.twofactor.pods import Pods, Watch, running


@pytest.fixture(scope="session")
def shared_neighbour(
    shared_service: ServiceProcess,  # noqa: F811
    more_pods: list[ServiceProcess],  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ServiceProcess]:
    """Another process of `shared_service`: the same Redis, the same user store."""
    if more_pods:
        yield more_pods[0]
        return
    service = shared_service.beside(tmp_path_factory.mktemp("neighbour")).start()
    with living("shared_neighbour", service):
        yield service
    assert service.stop() == 0


@pytest.fixture
async def elsewhere(
    shared_neighbour: ServiceProcess, keys: RedisServer
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the other process."""
    limits = httpx.Limits(max_connections=100)
    url = shared_neighbour.url
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=30) as client:
        yield client


@pytest.fixture
async def ann(http: httpx.AsyncClient) -> Holder:
    """Somebody who has just signed up."""
    return await new_holder(http)


@pytest.fixture
async def bob(http: httpx.AsyncClient) -> Holder:
    """Somebody else, with 2FA on."""
    return await (await new_holder(http)).enrol()


@pytest.fixture(scope="session")
def shared_brief(
    redis_server: RedisServer,
    new_user_store: NewUserStore,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ServiceProcess]:
    """Enrolments and challenges that live for two seconds."""
    directory = tmp_path_factory.mktemp("brief2fa")
    with new_user_store(directory) as store:
        service = ServiceProcess(
            directory,
            redis_server.url_of(SERVICE),
            **PATIENT | store.settings,
            SERVICE_ENROLLMENT_TTL="2",
            SERVICE_CHALLENGE_TTL="2",
            SERVICE_APP_NAME="Open Show & Söhne",
        )
        yield from lend("shared_brief", service)


@pytest.fixture
async def brief(shared_brief: ServiceProcess, keys: RedisServer) -> AsyncIterator[Holder]:
    """Somebody who has just signed up there."""
    async with httpx.AsyncClient(base_url=shared_brief.url, timeout=30) as client:
        yield await new_holder(client, f'"a+b &%:ü"@{secrets.token_hex(4)}.example.com')


@pytest.fixture
async def pods(keys: RedisServer, user_store: UserStore, tmp_path: Path) -> AsyncIterator[Pods]:
    """Two pods in this process."""
    watch = Watch()
    async with running(watch, keys.url, user_store, tmp_path) as pods:
        yield pods


@pytest.fixture
async def clock(keys: RedisServer) -> AsyncIterator[ScriptClock]:
    """A client whose scripts see the time of the test's."""
    clock = ScriptClock(keys)
    yield clock
    await clock.aclose()
