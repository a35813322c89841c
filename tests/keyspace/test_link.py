"""The order of commands and replies on a shared connection: pure logic, so a pretended server does.

What a real server adds (it dies, hangs, restarts) is tested in `tests/faults`.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fakeredis import TcpFakeServer
from redis.exceptions import ResponseError

from service.errors import StartupError, StoreUnavailable
from service.keyspace.link import Link
from service.settings import Secret
from tests.support.redis_server import RedisServer


@pytest.fixture
def pretended() -> Iterator[str]:
    """The address of a pretended Redis on a free port of loopback."""
    server = TcpFakeServer(("127.0.0.1", 0), server_type="valkey")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"redis://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
async def link(pretended: str) -> AsyncIterator[Link]:
    link = Link(Secret(pretended))
    yield link
    await link.aclose()


async def test_each_caller_gets_the_reply_to_their_own_command(link: Link) -> None:
    """A thousand at once, on one connection, none mixed up."""
    replies = await asyncio.gather(*(link.execute("ECHO", str(n)) for n in range(1000)))
    assert replies == [str(n).encode() for n in range(1000)]


async def test_an_error_reaches_only_who_caused_it(keys: RedisServer) -> None:
    """Between two faulty commands everybody else is served; on a real server, which answers on."""
    link = Link(keys.url)
    await link.execute("SET", "text", "not a number", "EX", 60)
    outcomes = await asyncio.gather(
        link.execute("INCR", "text"),
        link.execute("ECHO", "between"),
        link.execute("LPUSH", "text", "x"),
        link.execute("ECHO", "after"),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes[::2]] == [ResponseError, ResponseError]
    assert outcomes[1::2] == [b"between", b"after"]
    await link.aclose()


@pytest.mark.parametrize(
    "said",
    [
        "BUSY Valkey is busy running a script.",
        "CLUSTERDOWN The cluster is down",
        "CLUSTERDOWN Hash slot not served",
        "LOADING Valkey is loading the dataset in memory",
        "MASTERDOWN Link with MASTER is down",
        "MISCONF Valkey is configured to save RDB snapshots",
        "NOREPLICAS Not enough good replicas to write.",
        "OOM command not allowed when used memory > 'maxmemory'.",
    ],
)
async def test_a_server_that_cannot_now_is_unavailable(tmp_path: Path, said: str) -> None:
    """Not a defect of ours, however the client library spells what the server has said."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"GET" not in await reader.read(65_536):
            writer.write(b"+OK\r\n" * 2)
        writer.write(f"-{said}\r\n".encode())
        await reader.read()
        writer.close()
        gone.set()

    gone = asyncio.Event()
    link = Link(Secret(f"unix://{tmp_path / 'socket'}"))
    async with await asyncio.start_unix_server(serve, tmp_path / "socket"):
        try:
            with pytest.raises(StoreUnavailable):
                await link.execute("GET", "session:{00}:x")
        finally:
            await link.aclose()
            await gone.wait()


async def test_a_closed_link_lets_nobody_wait(link: Link) -> None:
    """Whoever waits when the link is closed is told."""
    await link.execute("PING")
    waiting = asyncio.ensure_future(link.execute("ECHO", "late"))
    await asyncio.sleep(0)
    await link.aclose()
    with pytest.raises(StoreUnavailable):
        await waiting


@pytest.mark.parametrize("url", ["redis://host:port", "redis://[::1", "unix://?db=x"])
def test_a_url_that_cannot_be_read_stops_the_start(url: str) -> None:
    """One line that names the setting, and not the URL."""
    with pytest.raises(StartupError, match="SERVICE_REDIS_URL") as stopped:
        Link(Secret(url))
    assert url not in str(stopped.value)
