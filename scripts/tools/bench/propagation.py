"""From the 204 of a logout until the last of three app pods refuses the access token.

The pods are the example of docs/examples, each a process under uvicorn with the built guard in
`feed` mode, and each serves other requests meanwhile. Every token was accepted by every pod before,
so all have it in their cache.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from service.settings import Settings
from tools.bench import processes
from tools.bench.calls import get, logout
from tools.bench.results import Found, Row
from tools.bench.seeding import Seeder, Signed, seeding
from tools.http_load.connection import Connection
from tools.http_load.quantiles import quantile
from tools.testbed.ports import free_port
from tools.testbed.wheels import build_wheels, wheel_of

_PODS = 3
_EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
_PAUSE = 0.01
"""Seconds between two other requests of a pod."""
_AT_ONCE = 50  # sessions that are opened together


async def measure(logouts: int, tell: Callable[[str], None]) -> Found:
    """One logout after the other, each followed to its end."""
    with TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        build_wheels(directory)
        redis = stack.enter_context(processes.redis_server(directory))
        settings = processes.settings(directory, redis)
        service = stack.enter_context(processes.service(directory, redis))
        pods = [
            stack.enter_context(_pod(directory / f"pod-{number}.log", settings, service.port))
            for number in range(_PODS)
        ]
        async with seeding(settings) as seeder:
            other = (await seeder.open(await seeder.accounts(1)))[0]
            background = [asyncio.create_task(_serve_others(pod, other)) for pod in pods]
            latencies, back = await _follow(logouts, seeder, service, pods, tell)
            for task in background:
                task.cancel()
    latencies.sort()
    rows = [
        Row(
            "propagation",
            "logout",
            name,
            round(value * 1e3, 2),
            "ms",
            limit=most,
        )
        for name, value, most in (
            ("p50", quantile(latencies, 0.5), None),
            ("p99", quantile(latencies, 0.99), 50),
            ("highest", latencies[-1], None),
        )
    ]
    rows.append(Row("propagation", "logout", "accepted again", back, limit=0))
    return Found(rows, {"propagation": f"{logouts:,} logouts, {_PODS} pods."})


async def _follow(
    logouts: int,
    seeder: Seeder,
    service: processes.Server,
    pods: Sequence[processes.Server],
    tell: Callable[[str], None],
) -> tuple[list[float], int]:
    """Seconds for each logout, and how often a pod accepted what it had refused before."""
    asker = await _Asker.of(service)
    askers = [await _Asker.of(pod) for pod in pods]
    latencies: list[float] = []
    back = 0
    while len(latencies) < logouts:
        tell(f"logouts seen by {len(pods)} pods: {len(latencies)} of {logouts}")
        users = await seeder.accounts(min(_AT_ONCE, logouts - len(latencies)))
        for session in await seeder.open(users):
            request = get("/orders", session)
            await asyncio.gather(*(each.expect(request, 200) for each in askers))
            await asker.expect(logout(session), 204)
            ended = time.perf_counter()
            seen = await asyncio.gather(*(each.refused(request) for each in askers))
            latencies.append(max(seen) - ended)
            back += sum([await each.ask(request) == 200 for each in askers])
    return latencies, back


class _Asker:
    """A connection to a server, for one question at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    async def of(cls, server: processes.Server) -> "_Asker":
        return cls(await Connection.to(server.endpoint))

    async def ask(self, request: bytes) -> int:
        """The status of the answer."""
        return (await self._connection.exchange(request)).status

    async def expect(self, request: bytes, status: int) -> None:
        """Ask.

        Raises:
            BenchmarkError: another status came.
        """
        found = await self.ask(request)
        if found != status:
            raise processes.BenchmarkError(f"expected {status}, but got {found} for {request!r}")

    async def refused(self, request: bytes) -> float:
        """Ask without a pause. When the first 401 was here."""
        while await self.ask(request) != 401:
            pass
        return time.perf_counter()


async def _serve_others(pod: processes.Server, session: Signed) -> None:
    """Requests of somebody who stays, so that the pod has something else to do."""
    asker = await _Asker.of(pod)
    with suppress(asyncio.CancelledError):
        while True:
            await asker.expect(get("/orders", session), 200)
            await asyncio.sleep(_PAUSE)


@contextmanager
def _pod(log: Path, settings: Settings, service_port: int) -> Iterator[processes.Server]:
    port = free_port()
    command = ["-m", "uvicorn", "--no-access-log", "--app-dir", str(_EXAMPLES)]
    environment = {
        "PYTHONPATH": str(wheel_of("openshow-guard", log.parent)),
        "AUTH_ISSUER": settings.issuer,
        "AUTH_AUDIENCE": settings.audience,
        "AUTH_JWKS_URL": f"http://{processes.HOST}:{service_port}/.well-known/jwks.json",
        "AUTH_REDIS_URL": settings.redis_url.reveal(),
    }
    arguments = [sys.executable, *command, "--port", str(port), "orders_litestar:app"]
    with processes.running(arguments, environment, port, log) as server:
        yield server
