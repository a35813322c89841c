"""From the 204 of a logout until the last of three app pods refuses the access token; and from the
end of everybody's sessions, in a store that has many.

Each pod serves other requests meanwhile. Every token was accepted by every pod before, so all have
it in their cache.
"""

import asyncio
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from secrets import token_bytes

import msgspec

from service.redis.keys import BUCKETS
from service.sessions.origin import NOBODY
from tools.bench import provider_logouts
from tools.bench.app_pods import PODS, end, expect, pod, refused, serve_others
from tools.bench.calls import get, logout
from tools.bench.harness import Place, latency_rows, place
from tools.bench.processes import Server
from tools.bench.results import Found, Row
from tools.bench.seeding import fill
from tools.http_load.connection import Connection
from tools.report.progress import StatusLine
from tools.seed.stores import open_stores
from tools.testbed.wheels import build_wheels

_AT_ONCE = 50  # sessions that are opened together
_WATCHED = 4  # buckets in which somebody is followed


async def measure(told: Namespace, tell: StatusLine) -> Found:
    """Measure one logout after the other, each followed to its end."""
    async with place() as here:
        build_wheels(here.directory)
        with ExitStack() as stack:
            issuer, provider = stack.enter_context(provider_logouts.provider())
            here = msgspec.structs.replace(here, environment=here.environment | provider)
            service = stack.enter_context(here.service())
            pods = [stack.enter_context(pod(here, service, n)) for n in range(PODS)]
            other = (await here.seeder.open(await here.seeder.accounts(1)))[0]
            background = [asyncio.create_task(serve_others(each, other)) for each in pods]
            latencies, back = await _follow(told.logouts, here, service, pods, tell)
            from_post = await provider_logouts.follow(
                told.logouts, here, issuer, service, pods, tell
            )
            for task in background:
                task.cancel()
            with tell.counting("sessions opened", told.sessions_most) as progress:
                await fill(here.settings, told.sessions_most, progress)
            everybody = await _follow_everybody(told.cut_offs, here, pods, tell)
    logouts, metrics = Row("propagation", "logout", "", 0), ("p50", "p99", "highest")
    like = Row("propagation", "cut-off of everybody", "", 0, by="sessions", at=told.sessions_most)
    rows = [
        *latency_rows(logouts, latencies, *metrics, limit=50),
        logouts.figure("accepted again", back, limit=0),
        *from_post,
        *latency_rows(like, everybody, *metrics, limit=50),
    ]
    note = (
        f"{told.logouts:,} logouts of each kind, {PODS} pods. Everybody: {told.cut_offs} times, "
        f"from when all {BUCKETS} buckets were cut off, with tokens in {_WATCHED} of them."
    )
    return Found(rows, {"propagation": note})


async def _follow(
    logouts: int, here: Place, service: Server, pods: Sequence[Server], tell: StatusLine
) -> tuple[list[float], int]:
    """Measure seconds for each logout, and how often a pod accepted what it had refused before."""
    connection = await Connection.to(service.endpoint)
    connections = [await Connection.to(each.endpoint) for each in pods]
    latencies: list[float] = []
    back = 0
    while len(latencies) < logouts:
        tell(f"logouts seen by {len(pods)} pods: {len(latencies)} of {logouts}")
        users = await here.seeder.accounts(min(_AT_ONCE, logouts - len(latencies)))
        for session in await here.seeder.open(users):
            request = get("/orders", session)
            _, took = await end(connection, connections, logout(session), 204, session)
            latencies.append(took)
            back += sum([(await each.exchange(request)).status == 200 for each in connections])
    return latencies, back


async def _follow_everybody(
    cut_offs: int, here: Place, pods: Sequence[Server], tell: StatusLine
) -> list[float]:
    """Measure seconds for each cut-off, with tokens in the last bucket and in others each time."""
    connections = [await Connection.to(each.endpoint) for each in pods]
    latencies: list[float] = []
    async with open_stores(here.settings) as stores:
        for turn in range(cut_offs):
            tell(f"cut-offs of everybody seen by {len(pods)} pods: {turn} of {cut_offs}")
            numbers = [(turn * 3 + n) % (BUCKETS - 1) for n in range(_WATCHED - 1)]
            users = [bytes([n]) + token_bytes(15) for n in (*numbers, BUCKETS - 1)]
            requests = [get("/orders", session) for session in await here.seeder.open(users)]
            for each in connections:
                for request in requests:
                    await expect(each, request, 200)
            await stores.sessions.cut_offs.everybody(NOBODY, reason="bench", by="bench")
            ended = time.perf_counter()
            seen = await asyncio.gather(*(_all_refused(each, requests) for each in connections))
            latencies.append(max(seen) - ended)
    return latencies


async def _all_refused(connection: Connection, requests: Sequence[bytes]) -> float:
    """Ask with each token until it is refused. When the last was."""
    return max([await refused(connection, request) for request in requests])
