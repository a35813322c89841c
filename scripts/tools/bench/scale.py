"""What requests cost on more workers and primaries, and what workers and guards do unasked.

CPU, messages, connections and memory: what they come to, a machine that is busy with other things
changes little. So wall times are left out, and each call has the floor right before it.
"""

import asyncio
from argparse import Namespace
from contextlib import ExitStack
from typing import Any, NamedTuple

from service.embedded.files import find_binary
from service.redis.keys import BUCKETS
from tools.bench.calls import BY_NAME, FLOOR
from tools.bench.guard_fleet import fleet
from tools.bench.harness import Generator, Place, place
from tools.bench.processes import Server, Start, of_testbed
from tools.bench.results import Found, Row
from tools.http_load.proc import proportional, tree
from tools.report.progress import StatusLine
from tools.testbed.cluster import Cluster
from tools.testbed.redis_server import NetworkServer

_WORKERS = (1, 2, 4, 8)
_PRIMARIES = (1, 3, 6)
_GUARDS = (10, 25)
_CALLS = tuple(BY_NAME[name] for name in ("logout", "me", "refresh"))
_WATCHED, _MEASURED = 1.7, 0.7
"""Times --seconds for which those who have nothing to do are watched: what a worker does every ten
seconds is to be seen; and for which their CPU is measured, to which watching would add."""
_FEWER = 4
"""A share of --requests, for logouts that guards hear of: all these have to read each."""


class _Unasked(NamedTuple):
    """What is done unasked: messages a second, and CPU of a core, in per cent."""

    messages: float
    workers: float
    redis: float


async def measure(told: Namespace, tell: StatusLine) -> Found:
    """Measure every number of workers and of guards on every number of primaries."""
    rows: list[Row] = []
    for primaries in _PRIMARIES:
        on = f"on {primaries} primaries" if primaries > 1 else "on one server"
        async with place(_start(primaries)) as here:
            await here.seeder.open(await here.seeder.accounts(BUCKETS))  # connects to all of them
            with Generator() as generator, here.floor() as empty:
                for workers in _WORKERS:
                    tell(f"{workers} workers {on}")
                    rows += await _of_workers(here, generator, empty, told, workers, on)
                tell(f"guards {on}")
                rows += await _of_guards(here, generator, told, on)
    unasked = f"what is done unasked, in {_WATCHED * told.seconds:g} s"
    return Found(
        rows,
        {
            "scale": f"{told.connections} connections for each worker; {unasked}.",
            "fleet": f"One worker; what is told of guards is what they add to it; {unasked}.",
        },
    )


def _start(primaries: int) -> Start:
    if primaries == 1:
        return of_testbed(lambda directory: NetworkServer(find_binary(), directory / "redis"))
    return of_testbed(lambda path: Cluster(path, primaries=primaries, node_timeout=15_000))


async def _of_workers(
    here: Place, generator: Generator, empty: Server, told: Namespace, workers: int, on: str
) -> list[Row]:
    """Measure calls, each after the floor, and then so many workers that have nothing to do."""
    like, nobody = Row("scale", f"{workers} workers {on}", "", 0), _connected(here)
    rows, round_trips = list[Row](), list[float]()
    with here.service(workers) as service:
        for call in _CALLS:
            least = await generator.call(here, empty, FLOOR, told.connections, told.requests)
            connections, each = told.connections * workers, max(1, told.requests // workers)
            sample = await generator.call(here, service, call, connections, each)
            rows.append(like.figure(f"{call.name}, × floor", round(sample.cpu / least.cpu, 2)))
            rows.append(like.figure(f"{call.name}, Redis CPU", round(sample.redis_cpu, 1), "µs"))
            round_trips.append(round(sample.round_trips, 2))
        service.wait_until_quiet()
        connected, unasked = _connected(here) - nobody, await _unasked(here, service, told)
        memory = sum(map(proportional, tree(service.pid))) / workers / 1e6
    return [
        *rows,
        like.figure("round trips of a call", max(round_trips)),
        like.figure("connections to Redis", connected),
        like.figure("messages/s unasked", round(unasked.messages, 1)),
        like.figure("CPU of each unasked", round(unasked.workers / workers, 2), "%"),
        like.figure("Redis CPU unasked", round(unasked.redis, 2), "%"),
        like.figure("memory of each", round(memory, 1), "MB"),
    ]


async def _of_guards(here: Place, generator: Generator, told: Namespace, on: str) -> list[Row]:
    """Measure logouts that guards hear of, and then the guards while nobody logs out."""
    rows, some = list[Row](), max(1, told.requests // _FEWER)
    logouts = BY_NAME["logout"], told.connections, some
    with here.service() as service:
        where = (
            f"{service.url}/.well-known/jwks.json", here.redis.url.reveal(),
            here.settings.issuer, here.settings.audience,
        )  # fmt: skip
        service.wait_until_quiet()
        connected, unasked = _connected(here), await _unasked(here, service, told)
        for count in _GUARDS:
            like = Row("fleet", f"{count} guards {on}", "", 0)
            alone = await generator.call(here, service, *logouts)
            service.wait_until_quiet()
            async with fleet(count, *where):
                connections, now = _connected(here), await _unasked(here, service, told)
                heard = await generator.call(here, service, *logouts)
            more = heard.redis_cpu - alone.redis_cpu
            rows += [
                like.figure("logout, Redis CPU without guards", round(alone.redis_cpu, 1), "µs"),
                like.figure("with them", round(heard.redis_cpu, 1), "µs"),
                like.figure("for each", round(more / count, 2), "µs"),
                like.figure("connections to Redis", connections - connected),
                like.figure("messages/s unasked", round(now.messages - unasked.messages, 1)),
                like.figure("Redis CPU unasked", round(now.redis - unasked.redis, 2), "%"),
            ]
    return rows


def _connected(here: Place) -> int:
    """Count the connections to all nodes."""
    return sum(node.info("clients")["connected_clients"] for node in here.redis.nodes)


async def _unasked(here: Place, service: Server, told: Namespace) -> _Unasked:
    """Look at a service that has nothing to do. What scripts call is no message."""
    seconds: float = _MEASURED * told.seconds
    before, redis = service.cpu_by_process(), here.redis.costs().cpu
    await asyncio.sleep(seconds)
    after, now = service.cpu_by_process(), here.redis.costs().cpu
    spent = sum(after[pid] - cpu for pid, cpu in before.items())
    return _Unasked(
        await _messages(here, _WATCHED * told.seconds),
        100 * spent / seconds,
        100 * (now - redis) / seconds,
    )


async def _messages(here: Place, seconds: float) -> float:
    with ExitStack() as stack:
        watched = [stack.enter_context(node.monitor()) for node in here.redis.nodes]
        await asyncio.sleep(seconds)
        return sum(map(_came, watched)) / seconds


def _came(monitor: Any) -> int:
    count = 0
    while monitor.connection.can_read(timeout=0):
        count += b" lua] " not in monitor.connection.read_response()
    return count
