"""A server and a service of their own, because what happens to them here would disturb others.

The service is never restarted: that it serves the next test is part of what is proven.
"""

from collections.abc import AsyncIterator, Iterator

import httpx
import msgspec
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import ServiceProcess


class Stage(msgspec.Struct, frozen=True):
    """Two service processes that share one Redis and one SQLite file."""

    redis: RedisServer
    service: ServiceProcess
    second: ServiceProcess

    def client(self, service: ServiceProcess | None = None) -> httpx.AsyncClient:
        """A client of one of the services, by default of the first."""
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
        url = (service or self.service).url
        return httpx.AsyncClient(base_url=url, limits=limits, timeout=10)


@pytest.fixture(scope="session")
def shared_stage(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """The stage on the same kind of server as `redis_server`, logging all that it can."""
    directory = tmp_path_factory.mktemp("stage")
    (directory / "redis").mkdir()
    redis = RedisServer(redis_server.binary, directory / "redis").start()
    services = []
    for name in ("first", "second"):
        (directory / name).mkdir()
        services.append(
            ServiceProcess(
                directory / name,
                redis.url,
                SERVICE_DATA_DIR=str(directory / "var"),
                SERVICE_LOG_LEVEL="debug",
                SERVICE_REFRESH_GRACE="60",  # some send one token for as long as a test takes
            ).start()
        )
    yield Stage(redis, *services)
    for service in services:
        assert service.stop() == 0
    redis.stop()


@pytest.fixture
def stage(shared_stage: Stage) -> Iterator[Stage]:
    """The stage, its Redis running and thawed, before and after."""
    yield shared_stage
    shared_stage.redis.heal()


@pytest.fixture
async def http(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the first service."""
    async with stage.client() as client:
        yield client
