"""Keys in Redis that say that there are relying parties, and of states that a party leaves behind.

While they are there, events about the end of several sessions name each of them
(`sessions/cut_off.lua`). They have a life, so that nothing is to be done where the last party goes.
"""

import asyncio

from service.events.event import ALL_STREAMS, stream_of
from service.redis.client import RedisClient
from service.redis.keys import PARTIES, PARTIES_LIFE

_LIFE = int(PARTIES_LIFE.total_seconds())


async def mark_all(redis: RedisClient) -> None:
    """Say in each bucket, for a day, that there are relying parties."""
    keys = (stream_of(bucket) + PARTIES.encode() for bucket in ALL_STREAMS)
    await asyncio.gather(*(redis.execute("SET", key, "", "EX", _LIFE) for key in keys))
