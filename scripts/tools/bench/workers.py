"""Two workers against one: how many more refreshes a second, and what keeps it from being twice.

On a machine whose cores are taken (client and Redis need some, too) a second worker gives little,
whatever the service does. What it would give on free cores is told by CPU: the busiest process sets
the pace, so the gain is one worker's CPU over that of the busiest of two, for as many requests. Two
get twice the connections: what a worker pays for a request falls with how many it has.
"""

from argparse import Namespace
from collections.abc import Iterator
from statistics import median

from tools.bench.calls import BY_NAME
from tools.bench.harness import Generator, Place, place
from tools.bench.processes import embedded
from tools.bench.results import Found, Row, Sample
from tools.report.progress import StatusLine


async def measure(told: Namespace, tell: StatusLine) -> Found:
    """Measure rounds of fresh processes, one worker and two in turn."""
    found: dict[int, list[Sample]] = {1: [], 2: []}
    async with place(embedded(told.redis)) as here:
        with Generator() as generator:
            for _ in tell.rounds(told.rounds, "two workers against one"):
                for workers, several in found.items():
                    several.append(await _run(here, generator, told, workers))
    note = f"{told.connections} connections for each worker."
    return Found(list(_rows(found)), {"workers": note})


async def _run(here: Place, generator: Generator, told: Namespace, workers: int) -> Sample:
    connections = told.connections * workers
    with here.service(workers) as service:
        return await generator.call(here, service, BY_NAME["refresh"], connections, told.requests)


def _rows(found: dict[int, list[Sample]]) -> Iterator[Row]:
    for workers, several in found.items():
        for metric, figures, unit, digits in (
            ("CPU of the service", [each.cpu for each in several], "µs", 1),
            ("CPU of the busiest worker", [each.busiest for each in several], "µs", 1),
            ("refreshes/s", [each.per_second for each in several], "", None),
        ):
            value = round(median(figures), digits)
            yield Row("workers", "refresh", metric, value, unit, by="workers", at=workers)
    gain = median(
        one.cpu / max(two.busiest, two.redis_main_thread)
        for one, two in zip(found[1], found[2], strict=True)
    )
    yield Row(
        "workers", "refresh", "× one worker, if each process had a core", round(gain, 2),
        by="workers", at=2, limit=1.7, at_least=True,
    )  # fmt: skip
