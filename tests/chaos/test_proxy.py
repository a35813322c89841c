"""The bad network of tests: what it does to a connection, and that it leaves no other trace."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tools.testbed.proxy import Proxy
from tools.testbed.waiting import eventually


class Server:
    """Answers each line with the same line, and remembers all."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            self.received.append(line)
            writer.write(line)
        writer.close()


class Client:
    """A connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, line: bytes) -> None:
        self._writer.write(line)

    async def ask(self, line: bytes) -> bytes:
        """The reply, or nothing when the connection was broken instead."""
        self.send(line)
        try:
            return await self._reader.readline()
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    proxy = await Proxy(listener.sockets[0].getsockname()).start()
    yield proxy
    await proxy.stop()
    listener.close()
    await listener.wait_closed()


@asynccontextmanager
async def connected(proxy: Proxy) -> AsyncIterator[Client]:
    client = Client(*await asyncio.open_connection("127.0.0.1", proxy.port))
    yield client
    client.close()


async def test_it_forwards(proxy: Proxy) -> None:
    """Both ways, over and over."""
    async with connected(proxy) as client:
        assert [await client.ask(b"%d\n" % n) for n in range(3)] == [b"0\n", b"1\n", b"2\n"]


async def test_a_lost_reply_was_a_command_carried_out(proxy: Proxy, server: Server) -> None:
    """Only that of the wanted request, once; then the connection is over, and a new one is good."""
    async with connected(proxy) as client:
        proxy.lose_reply(lambda request: b"change" in request)
        assert await client.ask(b"read\n") == b"read\n"
        assert await client.ask(b"change\n") == b""
    assert server.received == [b"read\n", b"change\n"]
    assert proxy.replies_lost == 1
    async with connected(proxy) as client:
        assert await client.ask(b"change\n") == b"change\n"


async def test_a_cut_breaks_what_is_there(proxy: Proxy) -> None:
    """And nothing that comes later."""
    async with connected(proxy) as client, connected(proxy) as other:
        assert await client.ask(b"a\n") == await other.ask(b"a\n") == b"a\n"
        proxy.cut()
        assert await client.ask(b"b\n") == await other.ask(b"b\n") == b""
    async with connected(proxy) as client:
        assert await client.ask(b"c\n") == b"c\n"


async def test_a_parted_server_is_out_of_reach(proxy: Proxy, server: Server) -> None:
    """Until the network is healed."""
    proxy.part()
    async with connected(proxy) as client:
        assert await client.ask(b"a\n") == b""
    proxy.heal()
    async with connected(proxy) as client:
        assert await client.ask(b"b\n") == b"b\n"
    assert server.received == [b"b\n"]


async def test_what_is_held_from_a_replica_is_lost_with_the_line(
    proxy: Proxy, server: Server
) -> None:
    """Other clients notice nothing."""
    async with connected(proxy) as replica, connected(proxy) as client:
        assert await replica.ask(b"PSYNC\n") == b"PSYNC\n"
        proxy.hold_replication()
        assert await client.ask(b"change\n") == b"change\n"
        waiting = asyncio.create_task(replica.ask(b"ack\n"))

        async def written() -> bool:
            return b"ack\n" in server.received

        await eventually(written)
        assert not waiting.done()
        proxy.cut()
        assert await waiting == b""
        proxy.heal()
