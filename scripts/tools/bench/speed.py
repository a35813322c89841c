"""Floor and call in turn, round after round, every round with processes of its own.

Two instances of one program differ by up to a quarter in CPU per request, for where their memory
happens to lie; and a shared machine is never the same twice. So a call is compared with the floor
right before it, and what counts is the median over rounds of fresh processes.
"""

import asyncio
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

import msgspec

from tools.bench import processes
from tools.bench.calls import Call, floor_lanes
from tools.bench.results import Row, Sample, middle, rows_of
from tools.bench.seeding import Seeder, seeding
from tools.http_load.loops import Lane, UnexpectedAnswer, closed
from tools.http_load.quantiles import quantile

FLOOR_STATUS = 204
FLOOR = "empty POST, the floor"

_LIMITS: dict[str, dict[str, float]] = {
    "logout": {"ratio": 3, "redis_cpu": 20, "round_trips": 1},
    "me": {"ratio": 2},
    "refresh": {"ratio": 5},
    "enable": {"ratio": 5},
}
"""By call and field of a sample; `ratio`: CPU in multiples of the floor."""
_WARM_UP = 10  # requests on each connection: caches fill, connections to the stores open


class Pace(msgspec.Struct, frozen=True):
    """How hard and how long: connections, requests on each in a round, rounds."""

    connections: int
    requests: int
    rounds: int


class Runner:
    """Sends loads from a process of its own, and reads what they cost the others."""

    def __init__(self, redis: processes.RedisServer, pool: ProcessPoolExecutor) -> None:
        self._redis = redis
        self._pool = pool

    async def run(self, server: processes.Server, lanes: Sequence[Lane], status: int) -> Sample:
        """What one load costs. Nothing else may run meanwhile on these servers.

        Raises:
            BenchmarkError: an answer was not as expected.
        """
        redis_before, cpu_before = self._redis.costs(), server.cpu()
        try:
            timing = await asyncio.get_running_loop().run_in_executor(
                self._pool, closed, server.endpoint, lanes, status
            )
        except UnexpectedAnswer as error:
            raise processes.BenchmarkError(f"{error}\n{server.last_error()}") from None
        cpu, redis = server.cpu() - cpu_before, self._redis.costs()
        latencies = sorted(timing.latencies)
        count = len(latencies)
        return Sample(
            cpu=cpu / count * 1e6,
            per_second=count / timing.elapsed,
            p50=quantile(latencies, 0.5) * 1e3,
            p99=quantile(latencies, 0.99) * 1e3,
            redis_cpu=(redis.cpu - redis_before.cpu) / count * 1e6,
            redis_main_thread=(redis.main_thread - redis_before.main_thread) / count * 1e6,
            round_trips=(redis.scripts - redis_before.scripts) / count,
            commands=(redis.commands - redis_before.commands) / count,
        )


async def measure(
    directory: Path,
    redis: processes.RedisServer,
    calls: Sequence[Call],
    pace: Pace,
    tell: Callable[[str], None],
) -> list[Row]:
    """Measure the floor, and each call. `tell` gets a line for every load."""
    pairs: dict[str, list[Pair]] = {call.name: [] for call in calls}
    spawn = multiprocessing.get_context("spawn")
    async with seeding(processes.settings(directory, redis)) as seeder:
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            runner = Runner(redis, pool)
            for number in range(pace.rounds if calls else 0):
                with (
                    processes.service(directory, redis) as service,
                    processes.floor(directory, redis) as empty,
                ):
                    for call in calls:
                        tell(f"round {number + 1} of {pace.rounds}: {call.title}")
                        pair = await compare(runner, seeder, (service, empty), call, pace)
                        pairs[call.name].append(pair)
    return medians(calls, pairs, Row("calls", "", "", 0))


class Pair(msgspec.Struct, frozen=True):
    """A round's samples of the floor and of a call."""

    floor: Sample
    call: Sample


async def compare(
    runner: Runner,
    seeder: Seeder,
    servers: tuple[processes.Server, processes.Server],
    call: Call,
    pace: Pace,
) -> Pair:
    """The floor and, right after it, the call. `servers` are the service and the floor."""
    service, empty = servers
    for requests in (_WARM_UP, pace.requests):
        # The floor gets twice as many: it is done so much sooner.
        least = await floor_lanes(seeder, pace.connections, 2 * requests)
        lanes = await call.prepare(seeder, pace.connections, requests)
        pair = Pair(
            await runner.run(empty, least, FLOOR_STATUS),
            await runner.run(empty if call.on_floor else service, lanes, call.status),
        )
    return pair


def medians(calls: Sequence[Call], pairs: Mapping[str, Sequence[Pair]], like: Row) -> list[Row]:
    """The floor and each call, from all of the pairs by call, as rows like `like`."""
    floors = [pair.floor for several in pairs.values() for pair in several]
    floor = msgspec.structs.replace(like, call=FLOOR)
    rows = [msgspec.structs.replace(floor, metric="× floor", value=1)]
    rows += rows_of(middle(floors), floor)
    for call in calls:
        row = msgspec.structs.replace(like, call=call.name)
        several, limits = pairs[call.name], _LIMITS.get(call.name, {}) if like.by == "" else {}
        ratios = sorted(round(pair.call.cpu / pair.floor.cpu, 2) for pair in several)
        whole = {"× floor": round(median(ratios), 2), "low": ratios[0], "high": ratios[-1]}
        for metric, value in whole.items():
            limit = limits.get("ratio") if metric == "× floor" else None
            rows.append(msgspec.structs.replace(row, metric=metric, value=value, limit=limit))
        rows += rows_of(middle([pair.call for pair in several]), row, limits)
    return rows
