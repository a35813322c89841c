"""What every part of the benchmark stands on: a place with servers, and a generator of load."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import msgspec

from service.settings import Secret, Settings
from tools.bench.bare_gets import open_beside_gets
from tools.bench.calls import BY_NAME, Call
from tools.bench.processes import (
    FLOOR_REDIS_URL,
    HOST,
    BenchmarkError,
    RedisServer,
    Server,
    Start,
    embedded,
    one_process,
)
from tools.bench.results import Row, Sample
from tools.bench.seeding import Seeder, seeding
from tools.http_load.loops import (
    Lane,
    OpenLoop,
    Outcome,
    UnexpectedAnswer,
    closed,
    open_and_retrying,
)
from tools.http_load.proc import cpu
from tools.http_load.quantiles import quantile
from tools.testbed.commands import watching
from tools.testbed.migrated import lay
from tools.testbed.ports import free_port
from tools.testbed.service_process import PATIENT

_WARM_UP = 10
"""Requests on each connection: caches fill, connections to the stores open. Never more than are
then measured."""
_COUNTED = 2
"""Requests on each connection whose commands are counted: what is done unasked is left out, and
watching costs time."""
_PER_SECOND = 50.0  # of each call in a trickle
_LANES = 10  # connections of each of these


class Place(msgspec.Struct, frozen=True):
    """A Redis in a directory of its own, and a seeder on the stores of its service."""

    directory: Path
    redis: RedisServer
    seeder: Seeder
    environment: dict[str, str]
    """What the service is set to, each the default where not named here."""

    @property
    def settings(self) -> Settings:
        """The same as the service reads it."""
        return Settings.from_environment(self.environment)

    def service(self, workers: int = 1) -> Server:
        """Make the service as it is started in production."""
        own = {"SERVICE_PORT": str(free_port()), "SERVICE_WORKERS": str(workers)}
        environment = self.environment | own | {"PYTHONUNBUFFERED": "1"}
        return Server(("-m", "service", "serve"), self.directory / "service.log", environment)

    def floor(self) -> Server:
        """Make the floors, under the same server with the same settings."""
        one_node = self.redis.url.reveal().replace("+cluster", "").partition(",")[0]
        environment = {FLOOR_REDIS_URL: one_node}
        arguments = ("-m", "tools.bench.floor", str(free_port()))
        return Server(arguments, self.directory / "floor.log", environment)


@asynccontextmanager
async def place(start: Start | None = None, bcrypt_cost: int = 4) -> AsyncIterator[Place]:
    """Make a place in a temporary directory, by default on the embedded Valkey."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        lay(directory / "service.db")  # a place is made for each round: the migration takes longer
        with (start or embedded())(directory) as redis:
            environment = {
                "SERVICE_ENV": "test",
                "SERVICE_HOST": HOST,
                "SERVICE_BCRYPT_COST": str(bcrypt_cost),
                "SERVICE_RATE_LIMIT": "off",
                "SERVICE_DATA_DIR": name,
                "SERVICE_REDIS_URL": redis.url.reveal(),
                "SERVICE_DATABASE_URL": f"sqlite:///{directory / 'service.db'}",
                **PATIENT,  # a busy machine makes figures worse; it does not end the measuring
            }
            async with seeding(Settings.from_environment(environment)) as seeder:
                yield Place(directory, redis, seeder, environment)


