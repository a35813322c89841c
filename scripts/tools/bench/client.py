"""The load: closed-loop HTTP/1.1 over keep-alive connections, in a process of its own.

Requests are bytes made beforehand and answers are read no further than needed, so that the client
costs a fraction of what it measures.
"""

import asyncio
import re
import time
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import cycle
from typing import cast

import msgspec
import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_REFRESH_TOKEN = re.compile(rb"osr_[A-Za-z0-9_-]{120}")

_PATIENCE = 120
"""Seconds for all of a load."""


class Lane(msgspec.Struct, frozen=True):
    """What one connection sends: `count` requests, taken from `requests` in turn, over and over.

    A chained lane has one request. The refresh token in each answer takes the place of the one in
    the request, which has the same length.
    """

    requests: Sequence[bytes]
    count: int
    chained: bool = False


class Load(msgspec.Struct, frozen=True):
    """What all connections send to `host` and `port` at once, and the one status they expect."""

    host: str
    port: int
    lanes: Sequence[Lane]
    status: int


class Timing(msgspec.Struct, frozen=True):
    """Seconds: from the first request to the last answer, and for each request."""

    elapsed: float
    latencies: list[float]


class UnexpectedAnswer(Exception):
    """An answer with another status than expected, or none: the figures would mean nothing."""


def drive(load: Load) -> Timing:
    """Send all of it and return when every answer is here.

    Raises:
        UnexpectedAnswer: at the first one.
    """
    return uvloop.run(_drive(load))


async def _drive(load: Load) -> Timing:
    loop = asyncio.get_running_loop()
    wires = [_ClosedLoop(lane, load.status, loop.create_future()) for lane in load.lanes]
    await connect(wires, load.host, load.port)
    started = time.perf_counter()
    for wire in wires:
        wire.send(started)
    await finished(wires, _PATIENCE)
    elapsed = time.perf_counter() - started
    return Timing(elapsed, [seconds for wire in wires for seconds in wire.latencies])


async def connect(wires: Iterable["Wire"], host: str, port: int) -> None:
    """Open every connection, none of which sends anything by itself."""
    loop = asyncio.get_running_loop()
    for wire in wires:
        await loop.create_connection(partial(_same, wire), host, port)


def _same(wire: "Wire") -> "Wire":
    return wire


async def finished(wires: Iterable["Wire"], patience: float) -> None:
    """Wait until all are done, at most `patience` seconds.

    Raises:
        UnexpectedAnswer: one has failed, or they took longer.
    """
    try:
        async with asyncio.timeout(patience):
            await asyncio.gather(*(wire.done for wire in wires))
    except TimeoutError:
        raise UnexpectedAnswer(f"not all requests were answered in {patience:g} s") from None


class Wire(asyncio.Protocol):
    """A connection that sends one request at a time and has each whole answer `take`n."""

    def __init__(self, done: asyncio.Future[None]) -> None:
        self.done = done
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def write(self, request: bytes) -> None:
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data
        head = received.find(b"\r\n\r\n")
        if head < 0:
            return
        length = _LENGTH.search(received, 0, head)
        if length is not None and len(received) < head + 4 + int(length[1]):
            return
        self._received = b""
        self.take(received)

    def take(self, answer: bytes) -> None:
        raise NotImplementedError

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(UnexpectedAnswer("the server closed a connection"))

    def finish(self) -> None:
        self.done.set_result(None)
        self._transport.close()


class LaneWire(Wire):
    """A connection that sends what its lane holds. Subclasses say when, in `wait`."""

    def __init__(self, lane: Lane, status: int, done: asyncio.Future[None]) -> None:
        super().__init__(done)
        self.latencies: list[float] = []
        self._requests = cycle(lane.requests)
        self._request = next(self._requests)
        self._count = lane.count
        self._chained = lane.chained
        self._status = b" %d " % status
        self._since = 0.0

    def send(self, since: float) -> None:
        """Send the next request; its latency counts from `since`."""
        self._since = since
        self.write(self._request)

    def wait(self) -> None:
        """Called when an answer is here and more requests are to be sent."""
        raise NotImplementedError

    def take(self, answer: bytes) -> None:
        self.latencies.append(time.perf_counter() - self._since)
        if self._status not in answer[:16]:
            text = f"expected{self._status.decode()}but got:\n{answer.decode('latin-1')}"
            self.done.set_exception(UnexpectedAnswer(text))
            self._transport.close()
        elif len(self.latencies) == self._count:
            self.finish()
        else:
            self._request = self._next(answer)
            self.wait()

    def _next(self, answer: bytes) -> bytes:
        if not self._chained:
            return next(self._requests)
        successor = _REFRESH_TOKEN.search(answer)
        if successor is None:
            return self._request
        return _REFRESH_TOKEN.sub(successor[0], self._request)


class _ClosedLoop(LaneWire):
    """Sends the next request as soon as the last is answered."""

    def wait(self) -> None:
        self.send(time.perf_counter())
