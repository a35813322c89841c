"""The order of commands and replies on a shared connection: pure logic, so a pretended server does.

What a real server adds (it dies, hangs, restarts) is tested in `tests/faults`.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fakeredis import TcpFakeServer
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.errors import StartupError, StoreUnavailable
from service.redis.client import RedisClient
from service.redis.refusals import CommandRefused
from service.settings import Secret


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
async def redis_client(pretended: str) -> AsyncIterator[RedisClient]:
    redis_client = RedisClient(Secret(pretended), timing=PATIENTLY)
    yield redis_client
    await redis_client.aclose()


async def test_each_caller_gets_the_reply_to_their_own_command(redis_client: RedisClient) -> None:
    """A thousand at once, on one connection, none mixed up."""
    replies = await asyncio.gather(*(redis_client.execute("ECHO", str(n)) for n in range(1000)))
    assert replies == [str(n).encode() for n in range(1000)]


async def test_an_error_reaches_only_who_caused_it(keys: RedisServer) -> None:
    """Between two faulty commands everybody else is served; on a real server, which answers on."""
    redis_client = RedisClient(keys.url, timing=PATIENTLY)
    await redis_client.execute("SET", "text", "not a number", "EX", 60)
    outcomes = await asyncio.gather(
        redis_client.execute("INCR", "text"),
        redis_client.execute("ECHO", "between"),
        redis_client.execute("LPUSH", "text", "x"),
        redis_client.execute("ECHO", "after"),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes[::2]] == [CommandRefused, CommandRefused]
    assert outcomes[1::2] == [b"between", b"after"]
    await redis_client.aclose()


@pytest.mark.parametrize(
    "said",
    [
        "BUSY Valkey is busy running a script.",
        "DENIED Valkey is running in protected mode",
        "ERR ACL failure in script: No permissions to access a key script: on @user_script:1.",
        "ERR Attempted to access a key of another kind",
        "ERR Error running script (call to f_x): @user_script:1: Script killed by user",
        "ERR Protocol error: unauthenticated multibulk length",
        "ERR max number of clients reached",
        "ERR unknown command 'EVALSHA', with args beginning with: 's3cret'",
        "ERR user_script:1: attempt to compare nil with number script: on @user_script:1.",
        "NOAUTH Authentication required.",
        "NOPERM No permissions to access a key",
        "READONLY You can't write against a read only replica.",
        "UNKILLABLE Sorry the script already executed write commands",
        "WRONGPASS invalid username-password pair or user is disabled.",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "CLUSTERDOWN The cluster is down",
        "CLUSTERDOWN Hash slot not served",
        "LOADING Valkey is loading the dataset in memory",
        "MASTERDOWN RedisClient with MASTER is down",
        "MISCONF Valkey is configured to save RDB snapshots",
        "NOREPLICAS Not enough good replicas to write.",
        "OOM command not allowed when used memory > 'maxmemory'.",
    ],
)
async def test_a_server_that_cannot_now_is_unavailable(tmp_path: Path, said: str) -> None:
    """Not a defect of ours, however the client library spells what the server has said; and the
    arguments of a command are not told."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while data := await reader.read(65_536):
            writer.write(f"-{said}\r\n".encode() if b"GET" in data else b"+OK\r\n")
        writer.close()

    connections: list[asyncio.StreamWriter] = []
    redis_client = RedisClient(Secret(f"unix://{tmp_path / 'socket'}"), timing=PATIENTLY)
    async with await asyncio.start_unix_server(serve, tmp_path / "socket"):
        try:
            with pytest.raises(StoreUnavailable) as unavailable:
                await redis_client.execute("GET", "session:{00}:x")
            assert "s3cret" not in str(unavailable.value)
        finally:
            await redis_client.aclose()
            await eventually(lambda: asyncio.sleep(0, all(one.is_closing() for one in connections)))


async def test_a_closed_link_lets_nobody_wait(redis_client: RedisClient) -> None:
    """Whoever waits when the link is closed is told."""
    await redis_client.execute("PING")
    waiting = asyncio.ensure_future(redis_client.execute("ECHO", "late"))
    await asyncio.sleep(0)
    await redis_client.aclose()
    with pytest.raises(StoreUnavailable):
        await waiting


@pytest.mark.parametrize("url", ["redis://host:port", "redis://[::1", "unix://?db=x"])
def test_a_url_that_cannot_be_read_stops_the_start(url: str) -> None:
    """One line that names the setting, and not the URL."""
    with pytest.raises(StartupError, match="SERVICE_REDIS_URL") as stopped:
        RedisClient(Secret(url))
    assert url not in str(stopped.value)


async def test_who_follows_connections_is_told_of_each(redis_client: RedisClient) -> None:
    """Before a command is answered on it."""
    told: list[str] = []
    redis_client.on_connected.append(lambda: told.append("connected"))
    for number in range(1, 4):
        for _ in range(2):
            await redis_client.execute("PING")
            assert len(told) == number
        await redis_client.leave("for another")
