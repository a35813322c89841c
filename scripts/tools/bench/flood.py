"""A flood of logins against one worker: how many it serves, and what other calls feel of it.

In each round, one after the other: the other calls alone, bare bcrypt on all cores, the flood
alone, and the flood with the other calls beside it.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from secrets import token_urlsafe
from statistics import median
from tempfile import TemporaryDirectory

import bcrypt
import msgspec

from service.accounts.hashing import usable_cores
from tools.bench import processes
from tools.bench.budget import Account, Budget, account, budget
from tools.bench.calls import login
from tools.bench.results import Found, Row
from tools.bench.seeding import Seeder, seeding
from tools.bench.trickles import compared, send, trickles
from tools.http_load.loops import Outcome

COST = 12
_UNTIMED = "503 without Retry-After"
_CALLS = ("refresh", "logout")
_WARM_UP = 1.0  # seconds: caches fill, connections to the stores open


class Plan(msgspec.Struct, frozen=True):
    """How many connections log in, for how many seconds at a time, how many times."""

    connections: int
    seconds: float
    rounds: int


async def measure(binary: Path | None, plan: Plan, tell: Callable[[str], None]) -> Found:
    """Measure rounds on one worker."""
    spawn = multiprocessing.get_context("spawn")
    rounds: list[_Round] = []
    with (
        TemporaryDirectory() as name,
        processes.redis_server(Path(name), binary) as redis,
        ProcessPoolExecutor(1, mp_context=spawn) as pool,
    ):
        directory = Path(name)
        async with seeding(processes.settings(directory, redis, COST)) as seeder:
            with processes.service(directory, redis, COST) as service:
                password = token_urlsafe()
                emails = await seeder.people(plan.connections, password)
                logins = [login(email, password) for email in emails]
                run = _Run(seeder, service, redis, pool)
                await run(_WARM_UP, _CALLS, ())
                for number in range(plan.rounds):
                    tell(f"round {number + 1} of {plan.rounds}: a flood of logins")
                    rounds.append(await _round(run, plan.seconds, logins))
    return _flood(plan, rounds)


class _Round(msgspec.Struct, frozen=True):
    idle: Outcome
    hashes: float
    alone: Outcome
    budget: Budget | None
    beside: Outcome


class _Run:
    """Sends trickle and flood from a process of its own."""

    def __init__(
        self,
        seeder: Seeder,
        service: processes.Server,
        redis: processes.RedisServer,
        pool: ProcessPoolExecutor,
    ) -> None:
        self.budget: Budget | None = None
        self._seeder = seeder
        self._service = service
        self._redis = redis
        self._pool = pool
        self._client = pool.submit(os.getpid).result()

    async def __call__(
        self, seconds: float, names: Sequence[str], logins: Sequence[bytes]
    ) -> Outcome:
        """Leaves in `budget` who had the cores, and returns when all has calmed down."""
        beside = await trickles(self._seeder, names, seconds)
        before = self._account()
        outcome = await send(self._service, self._pool, beside, logins, seconds)
        self.budget = budget(before, self._account())
        self._service.wait_until_quiet()  # logins that nobody waits for any more are hashed still
        return outcome

    def _account(self) -> Account | None:
        return account(self._service, self._redis.costs().cpu, processes.cpu(self._client))


async def _round(run: _Run, seconds: float, logins: Sequence[bytes]) -> _Round:
    idle = await run(seconds, _CALLS, ())
    hashes = _bare_hashes(seconds)
    alone = await run(seconds, (), logins)
    cores = run.budget
    return _Round(idle, hashes, alone, cores, await run(seconds, _CALLS, logins))


def _bare_hashes(seconds: float) -> float:
    """bcrypt at this cost on all cores with nothing around it, a second."""
    stored = bcrypt.gensalt(COST)
    started = time.perf_counter()

    def hash_on(_: int) -> float:
        count = 0
        while time.perf_counter() - started < seconds:
            bcrypt.hashpw(b"password", stored)
            count += 1
        return count / (time.perf_counter() - started)

    cores = usable_cores()
    with ThreadPoolExecutor(cores) as pool:
        return sum(pool.map(hash_on, range(cores)))


def _flood(plan: Plan, rounds: Sequence[_Round]) -> Found:
    floods = [flood for each in rounds for flood in (each.alone, each.beside)]
    shed = sum(flood.answers.get(503, 0) for flood in floods)
    sent = sum(sum(flood.answers.values()) for flood in floods)
    hashes = _median(each.hashes for each in rounds)
    like = Row("flood", "login", "", 0)
    rows = [
        msgspec.structs.replace(
            like, metric=metric, value=value, unit=unit, limit=limit, at_least=metric != _UNTIMED
        )
        for metric, value, unit, limit in (
            ("bare hashes", hashes, "/s", None),
            ("core time of a hash", round(usable_cores() / hashes * 1e3, 1), "ms", None),
            ("alone", _median(each.alone.successes_per_second for each in rounds), "/s", None),
            ("alone, of bare hashes",
             100 * _median(each.alone.successes_per_second / each.hashes for each in rounds),
             "%", 90),
            ("beside calls, of bare hashes",
             100 * _median(each.beside.successes_per_second / each.hashes for each in rounds),
             "%", None),
            ("shed", round(100 * shed / max(sent, 1), 1), "%", None),
            (_UNTIMED, sum(flood.without_retry_after for flood in floods), "", 0),
        )
    ]  # fmt: skip
    rows += compared(_CALLS, [r.idle for r in rounds], [r.beside for r in rounds], like)
    note = (
        f"{plan.connections} connections log in, bcrypt at cost {COST}; medians of {plan.rounds} "
        f"rounds of {plan.seconds:g} s."
    )
    cores = rounds[-1].budget
    return Found(rows, {"flood": f"{note} {cores.words()}" if cores else note})


def _median(figures: Iterable[float]) -> float:
    return round(median(figures), 3)
