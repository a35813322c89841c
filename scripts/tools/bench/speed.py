"""Floor and call in turn, round after round, every round with processes of its own.

Two instances of one program differ by up to a quarter in CPU per request, for where their memory
happens to lie; and a shared machine is never the same twice. So a call is compared with the floor
right before it, and what counts is the median over rounds of fresh processes. Within a round the
same processes serve all calls and all numbers of connections: only those differ.
"""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from statistics import median

import msgspec

from tools.bench import bare
from tools.bench.calls import BY_NAME, CALLS, FLOOR, Call
from tools.bench.harness import Generator, Place, place
from tools.bench.processes import Server, embedded
from tools.bench.results import Found, Row, Sample, middle, rows_of
from tools.report.progress import StatusLine

_COUNTS = (1, 8, 32, 64)
"""Of connections."""

_LIMITS: dict[str, dict[str, float]] = {
    "logout": {"× floor": 3, "redis_cpu": 20, "round_trips": 1},
    "me": {"× floor": 2},
    "me_first": {"× floor": 2.5},
    "refresh": {"× floor": 5},
    "enable": {"× floor": 5},
    "introspect": {"× floor": 2},
}
"""By call and field of a sample; `× floor`: CPU in multiples of the floor."""


class _Case(msgspec.Struct, frozen=True):
    """A call on so many connections, and samples of the floor and of it, taken in turn."""

    call: Call
    connections: int
    requests: int
    pairs: list[tuple[Sample, Sample]] = msgspec.field(default_factory=list)


async def calls(told: Namespace, tell: StatusLine) -> Found:
    """Measure the floor, and each call that is asked for."""
    pace = told.connections, told.requests
    cases = [_Case(call, *pace) for call in CALLS if call.name in told.parts]
    async with place(embedded(told.redis)) as here:
        await _measure(here, cases, told.rounds, tell)
        rows = list(_medians(cases, Row("calls", "", "", 0), _LIMITS))
        rows += bare.measure(here.redis, *pace, told.rounds, tell)
    note = (
        f"{told.connections} connections, one worker, medians of {told.rounds} rounds of "
        f"{told.connections * told.requests:,} requests, an fsync for every write."
    )
    return Found(rows, {"calls": note})


async def connections(told: Namespace, tell: StatusLine) -> Found:
    """Measure with few and with many connections at once: about as many requests for each."""
    requests = told.connections * told.requests
    names = ("logout", "me", "refresh")
    by_count = {
        count: [_Case(BY_NAME[name], count, max(1, requests // count)) for name in names]
        for count in _COUNTS
    }
    async with place(embedded(told.redis)) as here:
        cases = [case for several in by_count.values() for case in several]
        await _measure(here, cases, told.rounds, tell)
    rows = [
        row
        for count, several in by_count.items()
        for row in _medians(several, Row("connections", "", "", 0, by="connections", at=count), {})
    ]
    return Found(sorted(rows, key=lambda row: (FLOOR.title, *names).index(row.call)))


async def _measure(here: Place, cases: Sequence[_Case], rounds: int, tell: StatusLine) -> None:
    with Generator() as generator:
        for step in tell.rounds(rounds if cases else 0, "calls"):
            with here.service() as service, here.floor() as empty:
                for case in cases:
                    tell(f"{step}, {case.call.title}, {case.connections} connections")
                    case.pairs.append(await _compare(generator, here, (service, empty), case))


async def _compare(
    generator: Generator, here: Place, servers: tuple[Server, Server], case: _Case
) -> tuple[Sample, Sample]:
    """Measure the floor and, right after it, the call. `servers` are the service and the floor."""
    service, empty = servers
    server = empty if case.call.on_floor else service
    return (  # the floor gets twice as many: it is done so much sooner
        await generator.call(here, empty, FLOOR, case.connections, 2 * case.requests),
        await generator.call(here, server, case.call, case.connections, case.requests),
    )


def _medians(
    cases: Sequence[_Case], like: Row, limits: dict[str, dict[str, float]]
) -> Iterator[Row]:
    """Make rows like `like` of the floor and of each call."""
    floor = msgspec.structs.replace(like, call=FLOOR.title)
    yield floor.figure("× floor", 1)
    yield from rows_of(middle([least for case in cases for least, _ in case.pairs]), floor)
    for case in cases:
        row, most = msgspec.structs.replace(like, call=case.call.name), limits.get(case.call.name)
        ratios = sorted(round(sample.cpu / least.cpu, 2) for least, sample in case.pairs)
        for metric, value in (
            ("× floor", round(median(ratios), 2)), ("low", ratios[0]), ("high", ratios[-1])
        ):  # fmt: skip
            yield row.figure(metric, value, limit=(most or {}).get(metric))
        yield from rows_of(middle([sample for _, sample in case.pairs]), row, most)
