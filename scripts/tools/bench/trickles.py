"""Calls in an even trickle while something else happens, to see what they feel of it."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from tools.bench import processes
from tools.bench.calls import BY_NAME
from tools.bench.disturbance import Disturbed, disturbed
from tools.bench.seeding import Seeder
from tools.http_load.loops import OpenLoop, Outcome, UnexpectedAnswer, open_and_retrying

_PER_SECOND = 50.0  # of each call
_LANES = 10  # connections of each call


async def trickles(seeder: Seeder, names: Sequence[str], seconds: float) -> Sequence[OpenLoop]:
    """Prepare a trickle of each call, for so many seconds."""
    count = max(1, round(_PER_SECOND * seconds / _LANES))
    return [
        OpenLoop(
            name,
            await BY_NAME[name].prepare(seeder, _LANES, count),
            BY_NAME[name].status,
            _PER_SECOND,
        )
        for name in names
    ]


async def send(
    service: processes.Server,
    pool: ProcessPoolExecutor,
    loops: Sequence[OpenLoop],
    logins: Sequence[bytes] = (),
    seconds: float = 0,
) -> Outcome:
    """Send it from the pool's process.

    Raises:
        BenchmarkError: an answer was not as expected.
    """
    try:
        return await asyncio.get_running_loop().run_in_executor(
            pool, open_and_retrying, service.endpoint, loops, logins, seconds
        )
    except UnexpectedAnswer as error:
        raise processes.BenchmarkError(f"{error}\n{service.last_error()}") from None


def compared(
    names: Sequence[str], idle: Sequence[Outcome], loud: Sequence[Outcome]
) -> list[Disturbed]:
    """Tell what each call felt, all rounds taken together."""
    return [
        disturbed(name, BY_NAME[name].title, _latencies(name, idle), _latencies(name, loud))
        for name in names
    ]


def _latencies(name: str, rounds: Sequence[Outcome]) -> list[float]:
    return [seconds for each in rounds for seconds in each.latencies[name]]
