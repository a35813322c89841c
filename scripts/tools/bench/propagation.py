"""From the 204 of a logout until the last of three app pods refuses the access token.

The pods are the example of docs/examples, each a process under uvicorn with the built guard in
`feed` mode, and each serves other requests meanwhile. Every token was accepted by every pod before,
so all have it in their cache.
"""

import asyncio
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from tools.bench.calls import get, logout
from tools.bench.harness import Place, place
from tools.bench.processes import BenchmarkError, Server
from tools.bench.results import Found, Row
from tools.bench.seeding import Signed
from tools.http_load.connection import Connection
from tools.http_load.quantiles import quantile
from tools.report.progress import StatusLine
from tools.testbed.ports import free_port
from tools.testbed.wheels import build_wheels, wheel_of

_PODS = 3
_EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
_PAUSE = 0.01
"""Seconds between two other requests of a pod."""
_AT_ONCE = 50  # sessions that are opened together


async def measure(told: Namespace, tell: StatusLine) -> Found:
    """Measure one logout after the other, each followed to its end."""
    async with place() as here:
        build_wheels(here.directory)
        with ExitStack() as stack:
            service = stack.enter_context(here.service())
            pods = [stack.enter_context(_pod(here, service, n)) for n in range(_PODS)]
            other = (await here.seeder.open(await here.seeder.accounts(1)))[0]
            background = [asyncio.create_task(_serve_others(pod, other)) for pod in pods]
            latencies, back = await _follow(told.logouts, here, service, pods, tell)
            for task in background:
                task.cancel()
    rows = [
        Row("propagation", "logout", name, round(quantile(sorted(latencies), share) * 1e3, 2),
            "ms", limit=most)
        for name, share, most in (("p50", 0.5, None), ("p99", 0.99, 50), ("highest", 1, None))
    ]  # fmt: skip
    rows.append(Row("propagation", "logout", "accepted again", back, limit=0))
    return Found(rows, {"propagation": f"{told.logouts:,} logouts, {_PODS} pods."})


async def _follow(
    logouts: int, here: Place, service: Server, pods: Sequence[Server], tell: StatusLine
) -> tuple[list[float], int]:
    """Measure seconds for each logout, and how often a pod accepted what it had refused before."""
    connection = await Connection.to(service.endpoint)
    connections = [await Connection.to(pod.endpoint) for pod in pods]
    latencies: list[float] = []
    back = 0
    while len(latencies) < logouts:
        tell(f"logouts seen by {len(pods)} pods: {len(latencies)} of {logouts}")
        users = await here.seeder.accounts(min(_AT_ONCE, logouts - len(latencies)))
        for session in await here.seeder.open(users):
            request = get("/orders", session)
            await asyncio.gather(*(_expect(each, request, 200) for each in connections))
            await _expect(connection, logout(session), 204)
            ended = time.perf_counter()
            seen = await asyncio.gather(*(_refused(each, request) for each in connections))
            latencies.append(max(seen) - ended)
            back += sum([(await each.exchange(request)).status == 200 for each in connections])
    return latencies, back


async def _expect(connection: Connection, request: bytes, status: int) -> None:
    """Ask. Raises `BenchmarkError` where another status comes."""
    found = (await connection.exchange(request)).status
    if found != status:
        raise BenchmarkError(f"expected {status}, but got {found} for {request!r}")


async def _refused(connection: Connection, request: bytes) -> float:
    """Ask without a pause. When the first 401 was here."""
    while (await connection.exchange(request)).status != 401:
        pass
    return time.perf_counter()


async def _serve_others(pod: Server, session: Signed) -> None:
    """Ask as somebody who stays, so that the pod has something else to do."""
    connection = await Connection.to(pod.endpoint)
    with suppress(asyncio.CancelledError):
        while True:
            await _expect(connection, get("/orders", session), 200)
            await asyncio.sleep(_PAUSE)


def _pod(here: Place, service: Server, number: int) -> Server:
    environment = {
        "PYTHONPATH": str(wheel_of("openshow-guard", here.directory)),
        "AUTH_ISSUER": here.settings.issuer,
        "AUTH_AUDIENCE": here.settings.audience,
        "AUTH_JWKS_URL": f"{service.url}/.well-known/jwks.json",
        "AUTH_REDIS_URL": here.redis.url.reveal(),
    }
    program = ("-m", "uvicorn", "--no-access-log", "--app-dir", str(_EXAMPLES))
    arguments = (*program, "--port", str(free_port()), "orders_litestar:app")
    return Server(arguments, here.directory / f"pod-{number}.log", environment)
