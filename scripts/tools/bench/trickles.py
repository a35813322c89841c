"""Calls in an even trickle while something else happens, to see what they feel of it."""

from collections.abc import Iterator, Sequence

import msgspec

from tools.bench.calls import BY_NAME
from tools.bench.results import Row
from tools.bench.seeding import Seeder
from tools.http_load.loops import OpenLoop, Outcome
from tools.http_load.quantiles import quantile

_PER_SECOND = 50.0  # of each call
_LANES = 10  # connections of each call


async def trickles(seeder: Seeder, names: Sequence[str], seconds: float) -> Sequence[OpenLoop]:
    """Prepare a trickle of each call, for so many seconds."""
    count, calls = max(1, round(_PER_SECOND * seconds / _LANES)), [BY_NAME[name] for name in names]
    return [
        OpenLoop(call.name, await call.prepare(seeder, _LANES, count), call.status, _PER_SECOND)
        for call in calls
    ]


def compared(
    names: Sequence[str],
    idle: Sequence[Outcome],
    loud: Sequence[Outcome],
    like: Row,
    limit: float | None = 3,
) -> Iterator[Row]:
    """Tell what each call felt, all rounds together. `limit`: p99 in multiples of the idle one."""
    for name in names:
        row = msgspec.structs.replace(like, call=name)
        found = {
            f"{prefix}p{share}": milliseconds(_latencies(name, rounds), share / 100)
            for prefix, rounds in (("idle ", idle), ("", loud))
            for share in (50, 99)
        }
        for metric, value in found.items():
            yield row.figure(metric, value, "ms")
        ratio = round(found["p99"] / found["idle p99"], 2)
        yield row.figure("p99 × idle", ratio, limit=limit)


def milliseconds(seconds: Sequence[float], share: float) -> float:
    """Find a quantile of these, in milliseconds."""
    return round(quantile(sorted(seconds), share) * 1e3, 3)


def _latencies(name: str, rounds: Sequence[Outcome]) -> list[float]:
    return [seconds for each in rounds for seconds in each.latencies[name]]
