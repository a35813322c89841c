"""Reads the reports of guards (`redis/guard_position.py`), and asks guards to write them now."""

from collections.abc import Collection
from typing import Any

import msgspec

from service.redis.client import RedisClient
from service.redis.every_bucket import values_of
from service.redis.guard_position import (
    LAYOUT,
    MOST_BYTES,
    WIDTH,
    About,
    FeedPosition,
    unpack,
)
from service.redis.keys import (
    BUCKETS,
    GUARD,
    GUARD_LIFE,
    GUARDS_BUCKET,
    MOST_WISHES,
    numbered,
)
from service.redis.scripts import Key, script

_MOST = 4096
"""Guards at most. A list of more ids is begun anew: guards that live are soon in it again."""

_EACH = """
local tag = guards:match('{%x%x}') .. ':'
if redis.call('HLEN', guards) > MOST then redis.call('DEL', guards) end
local found = {}
for i, id in ipairs(redis.call('HGETALL', guards)) do
  if i % 2 == 1 then
    local key = GUARD .. tag .. id
    local report = redis.call('GET', key)
    if report and #report <= LONGEST then
"""
_NEXT = """
    else
      redis.call('HDEL', guards, id)
      if report then redis.call('DEL', key) end  -- a long one is read once, not at each look
    end
  end
end
return found
"""
_EACH_USES: dict[str, str | int] = {"GUARD": GUARD, "MOST": _MOST, "LONGEST": MOST_BYTES}


@script(
    text=f"""
-- wanted: the numbers of buckets, a byte each
-- Outcome: for each guard that lives, where it stands in these, one after the other
{_EACH}
      if report:byte() == LAYOUT then
        local parts = {{}}
        for at = 1, #wanted do
          local start = 2 + wanted:byte(at) * WIDTH
          parts[at] = report:sub(start, start + WIDTH - 1)
        end
        found[#found + 1] = table.concat(parts)
      end
{_NEXT}""",
    constants=_EACH_USES | {"WIDTH": WIDTH, "LAYOUT": LAYOUT[0]},
    acknowledged=False,
)
def _positions(*, guards: Key, wanted: bytes) -> Any:
    """Read where guards stand in some buckets."""


@script(
    text=f"""
-- Outcome: each guard that lives: {{id, report, for how many ms more it lives}}
{_EACH}
      local left = redis.call('PTTL', key)
      if left < 0 or left > LIFE then  -- of a guard that has gone nothing is to stay
        redis.call('PEXPIRE', key, LIFE)
        left = LIFE
      end
      found[#found + 1] = {{id, report, left}}
{_NEXT}""",
    constants=_EACH_USES | {"LIFE": GUARD_LIFE},
    acknowledged=False,
)
def _reports(*, guards: Key) -> Any:
    """Read all that guards say."""


@script(
    text="""
-- subject: the id of a session or of a user that has just ended
-- pause: how often guards are to say what they have read, ms; 0: they are not asked
-- Outcome: number and id of the newest entry of the feed, or of the newest that names the subject
local newest, named
for _, count in ipairs({2, 128}) do  -- it is the newest, as a rule
  for _, entry in ipairs(redis.call('XREVRANGE', revoked, '+', '-', 'COUNT', count)) do
    local said = {entry[2][2], entry[1]}
    newest = newest or said
    if entry[2][4] == subject then
      named = said
      break
    end
  end
  if named then break end
end
local found = named or newest or {'0', '0-0'}
if pause ~= '0' then
  redis.call('XADD', asked, 'MAXLEN', MOST_WISHES, '*',
    'pause', pause, 'bucket', bucket, 'number', found[1])
end
return found
""",
    constants={"MOST_WISHES": MOST_WISHES},
    acknowledged=False,
)
def _entry(*, revoked: Key, asked: Key, subject: bytes, bucket: int, pause: int) -> Any:
    """Find the entry of the feed that tells of an end, and ask guards whether they have read it."""


class GuardReport(msgspec.Struct, frozen=True):
    """What a guard has said. `age_ms`: how long ago."""

    id: bytes
    positions: list[FeedPosition]
    about: About
    age_ms: int


class GuardPositions:
    """The reports in a Redis. Any method may raise `StoreUnavailable`."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._guards = numbered(GUARDS_BUCKET).guards

    async def positions(self, buckets: Collection[int]) -> list[bytes]:
        """Return where each guard that lives stands in these buckets, in their order, packed."""
        wanted = bytes(buckets)
        found: list[bytes] = await _positions(self._redis, guards=self._guards, wanted=wanted)
        length = len(wanted) * WIDTH
        return [packed for packed in found if len(packed) == length]

    async def all(self) -> list[GuardReport]:
        """Return all reports that can be read."""
        reports = []
        for id_, report, left in await _reports(self._redis, guards=self._guards):
            if (said := unpack(report)) is not None:
                reports.append(GuardReport(id_, *said, max(GUARD_LIFE - left, 0)))
        return reports

    async def numbers(self) -> list[int]:
        """Return how many entries the feed of each bucket has had."""
        keys = {bucket: numbered(bucket).revocations for bucket in range(BUCKETS)}
        found = await values_of(self._redis, keys)
        return [int(found.get(bucket) or 0) for bucket in range(BUCKETS)]

    async def entry(self, bucket: int, subject: bytes, pause: int = 0) -> FeedPosition:
        """Find the entry of the feed that has told of this session or user; else the newest.

        With `pause` ask guards to say now whether they have read it; each once in so many ms.
        """
        # One connection hears of all buckets of a server, and those of a cluster one each.
        place = bucket if self._redis.topology == "cluster" else GUARDS_BUCKET
        number, id_ = await _entry(
            self._redis,
            revoked=numbered(bucket).revoked,
            asked=numbered(place).asked,
            subject=subject,
            bucket=bucket,
            pause=pause,
        )
        return int(number), int(id_.partition(b"-")[0])
