"""Fixtures that more than one folder of tests uses.

Each test that takes `redis_server`, directly or not, runs once on each server that this machine
has, and leaves no key without a life behind. Each that takes `new_user_store` runs on SQLite and
on PostgreSQL; one that takes both does without the pair of PostgreSQL and a second Redis server.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from pathlib import Path

import httpx
import pytest

from tests.support.access import SERVICE
from tests.support.postgresql import PostgresServer
from tests.support.redis_server import RedisServer, available
from tests.support.service_process import Person, ServiceProcess, sign_up
from tests.support.user_stores import NewUserStore, SqliteStore, UserStore, postgres_store

PERMANENT = (b"events:", b"revoked:", b"revocations:")
"""Beginnings of the keys that may live for ever: streams, which are capped, and counters."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the pairs of PostgreSQL and a second Redis server: they would prove no more."""
    again = [item for item in items if _is_second_pair(item)]
    config.hook.pytest_deselected(items=again)
    items[:] = [item for item in items if item not in again]


def _is_second_pair(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    params = callspec.params if callspec else {}
    on_postgresql = params.get("new_user_store") == "postgresql"
    return on_postgresql and params.get("redis_server", "valkey") != "valkey"


@pytest.fixture(scope="session", params=available())
def redis_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    """A server shared by all tests; empty at the beginning of each."""
    directory = tmp_path_factory.mktemp(request.param)
    server = RedisServer(available()[request.param], directory).start()
    yield server
    server.stop()


@pytest.fixture
def keys(redis_server: RedisServer) -> Iterator[RedisServer]:
    """`redis_server`, emptied before, and checked afterwards for keys that would live for ever."""
    with redis_server.client() as client:
        client.flushall()
        yield redis_server
        eternal = [
            key
            for key in client.scan_iter(count=1000)
            if client.ttl(key) == -1 and not key.startswith(PERMANENT)
        ]
    assert not eternal, f"keys without a time to live: {eternal}"


@pytest.fixture(scope="session")
def shared_service(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """The service on `redis_server`, started once."""
    service = ServiceProcess(
        tmp_path_factory.mktemp("service"), redis_server.url_of(SERVICE)
    ).start()
    yield service
    assert service.stop() == 0


@pytest.fixture
def service(shared_service: ServiceProcess, keys: RedisServer) -> ServiceProcess:
    """`shared_service` on an empty Redis."""
    return shared_service


@pytest.fixture
async def http(service: ServiceProcess) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `service`."""
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=service.url, limits=limits, timeout=30) as client:
        yield client


@pytest.fixture
async def person(http: httpx.AsyncClient) -> Person:
    """Somebody who has just signed up."""
    return await sign_up(http)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server; each test has a database of its own on it."""
    server = PostgresServer()
    try:
        yield server.start()
    finally:
        server.remove()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def new_user_store(request: pytest.FixtureRequest) -> NewUserStore:
    """Makes user stores, each with a directory for its files if it has any."""
    if request.param == "sqlite":
        return lambda directory: nullcontext(SqliteStore(directory))
    server = request.getfixturevalue("postgres")
    return lambda directory: postgres_store(server)


@pytest.fixture
def user_store(new_user_store: NewUserStore, tmp_path: Path) -> Iterator[UserStore]:
    """A migrated, empty user store of the test's own."""
    with new_user_store(tmp_path) as store:
        yield store
