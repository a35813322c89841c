"""Keys in Redis that say that there are relying parties, and of states that a party leaves behind.

While they are there, events about the end of several sessions name each of them
(`sessions/cut_off.lua`). They have a life, so that nothing is to be done where the last party goes.
"""

import asyncio

from service.events.event import ALL_STREAMS, stream_of
from service.redis.client import RedisClient
from service.redis.every_bucket import values_of
from service.redis.keys import PARTIES, PARTIES_LIFE

_LIFE = int(PARTIES_LIFE.total_seconds())

_KEYS = tuple(stream_of(bucket) + PARTIES.encode() for bucket in ALL_STREAMS)


async def mark_all(redis: RedisClient) -> None:
    """Say in each bucket, for a day, that there are relying parties."""
    await asyncio.gather(*(redis.execute("SET", key, "", "EX", _LIFE) for key in _KEYS))


async def are_marked(redis: RedisClient) -> bool:
    """Tell whether each bucket says so: FLUSHALL takes it away with all else."""
    found = await values_of(redis, dict(zip(ALL_STREAMS, _KEYS, strict=True)))
    return len(found) == len(_KEYS) and None not in found.values()
