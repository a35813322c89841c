"""What a run says when it is done: what was added, and by how much Redis has grown."""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
from redis.exceptions import ResponseError

from service.redis.client import RedisClient
from service.redis.keys import BUCKETS, numbered
from tools.seed.accounts import Login, address
from tools.seed.export import Export
from tools.seed.filling import Plan, Tally

_BYTES_OF = "return redis.call('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', 0)"
"""A script, because a link finds the server of a script in a cluster by its key."""


class Holdings(msgspec.Struct, frozen=True):
    """Of all primaries together."""

    keys: int
    """Without streams of events."""
    bytes: int
    """Allocated, without streams of events and without what clients and the log have in buffers."""
    event_bytes: int
    """Of the streams of events, which are capped: so they are no cost of a session."""

    def since(self, before: "Holdings") -> "Holdings":
        """Count what has been added."""
        return Holdings(
            self.keys - before.keys,
            self.bytes - before.bytes,
            self.event_bytes - before.event_bytes,
        )


async def holdings(redis_client: RedisClient) -> Holdings | None:
    """Ask what Redis holds; `None` where its user may not, as one with the least rights.

    Raises:
        StoreUnavailable
    """
    try:
        infos = [_fields(info) for info in await redis_client.ask_all("INFO", "memory")]
        keys = sum(await redis_client.ask_all("DBSIZE"))
        streams = await asyncio.gather(
            *(
                redis_client.execute("EVAL", _BYTES_OF, 1, numbered(bucket).events)
                for bucket in range(BUCKETS)
            )
        )
    except ResponseError:
        return None
    events = [size for size in streams if size is not None]
    used = sum(_used(info) for info in infos)
    return Holdings(keys - len(events), used - sum(events), sum(events))


def _used(info: dict[str, str]) -> int:
    buffers = ("mem_clients_normal", "mem_clients_slaves", "mem_aof_buffer")
    return int(info["used_memory"]) - sum(int(info.get(name, 0)) for name in buffers)


def _fields(info: Any) -> dict[str, str]:
    lines = (line.partition(":") for line in info.decode().splitlines())
    return {name: value.strip() for name, separator, value in lines if separator}


_ENOUGH = 1000
"""Sessions, for bytes that a server's buffers and tables take by the way not to count."""


def report(
    plan: Plan, tally: Tally, login: Login, seconds: float, growth: Holdings | None
) -> Iterator[str]:
    """Write the lines, one of which shows the password."""
    first, last = (address(plan.prefix, number).as_given for number in (1, plan.users))
    yield f"accounts        {plan.users:,}: {first} to {last}"
    yield f"                {tally.accounts_added:,} added, {tally.accounts_found:,} found"
    yield f"password        {login.password}"
    yield f"sessions        {plan.sessions:,}, {plan.sessions_each:,} for each account"
    opened, found = tally.sessions_opened, tally.sessions_found
    rate = f" in {seconds:,.1f} s: {opened / seconds:,.0f} a second" if opened else ""
    yield f"                {found:,} found, {opened:,} opened{rate}"
    if tally.users_over:
        yield f"                {tally.users_over:,} accounts have more, and keep them"
    if opened:
        yield from _growth(tally, growth)


def _growth(tally: Tally, growth: Holdings | None) -> Iterator[str]:
    if growth is None:
        yield "bytes, keys     not told: this user of Redis may not ask (MEMORY, DBSIZE)"
        return
    opened, begun = tally.sessions_opened, tally.indexes_begun
    if opened < _ENOUGH:
        yield f"bytes           told from {_ENOUGH:,} new sessions on: less is noise"
    else:
        yield f"bytes           {growth.bytes / opened:,.1f} a session, index and expiry included;"
        yield f"                besides, streams of events, capped: {growth.event_bytes:,}"
    yield f"keys            {growth.keys:,} more: {(growth.keys - begun) / opened:.2f} a session"
    if begun:
        yield f"                and {growth.keys / begun:.2f} a user, of whom {begun:,} had none"


def exported(export: Export, tally: Tally) -> Iterator[str]:
    """Say what became of the file."""
    new = export.lines - export.found
    yield f"export          {export.path}: {export.lines:,} lines, {new:,} new"
    unknown = tally.sessions_found - export.found
    if unknown > 0 and not export.is_full:
        yield f"                {unknown:,} sessions were there before without a line: their tokens"
        yield "                are lost, for Redis has only digests; --prefix makes other accounts"
