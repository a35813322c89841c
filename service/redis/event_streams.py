"""Keeps the streams of audit events within bounds, and tells how many were dropped by number.

Events go when they are old (`EventStreams`). Only a stream that is nearly full gives some up
before: of whoever has written most of it, so that no account pushes another's out
(`event_surplus.py`). Should it fill up faster than it is looked at, the scripts that write drop
those of whoever stands out in a sample; where nobody does, the oldest. They count them under
`events:{b}:dropped`.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog

from service.errors import StoreRefuses, UnknownLayout
from service.redis.client import RedisClient
from service.redis.event_surplus import NEARLY_FULL, make_room
from service.redis.every_bucket import answered, ask_each
from service.redis.keys import BUCKETS, DROPPED, EVENTS_KEPT, SINK, numbered
from service.redis.scripts import Key, script
from service.repeating import repeat

log = structlog.get_logger()

ADVICE = (
    "RENAME the key, and find out who else writes to this Redis: nobody in its bucket is served"
)
"""What to do about something else at the key of events."""

_PERIOD = 10.0
"""Seconds between two looks at all streams."""

_LATE = 10_000
"""By how many ms an event may be older than it should be: one process trims a stream then, and
those that look afterwards find nothing to do."""

_REST = 600.0
"""Seconds until a stream is read whole again in which nobody had too many."""


@script(
    text="""
-- Outcome: {how many were dropped by number since the last look, how many are left}
local names = {}
for name in sinks:gmatch('%S+') do names[#names + 1] = name end
local time = redis.call('TIME')
local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - age
local first = string.format('%.0f', oldest)
local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
for _, name in ipairs(names) do
  -- What a sink has not got yet is kept, unless there are too many.
  local cursor = redis.call('HGET', stream .. SINK .. name, 'cursor')
  local arrived = cursor and tonumber(cursor:match('^%d+')) or 0
  if arrived < oldest and newest and newest[1] ~= cursor then
    oldest, first = arrived, cursor or '0'
  end
end
if oldest > 0 then redis.call('XTRIM', stream, 'MINID', first) end
local counter = stream .. DROPPED
local dropped = redis.call('GET', counter)
if dropped then redis.call('DEL', counter) end
return {tonumber(dropped or 0), redis.call('XLEN', stream)}
""",
    constants={"DROPPED": DROPPED, "SINK": SINK},
    acknowledged=False,  # lost, it is done again
)
def _trim(*, stream: Key, age: int, sinks: str) -> Any:
    """Drop events older than `age` ms, and take over the count of what was dropped before.

    None that one of the `sinks`, whose names have blanks between, has yet to get.
    """


@script(
    text="""
-- Outcome: 1 if events are older than that, ms, or too many, or some were dropped by number
local time = redis.call('TIME')
local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
local oldest = first and tonumber(first[1]:match('^%d+'))
if oldest and oldest < time[1] * 1000 - tonumber(age) then return 1 end
if redis.call('XLEN', stream) > tonumber(most) then return 1 end
return redis.call('EXISTS', stream .. DROPPED)
""",
    constants={"DROPPED": DROPPED},
    acknowledged=False,
)
def _is_due(*, stream: Key, age: int, most: int) -> Any:
    """Tell whether a stream is to be looked at."""


async def foreign_streams(redis: RedisClient) -> list[str]:
    """Name the keys at which events should be, and where somebody has put something else.

    Whatever would write an event there is refused, and nothing of it is done.

    Raises:
        StoreUnavailable: no server answers.
    """
    questions = {
        number: {"stream": numbered(number).events, "age": 0, "most": 0}
        for number in range(BUCKETS)
    }
    found = await ask_each(redis, _is_due, questions)
    answered({number: each for number, each in found.items() if not _is_foreign(each)})
    return [numbered(n).events.decode() for n, each in found.items() if _is_foreign(each)]


def _is_foreign(outcome: object) -> bool:
    return isinstance(outcome, UnknownLayout)


class EventStreams:
    """Trims the streams by age. Every process does; one of them tells what was dropped."""

    def __init__(
        self,
        redis: RedisClient,
        age: timedelta,
        count: Callable[[int], object],
        sinks: Sequence[str] = (),
        most: int = EVENTS_KEPT,
    ) -> None:
        """Trim nothing yet. `count` is called with how many events were dropped by number.

        `sinks`: names of those that must have an event before it goes by age, at each look.
        `most`: how many a stream holds.
        """
        self._most = most
        self._rest: dict[int, float] = {}
        self._sinks = sinks
        self._redis = redis
        self._age = age // timedelta(milliseconds=1)
        self._count = count

    async def run(self) -> None:
        """Look again and again, until it is cancelled."""
        await repeat("events", self._look_at_all, _PERIOD)

    async def _look_at_all(self) -> None:
        questions = {number: self._question(number) for number in range(BUCKETS)}
        found = await ask_each(self._redis, _is_due, questions)
        for number, is_due in found.items():
            if _is_foreign(is_due):
                key = numbered(number).events.decode()
                log.error("events cannot be written", key=key, advice=ADVICE)
            elif is_due == 1:
                with suppress(StoreRefuses):  # in this bucket: the others are looked at
                    await self.look(number)

    def _question(self, number: int) -> dict[str, Any]:
        rests = time.monotonic() < self._rest.get(number, 0.0)
        return {
            "stream": numbered(number).events,
            "age": self._age + _LATE,
            "most": 2**53 if rests else int(self._most * NEARLY_FULL),
        }

    async def look(self, number: int) -> None:
        """Trim one stream by age; tell what was dropped from it by number since the last time."""
        key = numbered(number).events
        sinks = " ".join(self._sinks)
        dropped, left = await _trim(self._redis, stream=key, age=self._age, sinks=sinks)
        now = time.monotonic()
        if left > self._most * NEARLY_FULL and now >= self._rest.get(number, now):
            freed = await make_room(self._redis, key, self._most)
            if not freed:  # it is full of many people's events
                self._rest[number] = now + _REST
            dropped += freed
        if dropped:
            self._count(dropped)
            log.warning(
                "events dropped before their time; see SERVICE_EVENTS_MAX",
                stream=key.decode(),
                dropped=dropped,
            )
