"""Two workers against one: how many more refreshes a second, and what keeps it from being twice.

On a machine whose cores are taken (client and Redis need some, too) a second worker gives little,
whatever the service does. What it would give on free cores is told by CPU: the busiest process sets
the pace, so the gain is one worker's CPU over that of the busiest of two, for as many requests. Two
get twice the connections: what a worker pays for a request falls with how many it has.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import msgspec

from tools.bench import processes
from tools.bench.calls import BY_NAME
from tools.bench.results import Found, Row
from tools.bench.seeding import seeding
from tools.bench.speed import Pace, Runner

_CALL = BY_NAME["refresh"]
_WARM_UP = 10  # requests on each connection


async def measure(binary: Path | None, pace: Pace, tell: Callable[[str], None]) -> Found:
    """Measure rounds of fresh processes, one worker and two in turn."""
    rounds: list[tuple[_Outcome, _Outcome]] = []
    spawn = multiprocessing.get_context("spawn")
    with TemporaryDirectory() as name, ProcessPoolExecutor(1, mp_context=spawn) as pool:
        directory = Path(name)
        with processes.redis_server(directory, binary) as redis:
            runner = Runner(redis, pool)
            for number in range(pace.rounds):
                tell(f"round {number + 1} of {pace.rounds}: two workers against one")
                one = await _run(directory, redis, runner, pace, workers=1)
                two = await _run(directory, redis, runner, pace, workers=2)
                rounds.append((one, two))
    note = f"{pace.connections} connections for each worker."
    return Found(list(_rows(rounds)), {"workers": note})


class _Outcome:
    """A load's rate, and the CPU of each process of the service: µs for a request of the whole."""

    def __init__(self, per_second: float, redis_cpu: float, cpu: list[float]) -> None:
        self.per_second = per_second
        self.redis_cpu = redis_cpu
        self.cpu = cpu


async def _run(
    directory: Path, redis: processes.RedisServer, runner: Runner, pace: Pace, *, workers: int
) -> _Outcome:
    with processes.service(directory, redis, workers=workers) as service:
        async with seeding(processes.settings(directory, redis)) as seeder:
            for requests in (_WARM_UP, pace.requests):
                lanes = await _CALL.prepare(seeder, pace.connections * workers, requests)
                before = service.cpu_by_process()
                sample = await runner.run(service, lanes, _CALL.status)
                after = service.cpu_by_process()
        count = pace.connections * workers * pace.requests
        cpu = [(after[pid] - before[pid]) / count * 1e6 for pid in after]
    return _Outcome(sample.per_second, sample.redis_main_thread, cpu)


def _rows(rounds: Sequence[tuple[_Outcome, _Outcome]]) -> Iterator[Row]:
    found = [
        ({"CPU of the service": sum(outcome.cpu), "CPU of the busiest worker": max(outcome.cpu)},
         outcome)
        for both in rounds for outcome in both
    ]  # fmt: skip
    for at, several in ((1, found[::2]), (2, found[1::2])):
        row = Row("workers", "refresh", "", 0, "µs", by="workers", at=at)
        for metric in several[0][0]:
            value = round(median(cpu[metric] for cpu, _ in several), 1)
            yield msgspec.structs.replace(row, metric=metric, value=value)
        rate = round(median(outcome.per_second for _, outcome in several))
        yield msgspec.structs.replace(row, metric="refreshes/s", value=rate, unit="")
    gain = median(sum(one.cpu) / max(*two.cpu, two.redis_cpu) for one, two in rounds)
    yield Row(
        "workers", "refresh", "× one worker, if each process had a core", round(gain, 2),
        by="workers", at=2, limit=1.7, at_least=True,
    )  # fmt: skip
