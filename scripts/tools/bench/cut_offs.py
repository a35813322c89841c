"""What the end of all sessions of a user who has many costs Redis.

It is one step, however many sessions there are. The index is freed by another thread of Redis, so
what its main thread takes is counted by itself.
"""

import asyncio
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from secrets import token_bytes
from statistics import median
from typing import Any

import msgspec

from service.redis.keys import bucket
from service.sessions.origin import NOBODY
from service.sessions.record import Authentication
from service.sessions.sessions import Sessions
from tools.bench.harness import Place, place
from tools.bench.processes import EMPTY_SCRIPT, RedisServer, embedded
from tools.bench.results import Found, Row
from tools.http_load.concurrently import gather
from tools.report.progress import StatusLine
from tools.seed.devices import devices
from tools.seed.filling import AT_ONCE
from tools.seed.stores import open_stores

_USERS = 9
"""Whose sessions are ended, one after the other."""
_WRITES = "return redis.call('SET', 'floor', '1')"
_FREES = 0.2
"""Seconds in which another thread of Redis frees what was unlinked."""
_LIMIT = 100  # µs of Redis' main thread, in the script
_PATIENCE_MS = 30_000  # for a reply while a store is filled


async def measure(told: Namespace, tell: StatusLine) -> Found:
    """Measure cut-offs of users, then those of everybody."""
    rows: list[Row] = []
    async with place(embedded(told.redis)) as here, _sessions(here, told) as sessions:
        here.redis.client.config_set("auto-aof-rewrite-percentage", 0)  # never while it counts
        rows += await _floor(here.redis)
        for count in (1, told.user_sessions):
            rows += await _of_users(here.redis, sessions, count, tell)
    note = (
        f"{_USERS} users, one after the other: medians, of all threads the mean. CPU includes "
        f"an fsync, where something is written, and what it costs to ask Redis for the figures."
    )
    return Found(rows, {"cutoffs": note})


@asynccontextmanager
async def _sessions(here: Place, told: Namespace) -> AsyncIterator[Sessions]:
    """Open the use cases of sessions, for users who may have many."""
    settings = msgspec.structs.replace(
        here.settings,
        max_sessions=max(told.user_sessions, here.settings.max_sessions),
        redis_reply_timeout_ms=_PATIENCE_MS,
    )
    async with open_stores(settings) as stores:
        yield stores.sessions


async def _floor(redis: RedisServer) -> list[Row]:
    """Measure an empty script, and one that writes: an fsync, as for a cut-off."""
    rows: list[Row] = []
    for call, text in (("a bare EVALSHA", EMPTY_SCRIPT), ("an EVALSHA that writes", _WRITES)):
        digest = redis.client.script_load(text)

        async def ask(_: int, digest: str = digest) -> object:
            return redis.client.evalsha(digest, 0)

        rows += await _costs(Row("cutoffs", call, "", 0), redis, ask, range(_USERS))
    return rows


async def _of_users(
    redis: RedisServer, sessions: Sessions, count: int, tell: StatusLine
) -> list[Row]:
    """Measure the cut-off of users who have so many sessions each."""
    tell(f"cut-offs of {_USERS} users with {count:,} sessions each")
    users, clients = [token_bytes(16) for _ in range(_USERS + 1)], devices(4)

    async def open_one(user_id: bytes) -> object:
        return await sessions.open_unsigned(
            user_id, Authentication.PASSWORD, "user.loggedIn", next(clients)
        )

    await gather(open_one, [user_id for user_id in users for _ in range(count)], AT_ONCE)
    # The script is there afterwards.
    await sessions.cut_offs.end_all(users.pop(), NOBODY, reason="bench")
    entries = _entries(redis, users)
    like = Row("cutoffs", "cut-off of a user", "", 0, by="sessions", at=count)

    async def end_all(user_id: bytes) -> object:
        return await sessions.cut_offs.end_all(user_id, NOBODY, reason="bench")

    rows = await _costs(like, redis, end_all, users, _LIMIT if count > 1 else None)
    told = (_entries(redis, users) - entries) / _USERS
    return [*rows, like.figure("feed entries", told, limit=1)]


async def _costs(
    like: Row,
    redis: RedisServer,
    call: Callable[[Any], Awaitable[object]],
    subjects: Iterable[Any],
    limit: float | None = None,
) -> list[Row]:
    """Measure one call after the other. What the script takes is on a clock, all else is CPU."""
    first, in_scripts, main_thread = redis.costs(), list[float](), list[float]()
    for each in subjects:
        before = redis.costs()
        await call(each)
        after = redis.costs()
        in_scripts.append(after.in_scripts - before.in_scripts)
        main_thread.append(after.main_thread - before.main_thread)
    await asyncio.sleep(_FREES)
    script, main = (round(median(each) * 1e6, 1) for each in (in_scripts, main_thread))
    every = round((redis.costs().cpu - first.cpu) / len(in_scripts) * 1e6, 1)
    return [
        like.figure("the script", script, "µs", limit),
        like.figure("CPU of the main thread", main, "µs"),
        like.figure("CPU of all threads", every, "µs"),
    ]


def _entries(redis: RedisServer, users: Iterable[bytes]) -> int:
    """Count what the feeds of these users have ever had."""
    feeds = {bucket(user_id).revoked for user_id in users}
    return sum(redis.client.xlen(feed) for feed in feeds)