class Generator(AbstractContextManager["Generator"]):
    """Sends loads from a process of its own, while it is entered.

    Nothing else may run meanwhile on the servers whose costs are read.
    """

    def __init__(self) -> None:
        self._pool = one_process()
        self._pid = self._pool.submit(os.getpid).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def cpu(self) -> float:
        """Read its CPU seconds so far."""
        return cpu(self._pid)

    async def call(
        self, place: Place, server: Server, call: Call, connections: int, requests: int
    ) -> Sample:
        """Send a call in closed loops, first to warm up, and read what a request costs.

        Raises:
            BenchmarkError: an answer was not as expected.
        """
        for count in (min(_WARM_UP, requests), requests):
            lanes = await call.prepare(place.seeder, connections, count)
            sample = await self._closed(place, server, lanes, call.status)
        lanes = await call.prepare(place.seeder, connections, _COUNTED)
        with watching(place.redis.nodes) as seen:
            timing = await self._run(server, closed, server.endpoint, lanes, call.status)
        # A script that a server does not know yet comes a second time, whole: it ran once.
        own = sum(name != "EVAL" for name in seen.from_clients)
        count = len(timing.latencies)
        return msgspec.structs.replace(
            sample, round_trips=own / count, commands=(own + len(seen.in_scripts)) / count
        )

    async def _closed(
        self, place: Place, server: Server, lanes: Sequence[Lane], status: int
    ) -> Sample:
        redis_before, cpu_before = place.redis.costs(), server.cpu_by_process()
        timing = await self._run(server, closed, server.endpoint, lanes, status)
        cpu_after, redis = server.cpu_by_process(), place.redis.costs()
        own = [cpu_after[pid] - before for pid, before in cpu_before.items()]
        latencies = sorted(timing.latencies)
        count = len(latencies)

        def spent(name: str) -> float:
            more: float = getattr(redis, name) - getattr(redis_before, name)
            return more / count

        return Sample(
            cpu=sum(own) / count * 1e6,
            busiest=max(own) / count * 1e6,
            per_second=count / timing.elapsed,
            p50=quantile(latencies, 0.5) * 1e3,
            p99=quantile(latencies, 0.99) * 1e3,
            redis_cpu=spent("cpu") * 1e6,
            redis_main_thread=spent("main_thread") * 1e6,
        )

    async def open(
        self,
        server: Server,
        loops: Sequence[OpenLoop],
        retrying: Sequence[bytes] = (),
        seconds: float = 0,
    ) -> Outcome:
        """Send open loops, and retrying ones beside them (`open_and_retrying`).

        Raises:
            BenchmarkError: an answer was not as expected.
        """
        outcome: Outcome = await self._run(
            server, open_and_retrying, server.endpoint, loops, retrying, seconds
        )
        return outcome

    async def open_beside_gets(
        self, server: Server, loops: Sequence[OpenLoop], redis: Secret
    ) -> Outcome:
        """Send open loops, and bare GETs of Redis beside them.

        Raises:
            BenchmarkError: an answer was not as expected.
        """
        outcome: Outcome = await self._run(server, open_beside_gets, server.endpoint, loops, redis)
        return outcome

    async def _run(self, server: Server, load: Callable[..., Any], *arguments: object) -> Any:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, load, *arguments)
        except UnexpectedAnswer as error:
            raise BenchmarkError(f"{error}\n{server.last_error()}") from None


async def trickles(seeder: Seeder, names: Sequence[str], seconds: float) -> Sequence[OpenLoop]:
    """Prepare a trickle of each call, for so many seconds."""
    count, calls = max(1, round(_PER_SECOND * seconds / _LANES)), [BY_NAME[name] for name in names]
    return [
        OpenLoop(call.name, await call.prepare(seeder, _LANES, count), call.status, _PER_SECOND)
        for call in calls
    ]


async def alone(
    generator: Generator, here: Place, service: Server, names: Sequence[str], seconds: float
) -> Outcome:
    """Send a trickle of each call, with nothing beside it."""
    return await generator.open(service, await trickles(here.seeder, names, seconds))


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
        rows = [
            *latency_rows(row, _latencies(name, idle), "idle p50", "idle p99"),
            *latency_rows(row, _latencies(name, loud), "p50", "p99"),
        ]
        yield from rows
        yield row.figure("p99 × idle", round(rows[3].value / rows[1].value, 2), limit=limit)


_SHARES = {"lowest": 0, "p50": 0.5, "p99": 0.99, "highest": 1}


def latency_rows(
    like: Row, seconds: Sequence[float], *metrics: str, limit: float | None = None
) -> Iterator[Row]:
    """Tell quantiles, by the last word of each metric. `limit`: the most that p99 may be, ms."""
    ordered = sorted(seconds)
    for metric in metrics:
        share = _SHARES[metric.rpartition(" ")[2]]
        value = round(quantile(ordered, share) * 1e3, 3)
        yield like.figure(metric, value, "ms", limit if metric == "p99" else None)


def _latencies(name: str, rounds: Sequence[Outcome]) -> list[float]:
    return [seconds for each in rounds for seconds in each.latencies[name]]
