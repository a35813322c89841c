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

from tools.bench.client import Lane, LaneWire, Wire, connect, finished

_PAUSE = 0.5
"""Seconds after which a login that was shed comes again: sooner than Retry-After asks for."""

_PATIENCE = 60  # seconds longer than planned


class Trickle(msgspec.Struct, frozen=True):
    """Lanes of one call, which together send `per_second` requests a second, evenly.

    Or in bursts: each lane is due to send `at_once` requests at once, all at the same instant.
    """

    name: str
    lanes: Sequence[Lane]
    status: int
    per_second: float
    at_once: int = 1


class Storm(msgspec.Struct, frozen=True):
    """Trickles, and beside them a connection for each of `logins`, which it sends over and over.

    It is over when the trickles have run dry; without any, after `seconds`.
    """

    host: str
    port: int
    trickles: Sequence[Trickle]
    logins: Sequence[bytes] = ()
    seconds: float = 0


class Aftermath(msgspec.Struct, frozen=True):
    """Seconds: of each trickle's requests, from when each was due.

    `answers` counts those to logins by status; `without_retry_after` the 503 that lack it. A rate
    of logins is taken to the last that has succeeded, since the next ones are half done by then.
    """

    latencies: dict[str, list[float]]
    logins_per_second: float
    answers: dict[int, int]
    without_retry_after: int


def drive(storm: Storm) -> Aftermath:
    """Send it all and return when it is over. Logins still open are dropped.

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
            wire.start((place + number / len(trickles)) / len(wires))
    if paced:
        await finished(paced, _PATIENCE + max(wire.duration for wire in paced))
    else:
        await asyncio.sleep(storm.seconds)
    for login in logins:
        login.finish()
    answers = sum((login.answers for login in logins), Counter[int]())
    return Aftermath(
        {name: [s for wire in wires for s in wire.latencies] for name, wires in trickles.items()},
        _rate(logins, started),
        dict(answers),
        sum(login.without_retry_after for login in logins),
    )


def _rate(logins: Sequence["_Insistent"], started: float) -> float:
    last = max((login.succeeded_at for login in logins), default=0.0)
    return sum(login.answers[200] for login in logins) / (last - started) if last else 0.0


def _paced(trickle: Trickle) -> list["_Paced"]:
    loop = asyncio.get_running_loop()
    return [_Paced(lane, trickle, loop.create_future()) for lane in trickle.lanes]


class _Paced(LaneWire):
    """Sends its share of a trickle at its hours, however long the answers take.

    What is due before the last answer is here goes out right after it, and its latency counts from
    when it was due.
    """

    def __init__(self, lane: Lane, trickle: Trickle, done: asyncio.Future[None]) -> None:
        super().__init__(lane, trickle.status, done)
        self.duration = len(trickle.lanes) * lane.count / trickle.per_second
        self._at_once = trickle.at_once
        self._period = len(trickle.lanes) * trickle.at_once / trickle.per_second
        self._left = lane.count
        self._overdue: list[float] = []
        self._busy = False

    def start(self, share: float) -> None:
        """Begin after this share of a period; bursts come together."""
        loop = asyncio.get_running_loop()
        self._next_at = loop.time() + (share * self._period if self._at_once == 1 else 0)
        loop.call_at(self._next_at, self._tick)

    def _tick(self) -> None:
        due = min(self._at_once, self._left)
        self._left -= due
        if self._left:
            self._next_at += self._period
            asyncio.get_running_loop().call_at(self._next_at, self._tick)
        self._overdue += [time.perf_counter()] * due
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
        self.succeeded_at = 0.0
        self._login = login

    def send(self) -> None:
        if not self.done.done():
            self.write(self._login)

    def take(self, answer: bytes) -> None:
        status = int(answer[9:12])
        self.answers[status] += 1
        if status == 200:
            self.succeeded_at = time.perf_counter()
        if status == 503 and b"\r\nretry-after: " not in answer.lower():
            self.without_retry_after += 1
        asyncio.get_running_loop().call_later(0 if status == 200 else _PAUSE, self.send)
