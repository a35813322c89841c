"""A flood of logins against one worker, and what refresh and logout feel of it."""

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from secrets import token_urlsafe
from tempfile import TemporaryDirectory

import bcrypt
import msgspec

from benchmark import processes, storm
from benchmark.calls import BY_NAME, login
from benchmark.client import UnexpectedAnswer
from benchmark.figures import Disturbed, Flood
from benchmark.seeding import Seeder, seeding
from service.accounts.hashing import usable_cores

COST = 12
_CALLS = ("refresh", "logout")
_PER_SECOND = 50.0  # of each call
_LANES = 10  # connections of each call
_WARM_UP = 1.0  # seconds: caches fill, connections to the stores open
_HASHES = 4  # on each core, for the bare rate


class Plan(msgspec.Struct, frozen=True):
    """How many connections log in, and for how many seconds."""

    connections: int
    seconds: float


async def measure(binary: Path | None, plan: Plan, tell: Callable[[str], None]) -> Flood:
    """First the calls alone, then the same with the flood beside them."""
    tell("flood: bare bcrypt")
    hashes = _bare_hashes()
    spawn = multiprocessing.get_context("spawn")
    with (
        TemporaryDirectory() as name,
        processes.redis_server(Path(name), binary) as redis,
        ProcessPoolExecutor(1, mp_context=spawn) as pool,
    ):
        directory = Path(name)
        async with seeding(processes.settings(directory, redis, COST)) as seeder:
            with processes.service(directory, redis, COST) as service:
                run = _Run(seeder, service, pool)
                password = token_urlsafe()
                emails = await seeder.people(plan.connections, password)
                await run(_WARM_UP, [])
                tell(f"flood: {plan.seconds:g} s without it")
                idle = await run(plan.seconds, [])
                tell(f"flood: {plan.seconds:g} s of logins on {plan.connections} connections")
                flood = await run(plan.seconds, [login(email, password) for email in emails])
    shed, sent = flood.answers.get(503, 0), sum(flood.answers.values())
    return Flood(
        connections=plan.connections,
        seconds=plan.seconds,
        cost=COST,
        logins=round(flood.answers.get(200, 0) / flood.elapsed, 2),
        hashes=round(hashes, 2),
        shed=shed,
        shed_share=round(shed / max(sent, 1), 3),
        without_retry_after=flood.without_retry_after,
        calls=[_disturbed(name, idle, flood) for name in _CALLS],
    )


class _Run:
    """Sends trickle and flood from a process of its own."""

    def __init__(
        self, seeder: Seeder, service: processes.Server, pool: ProcessPoolExecutor
    ) -> None:
        self._seeder = seeder
        self._service = service
        self._pool = pool

    async def __call__(self, seconds: float, logins: Sequence[bytes]) -> storm.Aftermath:
        count = max(1, round(_PER_SECOND * seconds / _LANES))
        trickles = [
            storm.Trickle(
                name,
                await BY_NAME[name].prepare(self._seeder, _LANES, count),
                BY_NAME[name].status,
                _PER_SECOND,
            )
            for name in _CALLS
        ]
        load = storm.Storm(processes.HOST, self._service.port, trickles, logins)
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, storm.drive, load)
        except UnexpectedAnswer as error:
            raise processes.BenchmarkError(f"{error}\n{self._service.last_error()}") from None


def _bare_hashes() -> float:
    """bcrypt at this cost on all cores with nothing around it, a second."""
    cores = usable_cores()
    stored = bcrypt.gensalt(COST)
    with ThreadPoolExecutor(cores) as pool:
        started = time.perf_counter()
        for _ in pool.map(lambda _: bcrypt.hashpw(b"password", stored), range(_HASHES * cores)):
            pass
        return _HASHES * cores / (time.perf_counter() - started)


def _disturbed(name: str, idle: storm.Aftermath, flood: storm.Aftermath) -> Disturbed:
    quiet, loud = sorted(idle.latencies[name]), sorted(flood.latencies[name])
    return Disturbed(
        name=name,
        title=BY_NAME[name].title,
        idle_p50=_quantile(quiet, 50),
        idle_p99=_quantile(quiet, 99),
        p50=_quantile(loud, 50),
        p99=_quantile(loud, 99),
    )


def _quantile(latencies: Sequence[float], per_cent: int) -> float:
    """In milliseconds."""
    return round(latencies[len(latencies) * per_cent // 100] * 1e3, 3)
