"""Which of two servers is asked, when a Sentinel changes its mind at a bad moment."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import timedelta

import pytest
from tools.testbed.redis_server import NetworkServer
from tools.testbed.waiting import eventually

from service.embedded.files import find_binary
from service.errors import StoreUnavailable
from service.redis.client import RedisClient
from service.redis.node import Timing
from service.settings import Secret

KEY = b"session:{00}:x"


class StandInSentinel:
    """Names the primary that the test says. A real one cannot be stopped between two answers."""

    def __init__(self, primary: NetworkServer) -> None:
        self.primary = primary
        self.asked = 0
        self.url = Secret("")

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            for command in data.split(b"*")[1:]:
                if b"GET-MASTER-ADDR-BY-NAME" in command:
                    self.asked += 1
                    writer.write(_packed(b"127.0.0.1", str(self.primary.port).encode()))
                elif b"MASTER" in command:
                    writer.write(_packed(b"config-epoch", b"0"))
                else:  # what redis-py says of itself
                    writer.write(b"+OK\r\n")
        writer.close()


def _packed(*parts: bytes) -> bytes:
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[NetworkServer]]:
    """Two that both take themselves for the primary, and hold different things."""
    both = []
    for name in ("old", "new"):
        both.append(NetworkServer(find_binary(), tmp_path_factory.mktemp(name)).start())
        with both[-1].client() as client:
            client.set(KEY, name)
    yield both
    for server in both:
        server.stop()


@pytest.fixture
async def sentinel(servers: list[NetworkServer]) -> AsyncIterator[StandInSentinel]:
    """It names the old one until told otherwise."""
    stand_in = StandInSentinel(servers[0])
    listening = await asyncio.start_server(stand_in.answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    stand_in.url = Secret(f"redis+sentinel://127.0.0.1:{port}/sessions")
    yield stand_in
    listening.close()


@pytest.fixture
async def redis_client(sentinel: StandInSentinel) -> AsyncIterator[RedisClient]:
    redis_client = RedisClient(sentinel.url, timing=Timing(connect=timedelta(seconds=10)))
    yield redis_client
    await redis_client.aclose()


async def test_a_primary_that_comes_to_while_connected_to(
    servers: list[NetworkServer], sentinel: StandInSentinel, redis_client: RedisClient
) -> None:
    """Named when asked, hung while connected to, replaced meanwhile: it is not believed."""
    old, new = servers
    old.freeze()
    try:
        reading = asyncio.create_task(redis_client.execute("GET", KEY))
        await eventually(lambda: asyncio.sleep(0, sentinel.asked))
        sentinel.primary = new
    finally:
        old.resume()
    assert await reading == b"new"


async def test_a_primary_that_was_replaced_is_left(
    servers: list[NetworkServer], sentinel: StandInSentinel, redis_client: RedisClient
) -> None:
    """Though it is well, answers, and has not been told: the next look at a Sentinel is enough."""
    assert await redis_client.execute("GET", KEY) == b"old"
    sentinel.primary = servers[1]

    async def left() -> bool:
        with suppress(StoreUnavailable):  # who waits for a reply at that moment does not get it
            return bool(await redis_client.execute("GET", KEY) == b"new")
        return False

    await eventually(left)
