"""What time it is for Redis, of whose clock the ids of events are."""

import asyncio
from typing import Any

from service.clock import Clock, milliseconds
from service.events.event import ALL_STREAMS, stream_of
from service.redis.client import RedisClient
from service.redis.keys import CLOCK_SKEW
from service.redis.scripts import Key, script


@script(
    text="""
-- Outcome: ms since 1970
local time = redis.call('TIME')
redis.call('EXISTS', events)
return time[1] * 1000 + math.floor(time[2] / 1000)
""",
    acknowledged=False,
)
def _now(*, events: Key) -> Any:
    """Tell the time of the server that has a stream."""


async def earliest_now(redis: RedisClient) -> int:
    """Tell what time it is, ms, by the slowest clock of all servers that have streams."""
    times = await asyncio.gather(*(_now(redis, events=stream_of(each)) for each in ALL_STREAMS))
    return min(map(int, times))


async def is_right(clock: Clock, redis: RedisClient) -> bool:
    """Tell whether a clock is less than a minute off: whose is not signs nothing that expires."""
    here, there = milliseconds(clock()), int(await _now(redis, events=stream_of(0)))
    return abs(here - there) < CLOCK_SKEW.total_seconds() * 1000
