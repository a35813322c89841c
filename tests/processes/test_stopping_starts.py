"""A start that waits for a store or a key service which says nothing ends when it is asked to."""

import select
import signal
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.processes.program import PATIENCE, Program

Start = Callable[..., Program]


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes connections, and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.mark.parametrize(
    ("settings", "awaited"),
    [
        ({"SERVICE_DATABASE_URL": "postgresql://u:p@HERE/x"}, "the user store"),
        ({"SERVICE_REDIS_URL": "redis://HERE"}, "Redis|its stores"),
        ({"SERVICE_REDIS_URL": "redis+sentinel://HERE/primary"}, "Redis|its stores"),
        ({"SERVICE_REDIS_URL": "redis+cluster://HERE"}, "Redis|its stores"),
        (
            {"SERVICE_KMS": "vault", "VAULT_ADDR": "http://HERE", "VAULT_TOKEN": "t"},
            "its stores or its key service",
        ),
    ],
    ids=["user store", "Redis", "Sentinel", "cluster", "key service"],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda each: each.name)
def test_a_start_that_waits(
    start: Start, silent: socket.socket, settings: dict[str, str], awaited: str, number: int
) -> None:
    """It ends at once, says for what it has waited, and never serves."""
    here = "{}:{}".format(*silent.getsockname())
    program = start(**{name: value.replace("HERE", here) for name, value in settings.items()})
    assert select.select([silent], [], [], PATIENCE)[0], program.output
    assert program.stop(signal.Signals(number)) == 0
    assert program.wait_for(rf"openshow-auth: stopped while it waited for (?:{awaited})")
    assert "serves on" not in program.output
    assert "Traceback" not in program.output
