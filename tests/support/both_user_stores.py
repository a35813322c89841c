"""For the `conftest.py` of a folder whose tests ask the service on SQLite and on PostgreSQL."""

from collections.abc import Iterator

import pytest

from tests.support.access import SERVICE
from tests.support.redis_server import RedisServer
from tests.support.service_process import ServiceProcess
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
        **shared_store.settings,
    ).start()
    yield service
    assert service.stop() == 0
