"""What a call costs the service on one server, behind Sentinels, and on a cluster."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from service.embedded.files import find_binary
from tools.bench import processes
from tools.bench.calls import BY_NAME, Call
from tools.bench.results import Found, Row
from tools.bench.seeding import Seeder, seeding
from tools.bench.speed import Pace, Runner
from tools.testbed.cluster import Cluster
from tools.testbed.redis_server import NetworkServer
from tools.testbed.sentinel import SentinelTrio

_CALLS = (BY_NAME["logout"], BY_NAME["refresh"])
_WARM_UP = 10
_BASE = "one server"


class _Place(msgspec.Struct, frozen=True):
    """A topology with a service on it."""

    name: str
    runner: Runner
    seeder: Seeder
    service: processes.Server


async def measure(pace: Pace, tell: Callable[[str], None]) -> Found:
    """CPU of the worker per call. The topologies take turns within each round."""
    costs: dict[tuple[str, str], list[float]] = {}
    spawn = multiprocessing.get_context("spawn")
    with TemporaryDirectory() as name, ExitStack() as stack:
        pool = stack.enter_context(ProcessPoolExecutor(1, mp_context=spawn))
        remotes = {
            # Their sockets lie in there, and the kernel has a limit for the path of one.
            topology: stack.enter_context(_started(kind(Path(name) / str(number))))
            for number, (topology, kind) in enumerate(_KINDS.items())
        }
        for number in range(pace.rounds):
            for topology, redis in remotes.items():
                tell(f"round {number + 1} of {pace.rounds}: {topology}")
                directory = Path(name) / f"{topology}-service"
                directory.mkdir(mode=0o700, exist_ok=True)
                async with seeding(processes.settings(directory, redis)) as seeder:
                    with processes.service(directory, redis) as service:
                        place = _Place(topology, Runner(redis, pool), seeder, service)
                        for call in _CALLS:
                            cost = await _cost(place, call, pace)
                            costs.setdefault((topology, call.name), []).append(cost)
    return Found(list(_rows(costs)))


_KINDS: dict[str, Callable[[Path], Any]] = {
    _BASE: lambda directory: NetworkServer(find_binary(), directory),
    "Sentinels": SentinelTrio,
    "cluster": Cluster,
}


@contextmanager
def _started(servers: Any) -> Iterator[processes.RedisServer]:
    """The servers while they run. All speak TCP, so that only the topology differs."""
    try:
        servers.start()
        yield processes.RedisServer(servers.url, servers.client())
    finally:
        servers.stop()


async def _cost(place: _Place, call: Call, pace: Pace) -> float:
    """µs of the worker's CPU for one call, after a short load that opens what is to be opened."""
    for requests in (_WARM_UP, pace.requests):
        lanes = await call.prepare(place.seeder, pace.connections, requests)
        sample = await place.runner.run(place.service, lanes, call.status)
    return sample.cpu


def _rows(costs: dict[tuple[str, str], list[float]]) -> Iterator[Row]:
    for (topology, name), several in costs.items():
        base = costs[_BASE, name]
        ratios = [cost / least for cost, least in zip(several, base, strict=True)]
        cpu = round(median(several), 1)
        yield Row("topologies", name, "CPU of the worker", cpu, "µs", by=topology)
        limit = None if topology == _BASE else 1.5
        ratio = round(median(ratios), 2)
        yield Row("topologies", name, "× one server", ratio, by=topology, limit=limit)
