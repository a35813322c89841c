"""These tests are about HTTP: one Redis server is enough for them."""

from pathlib import Path

import pytest
from tools.testbed.access import SERVICE
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PATIENT, ServiceProcess

from tests.web.wire import Wire


@pytest.fixture
def wire(service: ServiceProcess) -> Wire:
    """`service`, asked byte by byte."""
    return Wire(service.url)


@pytest.fixture
def commands_beside(keys: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands work on the stores of `running_app`."""
    for name, value in {
        "SERVICE_REDIS_URL": keys.url_of(SERVICE).reveal(),
        "SERVICE_DATABASE_URL": f"sqlite:///{tmp_path}/service.db",
        "SERVICE_DATA_DIR": str(tmp_path),
        **PATIENT,
    }.items():
        monkeypatch.setenv(name, value)
