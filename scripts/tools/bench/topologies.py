"""What a call costs the service on one server, behind Sentinels, and on a cluster."""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import AsyncExitStack
from statistics import median

from service.embedded.files import find_binary
from tools.bench.calls import BY_NAME
from tools.bench.harness import Generator, place
from tools.bench.processes import Start, of_testbed
from tools.bench.results import Found, Row
from tools.report.progress import StatusLine
from tools.testbed.cluster import Cluster
from tools.testbed.redis_server import NetworkServer
from tools.testbed.sentinel import SentinelTrio

_CALLS = (BY_NAME["logout"], BY_NAME["refresh"])
_BASE = "one server"
_KINDS: dict[str, Start] = {
    _BASE: of_testbed(lambda directory: NetworkServer(find_binary(), directory / "r")),
    "Sentinels": of_testbed(SentinelTrio),
    "cluster": of_testbed(Cluster),
}


async def measure(told: Namespace, tell: StatusLine) -> Found:
    """Measure the CPU of the worker per call. The topologies take turns within each round."""
    costs: dict[tuple[str, str], list[float]] = {}
    async with AsyncExitStack() as stack:
        generator = stack.enter_context(Generator())
        places = {
            topology: await stack.enter_async_context(place(start))
            for topology, start in _KINDS.items()
        }
        for step in tell.rounds(told.rounds, "topologies"):
            for topology, here in places.items():
                tell(f"{step}: {topology}")
                with here.service() as service:
                    for call in _CALLS:
                        sample = await generator.call(
                            here, service, call, told.connections, told.requests
                        )
                        costs.setdefault((topology, call.name), []).append(sample.cpu)
    return Found(list(_rows(costs)))


def _rows(costs: dict[tuple[str, str], list[float]]) -> Iterator[Row]:
    for (topology, name), several in costs.items():
        base = costs[_BASE, name]
        ratio = median(cost / least for cost, least in zip(several, base, strict=True))
        cpu, limit = round(median(several), 1), None if topology == _BASE else 1.5
        yield Row("topologies", name, "CPU of the worker", cpu, "µs", by=topology)
        yield Row("topologies", name, "× one server", round(ratio, 2), by=topology, limit=limit)
