"""The client of a flood: logins that insist, and calls that come at their hour whatever happens.

All of it is one process with one event loop that waits nearly all of the time: some 200 requests a
second, where it could send 15,000.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

import msgspec
import uvloop

from benchmark.client import Lane, LaneWire, Wire, connect, finished

_PAUSE = 0.5
"""Seconds after which a login that was shed comes again: sooner than Retry-After asks for."""

_PATIENCE = 60  # seconds longer than planned


class Trickle(msgspec.Struct, frozen=True):
    """Lanes of one call, which together send `per_second` requests a second, evenly."""

    name: str
    lanes: Sequence[Lane]
    status: int
    per_second: float


class Storm(msgspec.Struct, frozen=True):
    """Trickles, and beside them a connection for each of `logins`, which it sends over and over."""

    host: str
    port: int
    trickles: Sequence[Trickle]
    logins: Sequence[bytes]


class Aftermath(msgspec.Struct, frozen=True):
    """Seconds: of each trickle's requests, from when each was due, and altogether.

    `answers` counts those to logins by status; `without_retry_after` the 503 that lack it.
    """

    latencies: dict[str, list[float]]
    elapsed: float
    answers: dict[int, int]
    without_retry_after: int


def drive(storm: Storm) -> Aftermath:
    """Send it all and return when every trickle has run dry. Logins still open are dropped.

    Raises:
        UnexpectedAnswer: at the first one.
    """
    return uvloop.run(_drive(storm))


async def _drive(storm: Storm) -> Aftermath:
    loop = asyncio.get_running_loop()
    trickles = {trickle.name: _paced(trickle) for trickle in storm.trickles}
    paced = [wire for wires in trickles.values() for wire in wires]
    logins = [_Insistent(login, loop.create_future()) for login in storm.logins]
    await connect([*paced, *logins], storm.host, storm.port)
    started = time.perf_counter()
    for number, login in enumerate(logins):  # they come within a second, not all at once
        loop.call_later(number / len(logins), login.send)
    for number, wires in enumerate(trickles.values()):
        for place, wire in enumerate(wires):
            share = (place + number / len(trickles)) / len(wires)
            wire.start(share)
    await finished(paced, _PATIENCE + max(wire.duration for wire in paced))
    elapsed = time.perf_counter() - started
    for login in logins:
        login.finish()
    answers = sum((login.answers for login in logins), Counter[int]())
    return Aftermath(
        {name: [s for wire in wires for s in wire.latencies] for name, wires in trickles.items()},
        elapsed,
        dict(answers),
        sum(login.without_retry_after for login in logins),
    )


def _paced(trickle: Trickle) -> list["_Paced"]:
    loop = asyncio.get_running_loop()
    period = len(trickle.lanes) / trickle.per_second
    return [_Paced(lane, trickle.status, loop.create_future(), period) for lane in trickle.lanes]


class _Paced(LaneWire):
    """Sends a request every `period` seconds, however long the answers take.

    What is due before the last answer is here goes out right after it, and its latency counts from
    when it was due.
    """

    def __init__(self, lane: Lane, status: int, done: asyncio.Future[None], period: float) -> None:
        super().__init__(lane, status, done)
        self.duration = period * lane.count
        self._period = period
        self._left = lane.count
        self._overdue: list[float] = []
        self._busy = False

    def start(self, share: float) -> None:
        """Begin after this share of a period."""
        loop = asyncio.get_running_loop()
        self._next_at = loop.time() + share * self._period
        loop.call_at(self._next_at, self._tick)

    def _tick(self) -> None:
        self._left -= 1
        if self._left:
            self._next_at += self._period
            asyncio.get_running_loop().call_at(self._next_at, self._tick)
        self._overdue.append(time.perf_counter())
        if not self._busy:
            self._busy = True
            self.send(self._overdue.pop(0))

    def wait(self) -> None:
        self._busy = bool(self._overdue)
        if self._busy:
            self.send(self._overdue.pop(0))


class _Insistent(Wire):
    """Logs in again as soon as it is logged in, and after a pause when it was shed."""

    def __init__(self, login: bytes, done: asyncio.Future[None]) -> None:
        super().__init__(done)
        self.answers = Counter[int]()
        self.without_retry_after = 0
        self._login = login

    def send(self) -> None:
        if not self.done.done():
            self.write(self._login)

    def take(self, answer: bytes) -> None:
        status = int(answer[9:12])
        self.answers[status] += 1
        if status == 503 and b"\r\nretry-after: " not in answer.lower():
            self.without_retry_after += 1
        asyncio.get_running_loop().call_later(0 if status == 200 else _PAUSE, self.send)
