"""What a logout costs that waits until all guards refuse its session, and whether they do.

First one logout after the other, in turn with one that does not wait; beside them the floor, bare
reports. Then a storm of logouts that do not wait, and beside it some that do, while three of the
guards are stopped and continued: when such an answer is here, each guard is asked, and as many must
refuse as were counted.
"""

import asyncio
import re
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, suppress

import msgspec

from service.guard import Verifier
from tools.bench.bare_reports import bare_reports
from tools.bench.calls import BY_NAME, logout
from tools.bench.guard_fleet import Fleet, fleet, guards, refusing
from tools.bench.harness import Generator, Place, latency_rows, place
from tools.bench.processes import BenchmarkError, Server
from tools.bench.results import Found, Row
from tools.bench.seeding import Signed
from tools.http_load.connection import Answer, Connection
from tools.http_load.loops import OpenLoop
from tools.report.progress import StatusLine

_PROMISED = {10: 10.0, 100: 25.0}
"""By guards: the most that p99 may be, ms."""

_IN_A_PROCESS = 50
_STOPPED = 3
_STORM = 500.0
_PER_SECOND = 5
"""Logouts that wait, beside the storm: each guard is asked after each, which takes its time."""
_GOES, _STOPS = 1.0, 1.5
"""Seconds for which the three go, and are stopped."""
_COUNTED = re.compile(rb"\r\nguards-confirmed: (\d+)/(\d+)\r\n", re.IGNORECASE)


class _Waited(msgspec.Struct, frozen=True):
    """A logout that has waited."""

    seconds: float
    confirmed: int
    guards: int
    refusing: int = 0
    """Guards that refused when the answer was here, at the most."""


async def measure(told: Namespace, tell: StatusLine) -> Found:
    """Measure with few guards and with many, then the storm."""
    rows: list[Row] = []
    async with place() as here:
        with here.service() as service:
            for count, limit in _PROMISED.items():
                tell(f"logouts that wait for {count} guards")
                rows += await _one_after_the_other(told.waits, count, limit, here, service)
                rows += await bare_reports(told.waits, count, here)
            tell("a storm of logouts, and some that wait")
            most = max(_PROMISED)
            found, per_second = await _in_a_storm(told.seconds, most, here, service)
            rows += _storm(most, found, per_second)
    note = (
        f"{told.waits:,} logouts with `Prefer: wait=5`, one after the other, in turn with as many "
        f"that do not wait; the guards in processes of {_IN_A_PROCESS} at the most, under uvloop. "
        "CPU is for one of each. A bare report is a task that waits for an entry and writes 900 "
        "bytes: the figure is from the entry until all of them can be read. In the storm "
        f"{_STOPPED} guards are in a process that is stopped for {_STOPS:g} s and goes for "
        f"{_GOES:g} s, and the others share one with the client."
    )
    return Found(rows, {"confirmations": note})


def _where(here: Place, service: Server) -> tuple[str, ...]:
    settings = here.settings
    jwks = f"{service.url}/.well-known/jwks.json"
    return jwks, here.redis.url.reveal(), settings.issuer, settings.audience


async def _one_after_the_other(
    times: int, count: int, limit: float, here: Place, service: Server
) -> list[Row]:
    """Measure logouts that wait for so many guards, and in turn logouts that do not."""
    async with AsyncExitStack() as stack:
        fleets = []
        for start in range(0, count, _IN_A_PROCESS):
            some = min(_IN_A_PROCESS, count - start)
            fleets.append(await stack.enter_async_context(fleet(some, *_where(here, service))))

        def spent() -> tuple[float, ...]:
            own = sum(service.cpu_by_process().values())
            return sum(each.cpu() for each in fleets), here.redis.costs().main_thread, own

        sessions = await here.seeder.open(await here.seeder.accounts(2 * times))
        connection = await Connection.to(service.endpoint)
        waited, floor, before = list[_Waited](), list[float](), spent()
        for place_, session in enumerate(sessions):
            waits = place_ % 2 == 0
            took, answer = await _log_out(connection, session, 5 if waits else 0)
            if waits:
                waited.append(_Waited(took, *_counted(answer)))
            else:
                floor.append(took)
        guard, redis, own = (now - then for now, then in zip(spent(), before, strict=True))
        connection.close()
    like = Row("confirmations", "logout", "", 0, by="guards", at=count)
    return [
        *_latencies(like, count, limit, waited, floor),
        like.figure("CPU of a guard", round(guard / times / count * 1e6), "µs"),
        like.figure("of Redis", round(redis / times * 1e6), "µs"),
        like.figure("of the service", round(own / times * 1e6), "µs"),
    ]


