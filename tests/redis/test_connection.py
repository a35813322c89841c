"""A connection that all requests share, opposite a server that says just what a test has it say."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from redis import exceptions
from redis.asyncio.connection import Connection

from service.redis.connection import MultiplexedConnection, ReplicatedConnection
from service.redis.node import CONNECTION, Node, NotConnected, Timing

_PATIENCE = 30.0


class Server:
    """A server with one client."""

    def __init__(self) -> None:
        self.writer = asyncio.get_running_loop().create_future()
        self.heard = b""
        self.greeting = b""
        self.done = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.greeting)
        self.writer.set_result(writer)
        with suppress(ConnectionError):
            while more := await reader.read(65_536):
                self.heard += more
            writer.close()
            await writer.wait_closed()
        self.done.set()

    async def say(self, *pieces: bytes) -> None:
        """Send these pieces, each by itself."""
        writer = await self.writer
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)  # else two might arrive as one: then less is shown


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Server, Connection]]:
    """Serve one client; the connection to it is not open yet."""
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    connection = Connection(host="127.0.0.1", port=port, **CONNECTION)
    try:
        yield server, connection
    finally:
        await connection.disconnect(nowait=True)
        async with asyncio.timeout(60):
            await server.done.wait()
        listening.close()


async def test_replies_in_pieces() -> None:
    """Each reply goes to whoever has waited longest, however the bytes arrive; errors, too."""
    async with serving() as (server, connection):
        await connection.connect()
        line = MultiplexedConnection(connection, _PATIENCE)
        asked = [line.ask(("ECHO", number)) for number in range(5)]
        await server.say(
            b"+a\r\n$3\r\nb", b"cd\r", b"\n*2\r\n:1\r\n", b":2\r\n-NOSCRIPT x\r\n-ERR y\r\n"
        )
        assert [await reply for reply in asked[:3]] == [b"a", b"bcd", [1, 2]]
        with pytest.raises(exceptions.NoScriptError):
            await asked[3]
        with pytest.raises(exceptions.ResponseError, match="y"):
            await asked[4]
        assert not line.broken
        await line.fail(exceptions.ConnectionError("done"))


@pytest.mark.parametrize(
    "said",
    [b"+first\r\n+second\r\n", b"+first\r\n?nonsense\r\n", b"+first\r\n-LOADING of what\r\n"],
)
async def test_what_cannot_be_trusted(said: bytes) -> None:
    """After a reply that nobody waits for, or none that can be read, nobody gets another's."""
    async with serving() as (server, connection):
        await connection.connect()
        line, broken = MultiplexedConnection(connection, _PATIENCE), asyncio.Event()
        line.on_broken = broken.set
        first = line.ask(("GET", "x"))
        if b"LOADING" in said:
            waiting = line.ask(("GET", "y"))
        await server.say(said)
        assert await first == b"first"
        await broken.wait()
        if b"LOADING" in said:
            with pytest.raises(exceptions.ConnectionError):
                await waiting
        with pytest.raises(exceptions.ConnectionError):
            line.ask(("GET", "z"))


async def test_a_server_that_hangs_up() -> None:
    """All who wait learn it, once, and what is asked afterwards is not sent."""
    async with serving() as (server, connection):
        await connection.connect()
        line, broken = MultiplexedConnection(connection, _PATIENCE), list[bool]()
        line.on_broken = lambda: broken.append(line.broken)
        waiting = [line.ask(("GET", "x")) for _ in range(3)]
        (await server.writer).close()
        for reply in waiting:
            with pytest.raises(exceptions.ConnectionError):
                await reply
        await line.fail(exceptions.ConnectionError("again"))
        assert broken == [True]


async def test_commands_while_the_transport_takes_no_more() -> None:
    """They wait, in their order, and go out once it does."""
    async with serving() as (server, connection):
        await connection.connect()
        line = MultiplexedConnection(connection, _PATIENCE)
        line.pause_writing()
        asked = [line.ask(("GET", "a")), line.ask(("GET", "b"))]
        await asyncio.sleep(0.05)
        assert server.heard == b""
        line.resume_writing()
        await server.say(b"+1\r\n+2\r\n")
        assert [await reply for reply in asked] == [b"1", b"2"]
        assert server.heard.index(b"\r\na\r\n") < server.heard.index(b"\r\nb\r\n")
        await line.fail(exceptions.ConnectionError("done"))


async def test_what_a_server_says_before_it_is_asked() -> None:
    """Such a connection is not used: the first command would get it for a reply."""
    async with serving() as (server, connection):
        server.greeting = b"+welcome\r\n"

        async def connect() -> Connection:
            await connection.connect()
            while not await connection.can_read():  # noqa: ASYNC110  redis-py has no event for it
                await asyncio.sleep(0.001)
            return connection

        node = Node(connect, Timing(), 0)
        with pytest.raises(NotConnected):
            await node.ask(("GET", "x"), False)
        await node.aclose()


async def test_a_batch_that_no_replica_can_confirm_any_more() -> None:
    """Whoever waits learns it, and nothing of it is told to the event loop."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    async with serving() as (server, connection):
        await connection.connect()
        line = ReplicatedConnection(connection, _PATIENCE, 1)
        first, second = line.ask(("DEL", "a")), line.ask(("DEL", "b"))
        await server.say(b":1\r\n:1\r\n")
        later = line.ask(("DEL", "c"))  # not before replicas have the others
        await asyncio.sleep(0.05)
        assert b"\r\nc\r\n" not in server.heard
        (await server.writer).close()
        for reply in (first, second, later):
            with pytest.raises(exceptions.ConnectionError):
                await reply
        del line
    await asyncio.sleep(0)
    gc.collect()
    assert told == []
