"""Starts that hang end when they are asked to, one that cannot serve at once, and each in order."""

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


@pytest.mark.parametrize("workers", ["1", "2"])
def test_another_interrupt(start: Start, workers: str) -> None:
    """It cuts off what is being answered, and the rest ends in order all the same."""
    program = start(SERVICE_WORKERS=workers, SERVICE_LOG_FORMAT="json")
    with program.client() as client:
        host, port = client.base_url.host, client.base_url.port
    assert port is not None
    with socket.create_connection((host, port)) as unfinished:
        unfinished.sendall(
            b"POST /auth/login HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n"
            b"Content-Length: 9\r\n\r\n"
        )
        assert unfinished.recv(100).startswith(b"HTTP/1.1 100")
        program.send(signal.SIGTERM)
        program.wait_for("Shutting down")
        assert program.stop(signal.SIGINT) == 0
    for each in ("Application shutdown complete", "Finished server process"):
        assert program.output.count(each) == int(workers)
    assert "Traceback" not in program.output


def test_too_few_files(start: Start) -> None:
    """One line says how many are needed, whatever is started besides."""
    program = start(
        "-c",
        "import resource, sys; from service.cli.program import main;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20)); sys.exit(main(['serve']))",
        SERVICE_REDIS_URL="redis://127.0.0.1:1",
    )
    assert program.exit_code() == 2
    assert program.output.startswith("openshow-auth: only 20 files may be open here")
    assert program.output.count("\n") == 1
