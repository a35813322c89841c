"""For the `conftest.py` of a folder whose tests ask the service on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tools.testbed.access import SERVICE
from tools.testbed.cluster import Cluster
from tools.testbed.redis_server import RedisServer
from tools.testbed.sentinel import SentinelTrio
from tools.testbed.service_process import PATIENT, ServiceProcess

from tests.support.living import lend, living
from tests.support.user_stores import NewUserStore, UserStore


@pytest.fixture(scope="session")
def shared_store(
    new_user_store: NewUserStore,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[UserStore]:
    """The user store of `shared_service`."""
    with new_user_store(tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture(scope="session")
def shared_service(
    redis_server: RedisServer,
    shared_store: UserStore,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ServiceProcess]:
    """The service on `redis_server` and `shared_store`, started once."""
    service = ServiceProcess(
        tmp_path_factory.mktemp("service"),
        redis_server.url_of(SERVICE),
        **PATIENT | shared_store.settings,
    )
    yield from lend("shared_service", service)


@pytest.fixture(scope="session")
def more_pods(
    redis_server: RedisServer | Cluster | SentinelTrio,
    shared_service: ServiceProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[ServiceProcess]]:
    """On a cluster and under Sentinels: two more processes beside `shared_service`."""
    if isinstance(redis_server, RedisServer):
        yield []
        return
    pods = [shared_service.beside(tmp_path_factory.mktemp("pod")) for _ in range(2)]
    with ThreadPoolExecutor() as threads:
        list(threads.map(ServiceProcess.start, pods))
    with living("more_pods", *pods):
        yield pods
    for pod in pods:
        assert pod.stop() == 0
