"""Nobody's connection, and no number of them, keeps the event loop for long; in process."""

import asyncio
import gc
import weakref
from typing import Any

import pytest

from service.serving.connections import Connections
from service.web.connection import Connection
from service.web.deadlines import DEADLINES, Deadlines
from service.web.protocol import Protocol
from tests.web.in_process import Receive, Send, answer, connected, read, respond
from tests.web.wire import error_of, parse

POST = b"POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


async def echo(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """An app that answers with the length of the body."""
    await respond(send, b"%d" % len(await read(receive)))


class Turns:
    """Counts what is done between two passes of the event loop, at most."""

    def __init__(self) -> None:
        self.most = self.all = self._now = 0
        self._loop = asyncio.get_running_loop()
        self._wanted = 0
        self._reached = asyncio.Event()
        self._next()

    def _next(self) -> None:
        self._now = 0
        self._handle = self._loop.call_soon(self._next)

    def count(self, *_: object) -> None:
        self._now += 1
        self.all += 1
        self.most = max(self.most, self._now)
        if self._wanted and self.all >= self._wanted:
            self._reached.set()

    async def until(self, wanted: int) -> None:
        self._wanted = wanted
        async with asyncio.timeout(10):
            await self._reached.wait()
        await asyncio.sleep(0)  # the end of the same pass

    def stop(self) -> None:
        self._handle.cancel()


async def test_chunks_are_read_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """4,000 single bytes in one read: some hundred in one pass of the loop, and all are read."""
    turns, on_body = Turns(), Protocol.on_body

    def counted(self: Protocol, body: bytes) -> None:
        turns.count()
        on_body(self, body)

    monkeypatch.setattr(Protocol, "on_body", counted)
    async with connected(echo) as (_, client):
        sent = CHUNKED + b"1\r\nx\r\n" * 4000 + b"0\r\n\r\n"
        assert parse(await answer(client, sent)).text == "4000"
    turns.stop()
    assert turns.all == 4000
    assert turns.most < 400


@pytest.mark.parametrize(
    "behind", [b"", b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"]
)
async def test_what_follows_waits_for_its_turn(behind: bytes) -> None:
    """A request behind many chunks in the same read, and a client that sends no more then."""
    async with connected(echo) as (_, client):
        sent = CHUNKED.replace(b"Connection: close\r\n", b"") + b"1\r\nx\r\n" * 2000 + b"0\r\n\r\n"
        received = await answer(client, sent + behind)
    bodies = [part.rpartition(b"\r\n\r\n")[2] for part in received.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == ([b"2000", b"0"] if behind else [b"2000"])


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [(b"", 431, "headers_too_large"), (b"?" + b"q" * 1100, 414, "uri_too_long")],
)
async def test_a_head_of_many_fields_is_not_read_on(
    monkeypatch: pytest.MonkeyPatch, query: bytes, status: int, code: str
) -> None:
    """Of 15,000 fields some thousand are looked at, in one read or in two."""
    turns, on_header = Turns(), Protocol.on_header

    def counted(self: Protocol, name: bytes, value: bytes) -> None:
        turns.count()
        on_header(self, name, value)

    monkeypatch.setattr(Protocol, "on_header", counted)
    async with connected(echo) as (_, client):
        head = POST.replace(b" / ", b" /" + query + b" ")
        found = parse(await answer(client, head + b"a:\r\n" * 15_000 + b"\r\n"))
        assert (found.status_code, error_of(found)) == (status, code)
    turns.stop()
    assert turns.all <= 1025


@pytest.mark.parametrize("sent", [b"", POST, POST + b"Content-Length: 9\r\n\r\n{", CHUNKED + b"1"])
async def test_who_goes_leaves_no_cycle(sent: bytes) -> None:
    """What a request held is free as soon as its client has gone, without a search for cycles."""
    loop = asyncio.get_running_loop()
    gc.collect()
    gc.disable()
    try:
        async with connected(echo) as (protocol, client):
            await loop.sock_sendall(client, sent)
            ended = weakref.ref(protocol)
            del protocol
            await asyncio.sleep(0.01)
            assert ended() is not None
        for _ in range(10):  # the app ends
            await asyncio.sleep(0)
        assert ended() is None
    finally:
        gc.enable()


class Waiting(Connection):
    """A connection that waits for its client, and counts how often it is looked at."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.transport = self  # type: ignore[assignment]  # what ends it
        self.ended = False

    def pass_time(self, seconds: float, deadlines: Deadlines) -> None:
        self._turns.count()

    def standing(self) -> tuple[bool, bool, float, int]:
        self._turns.count()
        return False, False, 0.0, id(self)

    def abort(self) -> None:
        self.ended = True


async def test_many_are_looked_at_in_turns() -> None:
    """1,000 connections: a tenth of them in one pass of the loop, and each in the end."""
    turns = Turns()
    connections = {Waiting(turns) for _ in range(1000)}
    watch = Connections(connections, DEADLINES)
    await turns.until(1000)
    watch.stop()
    turns.stop()
    assert turns.most <= 100


async def test_room_is_made_without_looking_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once there is no room, who makes it was chosen before, when each was looked at anyway."""
    turns = Turns()
    connections = {Waiting(turns) for _ in range(1000)}
    monkeypatch.setattr("service.serving.connections.most_connections", lambda _: 1000)
    watch = Connections(connections, DEADLINES)
    await turns.until(2000)
    watch.stop()
    turns.stop()
    looked = turns.all
    for number in range(1, 6):
        watch.make_room()
        assert sum(connection.ended for connection in connections) == 16 * number
    assert turns.all - looked == 80