async def _log_out(connection: Connection, session: Signed, seconds: int) -> tuple[float, Answer]:
    request = logout(session)
    if seconds:
        prefer = b"\r\nPrefer: wait=%d\r\n" % seconds
        request = request.replace(b"\r\n", prefer, 1)
    began = time.perf_counter()
    answer = await connection.exchange(request)
    took = time.perf_counter() - began
    if answer.status != 204:
        raise BenchmarkError(f"a logout was answered {answer.status}")
    return took, answer


def _counted(answer: Answer) -> tuple[int, int]:
    found = _COUNTED.search(answer.head)
    if found is None:
        raise BenchmarkError("a logout that should wait tells of no guards")
    return int(found[1]), int(found[2])


async def _in_a_storm(
    seconds: float, count: int, here: Place, service: Server
) -> tuple[list[_Waited], float]:
    """Log out and ask the guards meanwhile. What has come of it, and logouts a second."""
    where = _where(here, service)
    sessions = await here.seeder.open(await here.seeder.accounts(round(seconds * _PER_SECOND)))
    call = BY_NAME["logout"]
    lanes = await call.prepare(here.seeder, 32, round(_STORM * seconds / 32))
    with Generator() as storm:
        async with (
            guards(count - _STOPPED, *where) as ours,
            fleet(_STOPPED, *where) as stopped,
        ):
            crowd = _Crowd(ours, stopped)
            stopping = asyncio.create_task(crowd.stop_and_go_on())
            began = time.perf_counter()
            raging = asyncio.create_task(
                storm.open(service, [OpenLoop(call.name, lanes, call.status, _STORM, 1)])
            )
            found = await _ask(sessions, crowd, service)
            outcome = await raging
            took = time.perf_counter() - began
            stopping.cancel()
            with suppress(asyncio.CancelledError):
                await stopping
    return found, len(outcome.latencies[call.name]) / took


class _Crowd:
    """All guards: ours, in this process, and those that are stopped and continued."""

    def __init__(self, ours: Sequence[Verifier], stopped: Fleet) -> None:
        self._ours = ours
        self._stopped = stopped
        self._stopped_since: float | None = None

    async def stop_and_go_on(self) -> None:
        """Stop the three and continue them, over and over."""
        while True:
            await asyncio.sleep(_GOES)
            self._stopped.stop()
            self._stopped_since = time.perf_counter()
            await asyncio.sleep(_STOPS)
            self._stopped_since = None
            self._stopped.go_on()

    async def refusing(self, token: str, since: float) -> int:
        """Count those that refuse; those that were stopped all the time since have said nothing."""
        stopped_since = self._stopped_since
        count = await refusing(self._ours, token)
        if stopped_since is not None and stopped_since < since:
            return count
        if stopped_since is not None:  # while the answer was under way: they may have confirmed
            return count + _STOPPED
        return count + await self._stopped.refusing(token)


async def _ask(sessions: Sequence[Signed], crowd: _Crowd, service: Server) -> list[_Waited]:
    """Log out of each, at its time, and ask all guards when the answer is here."""
    found: list[_Waited] = []
    began = time.perf_counter()

    async def one(number: int, session: Signed) -> None:
        await asyncio.sleep(began + number / _PER_SECOND - time.perf_counter())
        connection = await Connection.to(service.endpoint)
        sent = time.perf_counter()
        took, answer = await _log_out(connection, session, 1)
        refuse = await crowd.refusing(session.tokens.access_token, sent)
        found.append(_Waited(took, *_counted(answer), refuse))
        connection.close()

    await asyncio.gather(*(one(number, each) for number, each in enumerate(sessions)))
    return found


def _latencies(
    like: Row, count: int, limit: float, waited: Sequence[_Waited], floor: Sequence[float]
) -> Iterator[Row]:
    taken = [each.seconds for each in waited]
    by_all = sum(each.confirmed == each.guards == count for each in waited)
    yield from latency_rows(like, taken, "p50", "p99", limit=limit)
    for row in latency_rows(like, floor, "p50", "p99"):
        yield row.figure(f"{row.metric} of one that does not wait", row.value, "ms")
    yield like.figure("confirmed by all", round(100 * by_all / len(waited), 1), "%")


def _storm(count: int, found: Sequence[_Waited], per_second: float) -> Iterator[Row]:
    like = Row("confirmations", "logout in a storm", "", 0, by="guards", at=count)
    too_many = sum(each.confirmed > each.refusing for each in found)
    yield from latency_rows(like, [each.seconds for each in found], "p50", "p99")
    yield like.figure("logouts/s", round(per_second), "")
    yield like.figure("answers checked", len(found), "")
    yield like.figure("fewest confirmed", min(each.confirmed for each in found), "")
    yield like.figure("counted too many", too_many, "", 0)
