"""One connection of a guard: replies belong to who asked, and what breaks is told and closed.

Read where they arrive, and through redis-py's own streams, which is the way where a redis-py does
not show its transport.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from redis import exceptions

from service.guard.connection import BROKEN, Connection
from service.guard.replies import Replies
from service.redis.url import RedisUrl

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Open = Callable[[Peer], Awaitable[Connection]]

SHORT, LONG = 0.05, 60.0


@pytest.fixture(params=["where they arrive", "by redis-py"])
async def opened(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Open]:
    """Connects to a server that says what a test has it say."""
    if request.param == "by redis-py":
        monkeypatch.setattr(Replies, "of", lambda _: None)
    servers, wires, ended = [], [], []

    async def open_(peer: Peer) -> Connection:
        async def peer_until_it_ends(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            ended.append(over := asyncio.Event())
            await peer(reader, writer)
            writer.close()
            over.set()

        server = await asyncio.start_server(peer_until_it_ends, "127.0.0.1", 0)
        servers.append(server)
        url = RedisUrl.parse(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        wires.append(await Connection.to(url, url.hosts[0], LONG))
        return wires[-1]

    yield open_
    for wire in wires:
        await wire.close()
    for server in servers:
        server.close()
    for over in ended:
        await over.wait()


def saying(*parts: bytes, closes: bool = False) -> Peer:
    """Say these, each in a packet of its own, once asked; then wait for the other side to close."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.005)
        if not closes:
            await reader.read(1000)

    return peer


async def test_replies_in_pieces(opened: Open) -> None:
    """And several in one packet; a refusal is one of them, and what follows counts."""
    wire = await opened(saying(b"+O", b"K\r\n*2\r\n$1\r\na\r\n:", b"7\r\n-NOPERM no\r\n$-1\r\n"))
    ok, several, refusal, nothing = await wire.ask_all([("PING",)] * 4, patience=LONG)
    assert (ok, several, nothing) == (b"OK", [b"a", 7], None)
    assert isinstance(refusal, exceptions.NoPermissionError)


@pytest.mark.parametrize(
    ("peer", "patience"),
    [
        (saying(b"+OK\r\n", closes=True), LONG),
        (saying(b"+OK\r\n"), SHORT),
        (saying(b"+OK\r\n-LOADING wait\r\n"), LONG),
        (saying(b"+OK\r\nnothing of Redis\r\n"), LONG),
    ],
    ids=["closed", "silent", "loading", "malformed"],
)
async def test_what_breaks(opened: Open, peer: Peer, patience: float) -> None:
    """It is told once there is no hope, and the connection is of no use any more."""
    wire = await opened(peer)
    with pytest.raises(BROKEN):
        await wire.ask_all([("PING",), ("PING",)], patience=patience)
    with pytest.raises(BROKEN):
        await wire.ask("PING", patience=patience)


async def test_one_that_is_given_up_is_closed(opened: Open) -> None:
    """Its reply would be taken for the next one's."""

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            writer.write(b"+OK\r\n")

    wire = await opened(answering)
    asking = asyncio.create_task(wire.ask_all([("PING",), ("PING",)], patience=LONG))
    await asyncio.sleep(SHORT)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    with pytest.raises(BROKEN):
        await wire.ask("PING", patience=LONG)


@pytest.mark.parametrize("opened", ["where they arrive"], indirect=True)
async def test_a_reply_that_nobody_waits_for(opened: Open) -> None:
    """Nothing that comes after it is taken for a reply to something else."""
    wire = await opened(saying(b"+OK\r\n+one too many\r\n"))
    with suppress(exceptions.InvalidResponse):
        await wire.ask("PING", patience=LONG)
    with pytest.raises(exceptions.InvalidResponse):
        await wire.ask("PING", patience=LONG)


@pytest.mark.parametrize("opened", ["where they arrive"], indirect=True)
async def test_a_rest_before_what_is_sent(opened: Open) -> None:
    """It is over when it is ended; to end it where there is none does nothing."""
    sent = asyncio.Event()

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            sent.set()
            writer.write(b"+OK\r\n")

    wire = await opened(answering)
    wire.send_now()
    asking = asyncio.create_task(wire.ask_packed(b"PING\r\n", patience=LONG, rest=LONG))
    await asyncio.sleep(SHORT)
    assert not sent.is_set()
    wire.send_now()
    wire.send_now()
    assert await asking == b"OK"
    assert await wire.ask_packed(b"PING\r\n", patience=LONG, rest=0.001) == b"OK"
