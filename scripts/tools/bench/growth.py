"""What calls cost with few and with many living sessions in Redis.

A store of each size has a server and a service of its own, and beside each the smallest store has
its: loads alternate between the two, so what else the machine does hits both. No append-only file
is rewritten meanwhile; what that costs is measured last.
"""

import multiprocessing
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from tools.bench import processes
from tools.bench.calls import BY_NAME, Call
from tools.bench.results import Found, Row, Sample, middle, rows_of
from tools.bench.seeding import Seeder, fill, seeding
from tools.bench.speed import Pace, Runner
from tools.bench.steps import Steps

SMALLEST = 100
_LIMIT = 1.10
"""Times the smallest store's CPU and p50, for a logout on the largest."""

_CALLS = tuple(BY_NAME[name] for name in ("logout", "me", "refresh"))
_WARM_UP = 10  # requests on each connection
_TURNS = 2  # of each store, for a call in a round
_REST = 1.0  # seconds, to see what a server does with nothing to do


class _Store(msgspec.Struct, frozen=True):
    sessions: int
    directory: Path
    redis: processes.RedisServer


class _Place(msgspec.Struct, frozen=True):
    """A store with a service on it."""

    runner: Runner
    seeder: Seeder
    service: processes.Server


Pairs = dict[str, list[tuple[Sample, Sample]]]
"""By call: samples on the smallest store and on another, taken one after the other."""


async def measure(binary: Path | None, pace: Pace, most: int, tell: Steps) -> Found:
    """Powers of ten up to `most` sessions: one round each, and for the largest all of them."""
    pairs: dict[int, Pairs] = {}
    with _started(binary, SMALLEST) as smallest:
        await _fill(smallest, tell)
        for size in sizes(most):
            with _started(binary, size) as store:
                await _fill(store, tell)
                pairs[size] = {call.name: [] for call in _CALLS}
                rounds = pace.rounds if size == most else 1
                for number in range(rounds):
                    tell(f"round {number + 1} of {rounds}: {size:,} sessions against {SMALLEST}")
                    await _compare(smallest, store, pace, pairs[size])
                upkeep = _upkeep(store.redis)
    rewrite, fork, idle = upkeep
    note = (
        f"With {most:,} sessions at rest, Redis takes {idle:.1%} of a core; it stands still for "
        f"{fork:.0f} ms when it forks to rewrite its append-only file, and its child takes "
        f"{rewrite:.0f} s."
    )
    return Found(list(_rows(pairs)), {"growth": note})


def sizes(most: int) -> list[int]:
    """Those that are compared with the smallest; the largest is the last."""
    powers = (10**exponent for exponent in range(3, 10))
    return [*(size for size in powers if size < most), most]


@contextmanager
def _started(binary: Path | None, sessions: int) -> Iterator[_Store]:
    with TemporaryDirectory() as name, processes.redis_server(Path(name), binary) as redis:
        redis.client.config_set("auto-aof-rewrite-percentage", 0)  # never while it is measured
        yield _Store(sessions, Path(name), redis)


async def _fill(store: _Store, tell: Steps) -> None:
    """Open the sessions, two for each user."""
    settings = processes.settings(store.directory, store.redis)
    with tell.counting("sessions opened", store.sessions) as progress:
        await fill(settings, store.sessions, progress)


def _rewrite(client: Any) -> None:
    """Have the append-only file rewritten, and wait for it."""
    client.bgrewriteaof()
    while (info := client.info("persistence"))["aof_rewrite_in_progress"] or info[
        "aof_rewrite_scheduled"
    ]:
        time.sleep(0.05)


def _upkeep(redis: processes.RedisServer) -> tuple[float, float, float]:
    """Seconds of a rewrite, ms of its fork, the share of a core taken in peace."""
    client, before = redis.client, redis.costs()
    time.sleep(_REST)
    busy = (redis.costs().cpu - before.cpu) / _REST
    _rewrite(client)
    seconds = float(client.info("persistence")["aof_last_rewrite_time_sec"])
    return seconds, client.info("stats")["latest_fork_usec"] / 1000, round(busy, 4)


async def _compare(smallest: _Store, store: _Store, pace: Pace, pairs: Pairs) -> None:
    """A round: each call some times on both, with services and a client of its own."""
    spawn = multiprocessing.get_context("spawn")
    async with AsyncExitStack() as stack:
        pool = stack.enter_context(ProcessPoolExecutor(1, mp_context=spawn))
        places = [
            await stack.enter_async_context(_served(each, pool)) for each in (smallest, store)
        ]
        for call in _CALLS:
            for place in places:
                await _load(place, call, pace.connections, _WARM_UP)
            for turn in range(_TURNS):
                found: dict[int, Sample] = {}
                for which in (0, 1) if turn % 2 == 0 else (1, 0):
                    found[which] = await _load(places[which], call, pace.connections, pace.requests)
                pairs[call.name].append((found[0], found[1]))


@asynccontextmanager
async def _served(store: _Store, pool: ProcessPoolExecutor) -> AsyncIterator[_Place]:
    with processes.service(store.directory, store.redis) as service:
        async with seeding(processes.settings(store.directory, store.redis)) as seeder:
            yield _Place(Runner(store.redis, pool), seeder, service)


async def _load(place: _Place, call: Call, connections: int, requests: int) -> Sample:
    lanes = await call.prepare(place.seeder, connections, requests)
    return await place.runner.run(place.service, lanes, call.status)


def _rows(pairs: dict[int, Pairs]) -> Iterator[Row]:
    largest = max(pairs)
    for call in _CALLS:
        every = [pair for several in pairs.values() for pair in several[call.name]]
        yield from _point(SMALLEST, call, [(small, small) for small, _ in every], None)
        for size, several in pairs.items():
            promised = call.name == "logout" and size == largest
            yield from _point(size, call, several[call.name], _LIMIT if promised else None)


def _point(
    size: int, call: Call, pairs: Sequence[tuple[Sample, Sample]], limit: float | None
) -> Iterator[Row]:
    """The ratios are to the smallest store, measured right beside it: medians of pairs."""
    row = Row("growth", call.name, "", 0, by="sessions", at=size)
    yield from rows_of(middle([large for _, large in pairs]), row, None, "cpu", "redis_cpu", "p50")
    for name, metric in (("cpu", "CPU × the least"), ("p50", "p50 × the least")):
        ratio = median(getattr(large, name) / getattr(small, name) for small, large in pairs)
        yield msgspec.structs.replace(row, metric=metric, value=round(ratio, 3), limit=limit)
    yield msgspec.structs.replace(row, metric="pairs", value=len(pairs))
