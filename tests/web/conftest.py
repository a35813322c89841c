"""These tests are about HTTP: one Redis server is enough for them."""

from pathlib import Path

import pytest
from tools.testbed.service_process import ServiceProcess

from tests.web.wire import Wire

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the runs on a second server."""
    again = [item for item in items if HERE in item.path.parents and _server(item) == "redis"]
    config.hook.pytest_deselected(items=again)
    items[:] = [item for item in items if item not in again]


def _server(item: pytest.Item) -> object:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("redis_server") if callspec else None


@pytest.fixture
def wire(service: ServiceProcess) -> Wire:
    """`service`, asked byte by byte."""
    return Wire(service.url)
