"""Logouts that do not wait for one another, and what other calls feel of them.

The storm and the others come from two processes, so that the others' latencies are not those of a
busy client. What one worker can do is measured first; the storms' rates are shares of it.

Two floors are sent beside the others, from the same process and as often: a bare GET of Redis, past
the service, which waits for the syncs of the storm's changes as any command does; and an answer of
the same worker that asks no store, which waits for its turn as any request does. What `me` feels
beyond the larger of the two is its own.
"""

import asyncio
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from statistics import median

import msgspec

from tools.bench.bare_gets import BARE_GET
from tools.bench.calls import BY_NAME, LIVE
from tools.bench.harness import Generator, Place, compared, latency_rows, place, trickles
from tools.bench.processes import Server, embedded
from tools.bench.results import Found, Row
from tools.http_load.loops import OpenLoop, Outcome
from tools.report.progress import StatusLine

_LOGOUT = BY_NAME["logout"]
_CALLS = ("me", "refresh")
_FLOORS = ("live", BARE_GET)
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
    gathered: float
    """Scripts for each time that Redis has read something: what came in one write, or nearly."""


async def measure(told: Namespace, tell: StatusLine) -> Found:
    """Measure rounds on one worker: the other calls alone, then every storm."""
    idle: list[Outcome] = []
    storms: dict[_Form, list[_Storm]] = {form: [] for form in _FORMS}
    async with place(embedded(told.redis)) as here:
        with here.service() as service, Generator() as logouts, Generator() as others:
            run = _Run(here, service, logouts, others, told)
            tell("a storm of logouts: what one worker can do")
            await run.others_send(min(_WARM_UP, told.seconds))
            capacity = (
                await logouts.call(here, service, _LOGOUT, told.storm_connections, _CLOSED_LOOP)
            ).per_second
            for step in tell.rounds(told.storm_rounds, "a storm of logouts"):
                idle.append(await run.others_send(told.seconds))
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

    async def others_send(self, seconds: float) -> Outcome:
        """Send the other calls, and the floors beside them."""
        loops = await trickles(self.here.seeder, (*_CALLS, LIVE.name), seconds)
        return await self.others.open_beside_gets(self.service, loops, self.here.redis.url)

    async def raging(self, form: _Form, capacity: float) -> _Storm:
        """Send all together."""
        logouts = await self._logouts(form, capacity)
        storming = asyncio.create_task(self.storm.open(self.service, [logouts]))
        await asyncio.sleep(_LEAD)
        began, cpu, redis = time.perf_counter(), self.service.cpu(), self._scripts_and_reads()
        beside = await self.others_send(self.told.seconds)
        busy = (self.service.cpu() - cpu) / (time.perf_counter() - began)
        scripts, reads = (
            after - before for after, before in zip(self._scripts_and_reads(), redis, strict=True)
        )
        latencies = (await storming).latencies[_LOGOUT.name]
        at_once = logouts.at_once * len(logouts.lanes) if form.burst else 1
        gets = len(beside.latencies[BARE_GET])
        return _Storm(
            logouts.per_second, at_once, busy, latencies, beside, scripts / max(reads - gets, 1)
        )

    def _scripts_and_reads(self) -> tuple[int, int]:
        client = self.here.redis.client
        scripts: int = client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
        return scripts, client.info("stats")["total_reads_processed"]

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
    gathered = round(median(each.gathered for each in found), 2)
    yield like.figure("scripts in a read of Redis", gathered)
    beside = [each.beside for each in found]
    yield from compared(_CALLS, idle, beside, like, 3 if form == _Form(_PROMISED) else None)
    yield from compared(_FLOORS, idle, beside, like, None)
