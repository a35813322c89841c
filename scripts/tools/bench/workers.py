"""Two workers against one: how many more refreshes a second, and what keeps it from being twice.

On a machine whose cores are taken (client and Redis need some, too) a second worker gives little,
whatever the service does. What it would give on free cores is told by CPU: the busiest process sets
the pace, so the gain is one worker's CPU over that of the busiest of two, for as many requests. Two
get twice the connections: what a worker pays for a request falls with how many it has.
"""

from argparse import Namespace
from collections.abc import Iterator
from statistics import median

import msgspec

from tools.bench.calls import BY_NAME
from tools.bench.harness import WARM_UP, Generator, Place, place
from tools.bench.processes import embedded
from tools.bench.results import Found, Row
from tools.report.progress import StatusLine


class _Outcome(msgspec.Struct, frozen=True):
    """A load's rate, and the CPU of each process of the service: µs for a request of the whole."""

    per_second: float
    redis_cpu: float
    cpu: list[float]


async def measure(told: Namespace, tell: StatusLine) -> Found:
    """Measure rounds of fresh processes, one worker and two in turn."""
    found: dict[int, list[_Outcome]] = {1: [], 2: []}
    async with place(embedded(told.redis)) as here:
        with Generator() as generator:
            for _ in tell.rounds(told.rounds, "two workers against one"):
                for workers, several in found.items():
                    several.append(await _run(here, generator, told, workers))
    note = f"{told.connections} connections for each worker."
    return Found(list(_rows(found)), {"workers": note})


async def _run(here: Place, generator: Generator, told: Namespace, workers: int) -> _Outcome:
    connections = told.connections * workers
    with here.service(workers) as service:
        for requests in (WARM_UP, told.requests):
            lanes = await BY_NAME["refresh"].prepare(here.seeder, connections, requests)
            before = service.cpu_by_process()
            sample = await generator.closed(here, service, lanes, BY_NAME["refresh"].status)
            after = service.cpu_by_process()
    cpu = [(after[pid] - before[pid]) / connections / told.requests * 1e6 for pid in after]
    return _Outcome(sample.per_second, sample.redis_main_thread, cpu)


def _rows(found: dict[int, list[_Outcome]]) -> Iterator[Row]:
    for workers, several in found.items():
        for metric, figures, unit, digits in (
            ("CPU of the service", [sum(each.cpu) for each in several], "µs", 1),
            ("CPU of the busiest worker", [max(each.cpu) for each in several], "µs", 1),
            ("refreshes/s", [each.per_second for each in several], "", None),
        ):
            value = round(median(figures), digits)
            yield Row("workers", "refresh", metric, value, unit, by="workers", at=workers)
    gain = median(
        sum(one.cpu) / max(*two.cpu, two.redis_cpu)
        for one, two in zip(found[1], found[2], strict=True)
    )
    yield Row(
        "workers", "refresh", "× one worker, if each process had a core", round(gain, 2),
        by="workers", at=2, limit=1.7, at_least=True,
    )  # fmt: skip
