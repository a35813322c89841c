"""What calls cost with few and with many living sessions in Redis.

A store of each size has a server and a service of its own, and beside each the smallest store has
its: loads alternate between the two, so what else the machine does hits both. No append-only file
is rewritten meanwhile; what that costs is measured last.
"""

import time
from argparse import Namespace
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from statistics import median

from tools.bench.calls import BY_NAME, Call
from tools.bench.harness import Generator, Place, place
from tools.bench.processes import embedded
from tools.bench.results import Found, Row, Sample, middle, rows_of
from tools.bench.seeding import fill
from tools.report.progress import StatusLine
from tools.testbed.waiting import wait_until

_SMALLEST = 100
_LIMIT = 1.10
"""Times the smallest store's CPU and p50, for a logout on the largest."""

_CALLS = tuple(BY_NAME[name] for name in ("logout", "me", "refresh"))
_TURNS = 2  # of each store, for a call in a round
_REST = 1.0  # seconds, to see what a server does with nothing to do

Pairs = dict[str, list[tuple[Sample, Sample]]]
"""By call: samples on the smallest store and on another, taken one after the other."""


async def measure(told: Namespace, tell: StatusLine) -> Found:
    """Measure powers of ten up to the most sessions: one round each, all for the largest."""
    pairs: dict[int, Pairs] = {}
    most = told.sessions_most
    async with _filled(told, _SMALLEST, tell) as smallest:
        for size in (*(10**n for n in range(3, 10) if 10**n < most), most):
            pairs[size] = {call.name: [] for call in _CALLS}
            async with _filled(told, size, tell) as store:
                what = f"{size:,} sessions against {_SMALLEST}"
                for _ in tell.rounds(told.rounds if size == most else 1, what):
                    await _compare((smallest, store), told, pairs[size])
                note = _upkeep(store)
    return Found(list(_rows(pairs)), {"growth": f"With {most:,} sessions at rest, {note}"})


@asynccontextmanager
async def _filled(told: Namespace, sessions: int, tell: StatusLine) -> AsyncIterator[Place]:
    """Make a place with so many sessions, two for each user."""
    async with place(embedded(told.redis)) as store:
        store.redis.client.config_set("auto-aof-rewrite-percentage", 0)  # never while it counts
        with tell.counting("sessions opened", sessions) as progress:
            await fill(store.settings, sessions, progress)
        yield store


def _upkeep(store: Place) -> str:
    """Measure what a server with nothing to do takes, and a rewrite of its append-only file."""
    client, before = store.redis.client, store.redis.costs()
    time.sleep(_REST)
    busy = (store.redis.costs().cpu - before.cpu) / _REST
    client.bgrewriteaof()
    under_way = ("aof_rewrite_in_progress", "aof_rewrite_scheduled")
    wait_until(lambda: not any(client.info("persistence")[name] for name in under_way), 3600)
    return (
        f"Redis takes {busy:.1%} of a core; it stands still for "
        f"{client.info('stats')['latest_fork_usec'] / 1000:.0f} ms when it forks to rewrite its "
        f"append-only file, and its child takes "
        f"{client.info('persistence')['aof_last_rewrite_time_sec']:.0f} s."
    )


async def _compare(stores: tuple[Place, Place], told: Namespace, pairs: Pairs) -> None:
    """Measure a round: each call some times on both, with services and a client of its own."""
    smallest, store = stores
    with Generator() as generator, smallest.service() as one, store.service() as other:
        places = (smallest, one), (store, other)
        for call in _CALLS:
            for turn in range(_TURNS):
                found: dict[int, Sample] = {}
                for which in (0, 1) if turn % 2 == 0 else (1, 0):
                    found[which] = await generator.call(
                        *places[which], call, told.connections, told.requests
                    )
                pairs[call.name].append((found[0], found[1]))


def _rows(pairs: dict[int, Pairs]) -> Iterator[Row]:
    for call in _CALLS:
        every = [pair for several in pairs.values() for pair in several[call.name]]
        yield from _point(_SMALLEST, call, [(small, small) for small, _ in every], None)
        for size, several in pairs.items():
            promised = call.name == "logout" and size == max(pairs)
            yield from _point(size, call, several[call.name], _LIMIT if promised else None)


def _point(
    size: int, call: Call, pairs: Sequence[tuple[Sample, Sample]], limit: float | None
) -> Iterator[Row]:
    """Take medians of pairs: ratios are to the smallest store, measured right beside it."""
    row = Row("growth", call.name, "", 0, by="sessions", at=size)
    yield from rows_of(middle([large for _, large in pairs]), row, None, "cpu", "redis_cpu", "p50")
    for name, metric in (("cpu", "CPU × the least"), ("p50", "p50 × the least")):
        ratio = median(getattr(large, name) / getattr(small, name) for small, large in pairs)
        yield row.figure(metric, round(ratio, 3), limit=limit)
    yield row.figure("pairs", len(pairs))
