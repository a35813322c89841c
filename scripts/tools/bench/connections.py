"""What calls cost with few and with many connections at once.

Within a round, the same processes serve all numbers of connections: only those differ.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from tools.bench import processes
from tools.bench.calls import BY_NAME
from tools.bench.results import Found, Row
from tools.bench.seeding import Seeder, seeding
from tools.bench.speed import FLOOR, Pace, Pair, Runner, compare, medians
from tools.bench.steps import Steps

COUNTS = (1, 8, 32, 64)

_CALLS = tuple(BY_NAME[name] for name in ("logout", "me", "refresh"))

_LIKE = Row("connections", "", "", 0, by="connections")

Pairs = dict[int, dict[str, list[Pair]]]
"""By number of connections and call."""


async def measure(binary: Path | None, pace: Pace, tell: Steps) -> Found:
    """About as many requests for each number of connections."""
    pairs: Pairs = {count: {call.name: [] for call in _CALLS} for count in COUNTS}
    spawn = multiprocessing.get_context("spawn")
    with (
        TemporaryDirectory() as name,
        processes.redis_server(Path(name), binary) as redis,
        ProcessPoolExecutor(1, mp_context=spawn) as pool,
    ):
        directory = Path(name)
        async with seeding(processes.settings(directory, redis)) as seeder:
            for number in range(pace.rounds):
                tell(f"round {number + 1} of {pace.rounds}: {COUNTS} connections")
                with (
                    processes.service(directory, redis) as service,
                    processes.floor(directory, redis) as empty,
                ):
                    await _round(Runner(redis, pool), seeder, (service, empty), pace, pairs)
    rows = [
        row
        for count, several in pairs.items()
        for row in medians(_CALLS, several, msgspec.structs.replace(_LIKE, at=count))
    ]
    order = {name: place for place, name in enumerate((FLOOR, *(call.name for call in _CALLS)))}
    return Found(sorted(rows, key=lambda row: order[row.call]))


async def _round(
    runner: Runner,
    seeder: Seeder,
    servers: tuple[processes.Server, processes.Server],
    pace: Pace,
    pairs: Pairs,
) -> None:
    for count, several in pairs.items():
        requests = max(1, pace.connections * pace.requests // count)
        for call in _CALLS:
            pair = await compare(runner, seeder, servers, call, Pace(count, requests, 1))
            several[call.name].append(pair)
