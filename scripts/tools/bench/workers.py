"""Two workers against one: how many more refreshes a second, and what keeps it from being twice.

On a machine whose cores are taken (client and Redis need some, too) a second worker gives little,
whatever the service does. What it would give on free cores is told by CPU: the busiest process sets
the pace, so the gain is one worker's CPU over that of the busiest of two, for as many requests. Two
get twice the connections: what a worker pays for a request falls with how many it has.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tools.bench import processes
from tools.bench.calls import BY_NAME
from tools.bench.figures import Workers
from tools.bench.seeding import seeding
from tools.bench.speed import Pace, Runner

_CALL = BY_NAME["refresh"]
_WARM_UP = 10  # requests on each connection


async def measure(binary: Path | None, pace: Pace, tell: Callable[[str], None]) -> Workers:
    """Rounds of fresh processes, one worker and two in turn."""
    rounds: list[Workers] = []
    spawn = multiprocessing.get_context("spawn")
    with TemporaryDirectory() as name, ProcessPoolExecutor(1, mp_context=spawn) as pool:
        directory = Path(name)
        with processes.redis_server(directory, binary) as redis:
            runner = Runner(redis, pool)
            for number in range(pace.rounds):
                tell(f"round {number + 1} of {pace.rounds}: two workers against one")
                one = await _run(directory, redis, runner, pace, workers=1)
                two = await _run(directory, redis, runner, pace, workers=2)
                rounds.append(_compare(pace, one, two))
    return _middle(rounds)


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


def _compare(pace: Pace, one: _Outcome, two: _Outcome) -> Workers:
    return Workers(
        connections=pace.connections,
        one_per_second=one.per_second,
        two_per_second=two.per_second,
        one_cpu=sum(one.cpu),
        two_cpu=sum(two.cpu),
        busiest_cpu=max(two.cpu),
        redis_main_thread=two.redis_cpu,
    )


def _middle(rounds: list[Workers]) -> Workers:
    def of(figure: Callable[[Workers], float]) -> float:
        return round(median(figure(each) for each in rounds), 3)

    return Workers(
        connections=rounds[0].connections,
        one_per_second=of(lambda w: w.one_per_second),
        two_per_second=of(lambda w: w.two_per_second),
        one_cpu=of(lambda w: w.one_cpu),
        two_cpu=of(lambda w: w.two_cpu),
        busiest_cpu=of(lambda w: w.busiest_cpu),
        redis_main_thread=of(lambda w: w.redis_main_thread),
    )
