"""Logouts that do not wait for one another, and what other calls feel of them.

The storm and the others come from two processes, so that the others' latencies are not those of a
busy client. What one worker can do is measured first; the storms' rates are shares of it.
"""

import asyncio
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from statistics import median

import msgspec

from tools.bench.calls import BY_NAME
from tools.bench.harness import Generator, Place, alone, compared, latency_rows, place, trickles
from tools.bench.processes import Server, embedded
from tools.bench.results import Found, Row
from tools.http_load.loops import OpenLoop, Outcome
from tools.report.progress import StatusLine

_LOGOUT = BY_NAME["logout"]
_CALLS = ("me", "refresh")
_PROMISED = 0.65
"""The storm that the target is for, as a share of what one worker can do."""
_LEAD = 0.25  # seconds for which the storm is there before the others, and after them
_WARM_UP = 1.0  # seconds
_CLOSED_LOOP = 50  # requests on each connection, to see what one worker can do


class _Form(msgspec.Struct, frozen=True):
    """A share of what one worker does in a second, evenly; or at the same instant, every second."""

    share: float
    burst: bool = False


_FORMS = (*map(_Form, (0.1, 0.25, 0.4, _PROMISED, 0.95)), _Form(0.5, burst=True))


class _Storm(msgspec.Struct, frozen=True):
    """What a round of a form has shown."""

    per_second: float
    at_once: int
    busy: float
    """Share of a core that the worker took."""
    latencies: list[float]
    """Of the logouts."""
    beside: Outcome


async def measure(told: Namespace, tell: StatusLine) -> Found:
    """Measure rounds on one worker: the other calls alone, then every storm."""
    idle: list[Outcome] = []
    storms: dict[_Form, list[_Storm]] = {form: [] for form in _FORMS}
    async with place(embedded(told.redis)) as here:
        with here.service() as service, Generator() as logouts, Generator() as others:
            run = _Run(here, service, logouts, others, told)
            tell("a storm of logouts: what one worker can do")
            await alone(others, here, service, _CALLS, min(_WARM_UP, told.seconds))
            capacity = (
                await logouts.call(here, service, _LOGOUT, told.storm_connections, _CLOSED_LOOP)
            ).per_second
            for step in tell.rounds(told.storm_rounds, "a storm of logouts"):
                idle.append(await alone(others, here, service, _CALLS, told.seconds))
                for form, found in storms.items():
                    tell(f"{step}, {form.share:.0%} of {capacity:.0f} a second")
                    found.append(await run.raging(form, capacity))
    note = (
        f"One worker does {capacity:,.0f} logouts a second here, on {told.storm_connections} "
        f"connections. {told.storm_rounds} rounds of {told.seconds:g} s taken together."
    )
    rows = [row for form, found in storms.items() for row in _rows(form, found, idle)]
    return Found(rows, {"storm": note})


class _Run(msgspec.Struct, frozen=True):
    """One worker, and two clients."""

    here: Place
    service: Server
    storm: Generator
    others: Generator
    told: Namespace

    async def raging(self, form: _Form, capacity: float) -> _Storm:
        """Send all together."""
        logouts = await self._logouts(form, capacity)
        others = await trickles(self.here.seeder, _CALLS, self.told.seconds)
        storming = asyncio.create_task(self.storm.open(self.service, [logouts]))
        await asyncio.sleep(_LEAD)
        began, cpu = time.perf_counter(), self.service.cpu()
        beside = await self.others.open(self.service, others)
        busy = (self.service.cpu() - cpu) / (time.perf_counter() - began)
        latencies = (await storming).latencies[_LOGOUT.name]
        at_once = logouts.at_once * len(logouts.lanes) if form.burst else 1
        return _Storm(logouts.per_second, at_once, busy, latencies, beside)

    async def _logouts(self, form: _Form, capacity: float) -> OpenLoop:
        lanes, rate = self.told.storm_connections, form.share * capacity
        at_once = max(1, round(rate / lanes)) if form.burst else 1
        seconds = self.told.seconds + 2 * _LEAD
        count = at_once * max(1, round(rate * seconds / lanes / at_once))
        made = await _LOGOUT.prepare(self.here.seeder, lanes, count)
        # A burst every second, whatever it came to when it was dealt out to the connections.
        rate = at_once * lanes if form.burst else rate
        return OpenLoop(_LOGOUT.name, made, _LOGOUT.status, rate, at_once)


def _rows(form: _Form, found: Sequence[_Storm], idle: Sequence[Outcome]) -> Iterator[Row]:
    latencies = [seconds for each in found for seconds in each.latencies]
    by, at = "logouts/s", round(found[0].per_second, 1)
    if form.burst:
        by, at = "logouts at once, every second", found[0].at_once
    like = Row("storm", "logout", "", 0, by=by, at=at)
    yield like.figure("of capacity", form.share * 100, "%")
    yield like.figure("worker busy", round(100 * median(each.busy for each in found), 1), "%")
    yield from latency_rows(like, latencies, "p50", "p99")
    beside = [each.beside for each in found]
    yield from compared(_CALLS, idle, beside, like, 3 if form == _Form(_PROMISED) else None)
