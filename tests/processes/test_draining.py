"""SIGTERM under load: every request that the service has taken in is answered."""

import asyncio
import signal
import socket
from collections.abc import Callable

import httpx
import pytest
from tools.testbed.waiting import eventually

from tests.processes.program import Program, wait_until
from tests.support.callers import Crowd, crowd

Start = Callable[..., Program]

LIVE = b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.fixture(params=["1", "2"])
def workers(request: pytest.FixtureRequest) -> str:
    """How many workers."""
    return str(request.param)


FOR_CROWDS = {"SERVICE_LOG_LEVEL": "warning", "SERVICE_RATE_LIMIT": "off"}


async def busy(callers: Crowd) -> bool:
    return all(sum(caller.answers.values()) > 10 for caller in callers.callers)


async def turned_away(callers: Crowd) -> bool:
    return all(caller.refused for caller in callers.callers)


async def test_loses_no_request(start: Start, workers: str) -> None:
    """Clients that keep connections and clients that do not: answered, or not even connected."""
    program = start(SERVICE_WORKERS=workers, **FOR_CROWDS)
    url = await asyncio.to_thread(program.wait_for, r"serves on (http://\S+)")
    async with crowd(url) as callers:
        await eventually(lambda: busy(callers))
        program.send(signal.SIGTERM)
        await eventually(lambda: turned_away(callers))
    assert program.exit_code() == 0
    assert callers.lost == []
    assert callers.reset <= 1, "one in the moment between the last that is accepted and the close"
    assert set(callers.answers) == {200}


def test_hears_out_who_has_connected(start: Start, workers: str) -> None:
    """What was on its way when the service stopped listening is still answered, as the last."""
    program = start(SERVICE_WORKERS=workers)
    with program.client() as client:
        address = (client.base_url.host, client.base_url.port or 80)
    connections = [socket.create_connection(address, timeout=30) for _ in range(20)]
    program.send(signal.SIGTERM)
    wait_until(lambda: refuses(address), "it listens no more")
    for connection in connections:
        connection.sendall(LIVE)
    for connection in connections:
        with connection:
            answer = connection.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nconnection: close\r\n" in answer
    assert program.exit_code() == 0


def refuses(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=30).close()
    except ConnectionRefusedError:
        return True
    return False


def test_serves_on_for_the_delay_but_is_not_ready(start: Start, workers: str) -> None:
    """Load balancers are told at once, clients with each answer; Ctrl-C ends the delay."""
    program = start(SERVICE_WORKERS=workers, SERVICE_DRAIN_DELAY="600")
    with program.client() as client:
        wait_until(lambda: client.get("/health/ready").status_code == 200, "it is ready")
        program.send(signal.SIGTERM)
        wait_until(lambda: client.get("/health/ready").status_code == 503, "it is not ready")

        def is_told(path: str, status: int) -> bool:
            answer = client.get(path)
            return (answer.status_code, answer.headers.get("connection")) == (status, "close")

        for _ in range(8):  # whichever worker is asked: one hears of it after the other
            wait_until(lambda: is_told("/health/ready", 503), "none is ready")
            wait_until(lambda: is_told("/health/live", 200), "each closes")
        parts = client.get("/health/ready").json()
        assert [name for name, part in parts.items() if not part["ok"]] == ["process"]
    program.send(signal.SIGINT)
    assert program.exit_code() == 0


async def test_the_delay_ends_by_itself(start: Start, workers: str) -> None:
    """Nobody is turned away while the delay lasts, nobody lost when it ends."""
    program = start(SERVICE_WORKERS=workers, SERVICE_DRAIN_DELAY="4", **FOR_CROWDS)
    url = await asyncio.to_thread(program.wait_for, r"serves on (http://\S+)")
    async with crowd(url, size=8, pause=0.1) as callers:
        await eventually(lambda: busy(callers))
        program.send(signal.SIGTERM)
        await eventually(lambda: unready(url))
        assert callers.refused == 0
        await eventually(lambda: turned_away(callers))
    assert program.exit_code() == 0
    assert callers.lost == []
    assert callers.reset <= 1, "one in the moment between the last that is accepted and the close"
    assert callers.hung_up >= len(callers.callers)


async def unready(url: str) -> bool:
    async with httpx.AsyncClient(base_url=url) as client:
        return (await client.get("/health/ready")).status_code == 503
