"""Writes beside the feed that what Redis has was just compared with what it must have.

A guard that connects cannot tell whether the server was restored from an old copy, in which an end
of a session that was answered is missing. So it trusts the feed only once somebody has compared
after that (`guard/comparison.py`): one script looks at the counts of all feeds of the server, takes
the marks of those away that have had fewer entries than they must, and writes that it has looked.

A feed whose newest entry is older than its count has been emptied or put back alone: whatever is in
it joins without a gap, so a guard that starts could not tell. Its count becomes the number of that
entry, by which all others notice (`service/rollback`), and the lost entries are written again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from service.errors import StoreUnavailable
from service.redis.client import RedisClient
from service.redis.heartbeats import forget, is_due
from service.redis.keys import BUCKETS, numbered
from service.redis.refusals import FenceUnknown
from service.redis.scripts import Arguments, Keys, script
from service.repeating import repeat

_EVERY, _EVERY_IN_CLUSTER = 0.5, 1.0
"""Seconds between two, however many processes make them: a guard that starts waits for one. In a
cluster each of the 64 buckets has its own."""
_OFF = 60.0
_AT_ONCE = 8

Least = Callable[[], Awaitable[Sequence[int]]]
"""Tells how many entries the feed of each bucket must have had; `FenceUnknown`: it is not known."""


@script(
    text="""
-- keys: the stream of comparisons; then of each bucket that is compared its count, mark and feed
-- arguments: every (ms), the issuer; then for each bucket how many entries it must have had
-- Outcome: how many buckets have had fewer
local fewer = 0
for i = 3, #arguments do
  local count, mark, feed = unpack(keys, 3 * i - 7, 3 * i - 5)
  local had, told = tonumber(redis.call('GET', count) or 0) or 0, 0
  if had > 0 then
    local newest = redis.pcall('XREVRANGE', feed, '+', '-', 'COUNT', 1)
    if newest.err and not newest.err:find('WRONGTYPE', 1, true) then return newest end
    told = newest[1] and tonumber(newest[1][2][2]) or 0
    if told < had then redis.call('SET', count, string.format('%.0f', told)) end
    if not newest[1] then redis.call('DEL', feed) end -- so that ids may come again
  end
  if math.min(told, had) < math.max(had, tonumber(arguments[i])) then
    fewer = fewer + 1
    local found = redis.call('XREVRANGE', mark, '+', '-', 'COUNT', 1)[1]
    if found and found[2][2] == arguments[2] then redis.call('DEL', mark) end
  end
end
redis.call('XADD', keys[1], 'MAXLEN', 1, '*', 'every', arguments[1])
return fewer
""",
    acknowledged=False,
)
def _compare(*, keys: Keys, arguments: Arguments) -> Any:
    """Compare the counts of some buckets, and write that it was done."""


class Comparisons:
    """Compares in the background; or does away with what was written of it before."""

    def __init__(self, redis: RedisClient, issuer: str, least: Least | None) -> None:
        """Compare nothing yet. `redis` must not be fenced. `least` None: nothing is compared."""
        self._redis = redis
        self._issuer = issuer
        self._least = least
        every = range(BUCKETS)
        in_cluster = redis.topology == "cluster"
        self._groups = [[number] for number in every] if in_cluster else [list(every)]
        """The buckets that one script can compare."""
        self._every = _EVERY_IN_CLUSTER if in_cluster else _EVERY
        self._pause = self._every if in_cluster else self._every / 2

    async def run(self) -> None:
        """Compare until it is cancelled. Where nothing is compared, guards wait for nothing."""
        await repeat("comparisons", self.look, _OFF if self._least is None else self._pause)

    async def look(self) -> None:
        """Compare what is due, wherever a server answers."""
        places = asyncio.Semaphore(_AT_ONCE)

        async def one(group: Sequence[int]) -> None:
            async with places:
                with suppress(StoreUnavailable, FenceUnknown):  # readiness tells
                    await self._look_at(group)

        await asyncio.gather(*map(one, self._groups))

    async def _look_at(self, buckets: Sequence[int]) -> None:
        compared = numbered(buckets[0]).compared
        if self._least is None:
            await forget(self._redis, stream=compared)
            return
        if not await is_due(self._redis, stream=compared, every=round(self._every * 900)):
            return
        least = await self._least()
        names = [numbered(bucket) for bucket in buckets]
        of_buckets = [key for it in names for key in (it.revocations, it.issuer, it.revoked)]
        needed = [least[bucket] for bucket in buckets]
        await _compare(
            self._redis,
            keys=[compared, *of_buckets],
            arguments=[round(self._every * 1000), self._issuer, *needed],
        )
