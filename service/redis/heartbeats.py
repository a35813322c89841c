"""Writes heartbeats beside the feed: proof for guards that they read a primary that counts.

A heartbeat follows a change that replicas have acknowledged, as many as make a majority of the
servers together with the primary. So a primary that was replaced, and is cut off with whoever still
reads it, gets none, and its guards notice (`guard/control_streams.py`).
"""

from contextlib import suppress
from typing import Any

from service.errors import StoreUnavailable
from service.redis.bounded_gather import map_few_at_once
from service.redis.client import RedisClient
from service.redis.every_bucket import ask_each
from service.redis.keys import BARRIER, BARRIER_LIFE, BUCKETS, TAGS, numbered
from service.redis.scripts import Key, script
from service.repeating import repeat

EVERY = 1.0
"""Seconds between two heartbeats, however many processes write them."""
_EVERY_MS = round(EVERY * 1000)


@script(
    text="""
-- Outcome: 1 if the last entry is as old as that, ms
local last = redis.pcall('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1] -- none, if it is no stream
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if last and math.abs(now - tonumber(last[1]:match('^%d+'))) < tonumber(every) then return 0 end
return 1
""",
    acknowledged=False,
    one_key=True,
)
def is_due(*, stream: Key, every: int) -> Any:
    """Tell whether a stream is to have another entry."""


@script(
    text="redis.call('SET', barrier, '', 'PX', LIFE) return 1", constants={"LIFE": BARRIER_LIFE}
)
def _be_acknowledged(*, barrier: Key) -> Any:
    """Change something that replicas must have."""


@script(
    text="redis.call('XADD', beat, 'MAXLEN', 1, '*', 'every', every) return 1", acknowledged=False
)
def _write(*, beat: Key, every: int) -> Any:
    """Write a heartbeat."""


@script(text="return redis.call('DEL', stream)", acknowledged=False)
def forget(*, stream: Key) -> Any:
    """Demand no entry of a stream any more."""


def needed_acknowledgements(replicas: int) -> int:
    """Return how many of so many replicas are, with the primary, a majority of all servers."""
    return (replicas + 1) // 2


class Heartbeats:
    """Writes heartbeats in the background; or does away with those of before."""

    def __init__(self, redis: RedisClient, *, on: bool) -> None:
        """Write nothing yet. The changes of `redis` wait for a majority of the servers."""
        self._redis = redis
        self._on = on
        # One connection reads all buckets of a server, and those of a cluster one each.
        self._buckets = range(BUCKETS if redis.topology == "cluster" else 1)

    async def run(self) -> None:
        """Write them until it is cancelled. Where they are off, take those away that are there."""
        await repeat("heartbeats", self.look, EVERY / 2 if self._on else 60)

    async def look(self) -> None:
        """Write what is due, wherever a server answers and replicas acknowledge a change."""
        due = list(self._buckets)
        if self._on:
            questions = {number: self._question(number) for number in due}
            found = await ask_each(self._redis, is_due, questions)
            due = [number for number in due if found[number] == 1]
        await map_few_at_once(self._renew if self._on else self._forget, due)

    async def _renew(self, number: int) -> None:
        with suppress(StoreUnavailable):  # readiness tells; and that there is none, the guards
            await _be_acknowledged(self._redis, barrier=BARRIER.encode() + TAGS[number])
            await _write(self._redis, beat=numbered(number).beat, every=_EVERY_MS)

    async def _forget(self, number: int) -> None:
        with suppress(StoreUnavailable):  # readiness tells
            await forget(self._redis, stream=numbered(number).beat)

    def _question(self, number: int) -> dict[str, Any]:
        return {"stream": numbered(number).beat, "every": _EVERY_MS * 9 // 10}
