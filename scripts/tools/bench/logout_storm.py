"""Logouts that do not wait for one another, and what other calls feel of them.

The storm and the others come from two processes, so that the others' latencies are not those of a
busy client. What one worker can do is measured first; the storms' rates are shares of it.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import msgspec

from tools.bench import processes
from tools.bench.calls import BY_NAME
from tools.bench.results import Found, Row
from tools.bench.seeding import Seeder, seeding
from tools.bench.speed import Runner
from tools.bench.trickles import compared, milliseconds, send, trickles
from tools.http_load.loops import OpenLoop, Outcome

_LOGOUT = BY_NAME["logout"]
_CALLS = ("me", "refresh")
_SHARES = (0.1, 0.25, 0.4, 0.65, 0.95)
_BURST = 0.5
"""Of what one worker does in a second: so many sessions end at the same instant, every second."""
_PROMISED = 0.65
"""The storm that the target is for, as a share of what one worker can do."""
_LEAD = 0.25  # seconds for which the storm is there before the others, and after them
_WARM_UP = 1.0  # seconds
_CLOSED_LOOP = 50  # requests on each connection, to see what one worker can do


class Plan(msgspec.Struct, frozen=True):
    """On how many connections sessions end, for how many seconds, how many times."""

    connections: int
    seconds: float
    rounds: int


class _Form(msgspec.Struct, frozen=True):
    """Of a storm: a share of the capacity, evenly or in bursts."""

    share: float
    burst: bool = False


_FORMS = (*(_Form(share) for share in _SHARES), _Form(_BURST, burst=True))


async def measure(binary: Path | None, plan: Plan, tell: Callable[[str], None]) -> Found:
    """Rounds on one worker: the other calls alone, then every storm."""
    with TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        redis = stack.enter_context(processes.redis_server(directory, binary))
        service = stack.enter_context(processes.service(directory, redis))
        async with seeding(processes.settings(directory, redis)) as seeder:
            run = _Run(seeder, service, plan, stack)
            tell("a storm of logouts: what one worker can do")
            await run.idle(_WARM_UP)
            capacity = await run.capacity(Runner(redis, run.pool))
            idle: list[Outcome] = []
            storms: list[list[_Storm]] = [[] for _ in _FORMS]
            for number in range(plan.rounds):
                step = f"round {number + 1} of {plan.rounds}: a storm of logouts"
                tell(f"{step}, not yet")
                idle.append(await run.idle(plan.seconds))
                for form, found in zip(_FORMS, storms, strict=True):
                    tell(f"{step}, {form.share:.0%} of {capacity:.0f} a second")
                    found.append(await run.raging(form, capacity))
    note = (
        f"One worker does {capacity:,.0f} logouts a second here, on {plan.connections} connections."
        f" {plan.rounds} rounds of {plan.seconds:g} s taken together."
    )
    rows = [
        row for form, found in zip(_FORMS, storms, strict=True) for row in _rows(form, found, idle)
    ]
    return Found(rows, {"storm": note})


class _Storm(msgspec.Struct, frozen=True):
    per_second: float
    at_once: int
    busy: float
    """Share of a core that the worker took."""
    latencies: list[float]
    """Of the logouts."""
    beside: Outcome


class _Run:
    """One worker, and two clients."""

    def __init__(
        self, seeder: Seeder, service: processes.Server, plan: Plan, stack: ExitStack
    ) -> None:
        self._seeder = seeder
        self._service = service
        self._plan = plan
        self.pool, self._others = (
            stack.enter_context(
                ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
            )
            for _ in range(2)
        )

    async def capacity(self, runner: Runner) -> float:
        """Logouts a second, in a closed loop."""
        lanes = await _LOGOUT.prepare(self._seeder, self._plan.connections, _CLOSED_LOOP)
        return (await runner.run(self._service, lanes, _LOGOUT.status)).per_second

    async def idle(self, seconds: float) -> Outcome:
        """The other calls alone."""
        return await self._send(await trickles(self._seeder, _CALLS, seconds), self._others)

    async def raging(self, form: _Form, capacity: float) -> _Storm:
        """All together."""
        logouts = await self._logouts(form, capacity)
        others = await trickles(self._seeder, _CALLS, self._plan.seconds)
        storming = asyncio.create_task(self._send([logouts], self.pool))
        await asyncio.sleep(_LEAD)
        began, cpu = time.perf_counter(), self._service.cpu()
        beside = await self._send(others, self._others)
        busy = (self._service.cpu() - cpu) / (time.perf_counter() - began)
        latencies = (await storming).latencies[_LOGOUT.name]
        return _Storm(
            logouts.per_second,
            logouts.at_once * len(logouts.lanes) if form.burst else 1,
            busy,
            latencies,
            beside,
        )

    async def _logouts(self, form: _Form, capacity: float) -> OpenLoop:
        lanes, rate = self._plan.connections, form.share * capacity
        at_once = max(1, round(rate / lanes)) if form.burst else 1
        seconds = self._plan.seconds + 2 * _LEAD
        count = at_once * max(1, round(rate * seconds / lanes / at_once))
        made = await _LOGOUT.prepare(self._seeder, lanes, count)
        # A burst every second, whatever it came to when it was dealt out to the connections.
        rate = at_once * lanes if form.burst else rate
        return OpenLoop(_LOGOUT.name, made, _LOGOUT.status, rate, at_once)

    async def _send(self, sent: Sequence[OpenLoop], pool: ProcessPoolExecutor) -> Outcome:
        return await send(self._service, pool, sent)


def _rows(form: _Form, found: Sequence[_Storm], idle: Sequence[Outcome]) -> Iterator[Row]:
    latencies = [seconds for each in found for seconds in each.latencies]
    by, at = "logouts/s", round(found[0].per_second, 1)
    if form.burst:
        by, at = "logouts at once, every second", found[0].at_once
    like = Row("storm", "logout", "", 0, by=by, at=at)
    for metric, value, unit in (
        ("of capacity", form.share * 100, "%"),
        ("worker busy", round(100 * median(each.busy for each in found), 1), "%"),
        ("p50", milliseconds(latencies, 0.5), "ms"),
        ("p99", milliseconds(latencies, 0.99), "ms"),
    ):
        yield msgspec.structs.replace(like, metric=metric, value=value, unit=unit)
    promised = form.share == _PROMISED and not form.burst
    beside = [each.beside for each in found]
    yield from compared(_CALLS, idle, beside, like, 3 if promised else None)
