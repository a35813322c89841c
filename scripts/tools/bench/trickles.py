"""Calls in an even trickle while something else happens, to see what they feel of it."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

import msgspec

from tools.bench import processes
from tools.bench.calls import BY_NAME
from tools.bench.results import Row
from tools.bench.seeding import Seeder
from tools.http_load.loops import OpenLoop, Outcome, UnexpectedAnswer, open_and_retrying
from tools.http_load.quantiles import quantile

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
    names: Sequence[str],
    idle: Sequence[Outcome],
    loud: Sequence[Outcome],
    like: Row,
    limit: float | None = 3,
) -> Iterator[Row]:
    """What each call felt, all rounds taken together. `limit`: p99 in multiples of the idle one."""
    for name in names:
        row = msgspec.structs.replace(like, call=name)
        quiet, noisy = _latencies(name, idle), _latencies(name, loud)
        for metric, several, share in (
            ("idle p50", quiet, 0.5), ("idle p99", quiet, 0.99),
            ("p50", noisy, 0.5), ("p99", noisy, 0.99),
        ):  # fmt: skip
            value = milliseconds(several, share)
            yield msgspec.structs.replace(row, metric=metric, value=value, unit="ms")
        ratio = milliseconds(noisy, 0.99) / milliseconds(quiet, 0.99)
        yield msgspec.structs.replace(row, metric="p99 × idle", value=round(ratio, 2), limit=limit)


def milliseconds(seconds: Sequence[float], share: float) -> float:
    """A quantile of these, in milliseconds."""
    return round(quantile(sorted(seconds), share) * 1e3, 3)


def _latencies(name: str, rounds: Sequence[Outcome]) -> list[float]:
    return [seconds for each in rounds for seconds in each.latencies[name]]
