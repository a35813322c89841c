"""App pods: the example of docs/examples, each a process under uvicorn with the built guard in
`feed` mode."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tools.bench.calls import get
from tools.bench.harness import Place
from tools.bench.processes import BenchmarkError, Server
from tools.bench.seeding import Signed
from tools.http_load.connection import Connection
from tools.testbed.ports import free_port
from tools.testbed.wheels import wheel_of

PODS = 3
_EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
_PAUSE = 0.01
"""Seconds between two other requests of a pod."""


async def expect(connection: Connection, request: bytes, status: int) -> None:
    """Ask. Raises `BenchmarkError` where another status comes."""
    found = (await connection.exchange(request)).status
    if found != status:
        raise BenchmarkError(f"expected {status}, but got {found} for {request!r}")


async def end(
    service: Connection, pods: Sequence[Connection], request: bytes, status: int, session: Signed
) -> tuple[float, float]:
    """End a session that every pod accepts, and ask until all refuse it.

    Seconds until then, from before the request and from its answer on. Pods are asked only then:
    they would slow the request down, and who refuses earlier is not seen to.
    """
    asked = get("/orders", session)
    await asyncio.gather(*(expect(each, asked, 200) for each in pods))
    sent = time.perf_counter()
    await expect(service, request, status)
    answered = time.perf_counter()
    seen = max(await asyncio.gather(*(refused(each, asked) for each in pods)))
    return seen - sent, seen - answered


async def refused(connection: Connection, request: bytes) -> float:
    """Ask without a pause. When the first 401 was here."""
    while (await connection.exchange(request)).status != 401:
        pass
    return time.perf_counter()


async def serve_others(server: Server, session: Signed) -> None:
    """Ask as somebody who stays, so that the pod has something else to do."""
    connection = await Connection.to(server.endpoint)
    with suppress(asyncio.CancelledError):
        while True:
            await expect(connection, get("/orders", session), 200)
            await asyncio.sleep(_PAUSE)


def pod(here: Place, service: Server, number: int) -> Server:
    """Make an app pod, whose guard follows the feed."""
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
