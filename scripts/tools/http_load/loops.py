"""Closed and open loops over connections of their own.

A closed loop sends the next request when the last is answered. An open loop sends each at the time
at which it is due, alone or in bursts, and a latency counts from then: what waits for the answer
before it is charged for the wait. A retrying loop sends one request over and over, and again after
a pause when it was shed.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from itertools import count, cycle, islice, repeat
from typing import Any

import msgspec
import uvloop

from tools.http_load.connection import Connection, Endpoint, LostError

_REFRESH_TOKEN = re.compile(rb"osr_[A-Za-z0-9_-]{120}")

_PATIENCE = 120
"""Seconds that a load may take beyond what is planned."""

_PAUSE = 0.5
"""Seconds after which a request that was shed comes again: sooner than Retry-After asks for."""


class UnexpectedAnswer(Exception):
    """An answer with another status than expected, or none: the figures would mean nothing."""


class Lane(msgspec.Struct, frozen=True):
    """What one connection sends: `count` requests, taken from `requests` in turn, over and over.

    A chained lane has one request. The refresh token in each answer takes the place of the one in
    the request, which has the same length.
    """

    requests: Sequence[bytes]
    count: int
    chained: bool = False


class OpenLoop(msgspec.Struct, frozen=True):
    """Lanes of one call, which together send `per_second` requests a second, evenly.

    Or in bursts: each lane is due to send `at_once` requests at once, all at the same instant.
    """

    name: str
    lanes: Sequence[Lane]
    status: int
    per_second: float
    at_once: int = 1

    @property
    def period(self) -> float:
        """Seconds between two times at which a lane is due."""
        return len(self.lanes) * self.at_once / self.per_second

    def times(self, started: float, share: float) -> Iterator[float]:
        """Say when a lane is due that begins after this share of a period; bursts come together."""
        first = started + (share * self.period if self.at_once == 1 else 0)
        return (first + number // self.at_once * self.period for number in count())


class Timing(msgspec.Struct, frozen=True):
    """Seconds: from the first request to the last answer, and for each request."""

    elapsed: float
    latencies: list[float]


class Outcome(msgspec.Struct, frozen=True):
    """Of open loops: seconds of each one's requests, from when each was due.

    Of retrying loops: how many answers of which status, how many 503 that lack Retry-After, and the
    rate of successes, taken to the last, since the next ones are half done by then.
    """

    latencies: dict[str, list[float]]
    successes_per_second: float
    answers: dict[int, int]
    without_retry_after: int


def closed(endpoint: Endpoint, lanes: Sequence[Lane], status: int) -> Timing:
    """Send all lanes at once in closed loops, and return when every answer is here.

    Raises:
        UnexpectedAnswer: at the first one.
    """
    return uvloop.run(_closed(endpoint, lanes, status))


def open_and_retrying(
    endpoint: Endpoint,
    loops: Sequence[OpenLoop],
    retrying: Sequence[bytes] = (),
    seconds: float = 0,
) -> Outcome:
    """Run open loops, and beside them a retrying loop for each request of `retrying`.

    It is over when the open loops have sent everything; without any, after `seconds` and a first
    success. What is then still under way of the retrying loops is dropped.

    Raises:
        UnexpectedAnswer: at the first one of an open loop.
    """
    return uvloop.run(_open_and_retrying(endpoint, loops, retrying, seconds))


async def _closed(endpoint: Endpoint, lanes: Sequence[Lane], status: int) -> Timing:
    connections = [await Connection.to(endpoint) for _ in lanes]
    started = time.perf_counter()
    found = await _all(
        (_send(*each, status, repeat(None)) for each in zip(connections, lanes, strict=True)),
        _PATIENCE,
    )
    return Timing(time.perf_counter() - started, [seconds for each in found for seconds in each])


async def _open_and_retrying(
    endpoint: Endpoint, loops: Sequence[OpenLoop], retrying: Sequence[bytes], seconds: float
) -> Outcome:
    lanes = [
        (await Connection.to(endpoint), lane, loop, (place + number / len(loops)) / len(loop.lanes))
        for number, loop in enumerate(loops)
        for place, lane in enumerate(loop.lanes)
    ]
    succeeded = asyncio.Event()
    insistent = [
        _Retrying(await Connection.to(endpoint), request, succeeded) for request in retrying
    ]
    started = time.perf_counter()
    beside = [
        # They come within a second, not all at once.
        asyncio.create_task(each.run(number / len(insistent)))
        for number, each in enumerate(insistent)
    ]
    longest = max((loop.period * lane.count for _, lane, loop, _ in lanes), default=0.0)
    work = (
        _send(connection, lane, loop.status, loop.times(started, share))
        for connection, lane, loop, share in lanes
    )
    try:
        found = await _all(work, longest + _PATIENCE)
        if not lanes:
            await asyncio.sleep(seconds)
            async with asyncio.timeout(_PATIENCE):
                await succeeded.wait()
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    latencies: dict[str, list[float]] = {loop.name: [] for loop in loops}
    for (_, _, loop, _), several in zip(lanes, found, strict=True):
        latencies[loop.name] += several
    answers = sum((each.answers for each in insistent), Counter[int]())
    last = max((each.succeeded_at for each in insistent), default=0.0)
    return Outcome(
        latencies,
        answers[200] / (last - started) if last else 0.0,
        dict(answers),
        sum(each.without_retry_after for each in insistent),
    )


async def _send(
    connection: Connection, lane: Lane, status: int, times: Iterator[float | None]
) -> list[float]:
    """Send each request when it is due, or without a time when the one before is answered.

    Seconds of each, from when it was due or sent. Raises `UnexpectedAnswer`.
    """
    latencies, token = [], b""
    for request, at in zip(islice(cycle(lane.requests), lane.count), times, strict=False):
        sent = _REFRESH_TOKEN.sub(token, request) if token else request
        if at is not None and (wait := at - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        due = at or time.perf_counter()
        answer = await connection.exchange(sent)
        latencies.append(time.perf_counter() - due)
        if answer.status != status:
            text = (answer.head + answer.body).decode("latin-1")
            raise UnexpectedAnswer(f"expected {status} but got:\n{text}")
        if lane.chained and (found := _REFRESH_TOKEN.search(answer.body)):
            token = found[0]
    connection.close()
    return latencies


class _Retrying:
    def __init__(self, connection: Connection, request: bytes, succeeded: asyncio.Event) -> None:
        self.answers = Counter[int]()
        self.without_retry_after = 0
        self.succeeded_at = 0.0
        self._connection = connection
        self._request = request
        self._succeeded = succeeded

    async def run(self, delay: float) -> None:
        await asyncio.sleep(delay)
        while True:
            answer = await self._connection.exchange(self._request)
            self.answers[answer.status] += 1
            if answer.status == 200:
                self.succeeded_at = time.perf_counter()
                self._succeeded.set()
                continue
            self.without_retry_after += answer.status == 503 and not answer.asks_to_retry
            await asyncio.sleep(_PAUSE)


async def _all(
    work: Iterable[Coroutine[Any, Any, list[float]]], patience: float
) -> list[list[float]]:
    """Give the results of all, in order. Raises `UnexpectedAnswer` for the first that fails."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        async with asyncio.timeout(patience):
            return list(await asyncio.gather(*tasks))
    except TimeoutError:
        raise UnexpectedAnswer(f"not all requests were answered in {patience:g} s") from None
    except LostError as error:
        raise UnexpectedAnswer(str(error)) from None
    finally:
        for task in tasks:
            task.cancel()
