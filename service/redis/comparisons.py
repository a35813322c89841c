"""Writes beside the feed that what Redis has was just compared with what it must have.

A guard that connects cannot tell whether the server was restored from an old copy, in which an end
of a session that was answered is missing. So it trusts the feed only once somebody has compared
after that (`guard/comparison.py`): one script looks at the counts of all feeds of the server, takes
the marks of those away that have had fewer entries than they must, and writes that it has looked.

A feed whose newest entry is older than its count has been emptied or put back alone: whatever is in
it joins without a gap, so a guard that starts could not tell. Its count becomes the number of that
entry, by which all others notice (`service/rollback`), and the lost entries are written again. So
does a count that is no number.
"""

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from service.errors import StoreUnavailable
from service.redis.bounded_gather import map_few_at_once
from service.redis.client import RedisClient
from service.redis.every_bucket import ask_each
from service.redis.heartbeats import forget, is_due
from service.redis.keys import BUCKETS, numbered
from service.redis.refusals import FenceUnknown
from service.redis.scripts import Arguments, Keys, script
from service.repeating import repeat

_EVERY, _EVERY_IN_CLUSTER = 0.5, 1.0
"""Seconds between two, however many processes make them: a guard that starts waits for one. In a
cluster each of the 64 buckets has its own."""
_SOON, _LATE, _SPREAD = 0.9, 1.2, 0.3
"""When another is due, in multiples of that: for the process that has made the last; and for all
others, which see to it that it does, not all at the same moment."""
_OFF = 60.0

Least = Callable[[], Awaitable[Sequence[int]]]
"""Tells how many entries the feed of each bucket must have had; `FenceUnknown`: it is not known."""

Note = Callable[[int, bytes], object]
"""Hears of a comparison that was made: the bucket in which it stands, and its id."""


@script(
    text="""
-- keys: the stream of comparisons; then of each bucket that is compared its count, mark and feed
-- arguments: every (ms), the issuer; then for each bucket how many entries it must have had
-- Outcome: the id of what was written; 0, and nothing was done: another process just has
local last = redis.pcall('XREVRANGE', keys[1], '+', '-', 'COUNT', 1)[1] -- none, if it is no stream
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if last and math.abs(now - tonumber(last[1]:match('^%d+'))) < arguments[1] / 2 then return 0 end
for i = 3, #arguments do
  local count, mark, feed = unpack(keys, 3 * i - 7, 3 * i - 5)
  local counted, had, told = redis.pcall('GET', count), 0, 0
  if counted then
    if counted.err and not counted.err:find('WRONGTYPE', 1, true) then return counted end
    had = not counted.err and counted:match('^%d+$') and tonumber(counted) or MOST
    if string.format('%.0f', had) ~= counted then had = MOST end -- it is no count
    local newest = redis.pcall('XREVRANGE', feed, '+', '-', 'COUNT', 1)
    if newest.err and not newest.err:find('WRONGTYPE', 1, true) then return newest end
    told = newest[1] and tonumber(newest[1][2][2]) or 0
    if told < had then redis.call('SET', count, string.format('%.0f', told)) end
    if not newest[1] then redis.call('DEL', feed) end -- so that ids may come again
  end
  if math.min(told, had) < math.max(had, tonumber(arguments[i])) then
    local found = redis.pcall('XREVRANGE', mark, '+', '-', 'COUNT', 1)[1]
    if found and found[2][2] == arguments[2] then redis.call('DEL', mark) end
  end
end
local added = redis.pcall('XADD', keys[1], 'MAXLEN', 1, '*', 'every', arguments[1])
if type(added) == 'table' and added.err and not added.err:find('OOM', 1, true) then
  -- It is no stream, or has an id after which there are no others.
  redis.call('DEL', keys[1])
  added = redis.call('XADD', keys[1], 'MAXLEN', 1, '*', 'every', arguments[1])
end
return added
""",
    constants={"MOST": 2**53},
    acknowledged=False,
)
def _compare(*, keys: Keys, arguments: Arguments) -> Any:
    """Compare the counts of some buckets, and write that it was done."""


class Comparisons:
    """Compares in the background; or does away with what was written of it before."""

    def __init__(
        self, redis: RedisClient, issuer: str, least: Least | None, note: Note = lambda *_: None
    ) -> None:
        """Compare nothing yet. `redis` must not be fenced. `least` None: nothing is compared."""
        self._note = note
        self._redis = redis
        self._issuer = issuer
        self._least = least
        every = range(BUCKETS)
        in_cluster = redis.topology == "cluster"
        self._groups = [[number] for number in every] if in_cluster else [list(every)]
        """The buckets that one script can compare."""
        self._every = _EVERY_IN_CLUSTER if in_cluster else _EVERY
        self._pause = self._every if in_cluster else self._every / 2
        self._leads, self._compared_at = False, float("-inf")

    async def run(self) -> None:
        """Compare until it is cancelled. Where nothing is compared, guards wait for nothing."""
        await repeat("comparisons", self.look, _OFF if self._least is None else self._pause)

    async def look(self) -> None:
        """Compare what is due, wherever a server answers."""
        if self._least is None:
            await map_few_at_once(self._forget, self._groups)
            return
        late = _SOON if self._leads else _LATE + _SPREAD * random.random()  # noqa: S311  no secret
        every = round(self._every * late * 1000)
        streams = {
            group[0]: {"stream": numbered(group[0]).compared, "every": every}
            for group in self._groups
        }
        due = await ask_each(self._redis, is_due, streams)
        groups = [group for group in self._groups if due[group[0]] == 1]
        if groups:
            with suppress(FenceUnknown):
                least, began = await self._least(), time.monotonic()
                done = await map_few_at_once(partial(self._compare, least), groups)
                if done[0]:  # of several that do it at one time only one has been the first here
                    self._compared_at = began
        # Where another has compared since, it goes on, and this process looks on.
        self._leads = time.monotonic() - self._compared_at < self._every * _LATE

    async def _forget(self, buckets: Sequence[int]) -> None:
        with suppress(StoreUnavailable):  # readiness tells
            await forget(self._redis, stream=numbered(buckets[0]).compared)

    async def _compare(self, least: Sequence[int], buckets: Sequence[int]) -> bool:
        """Compare some buckets. Tell whether that was done here, and just now."""
        names = [numbered(bucket) for bucket in buckets]
        of_buckets = [key for it in names for key in (it.revocations, it.issuer, it.revoked)]
        needed = [least[bucket] for bucket in buckets]
        done: bytes | int = 0
        with suppress(StoreUnavailable):  # readiness tells
            done = await _compare(
                self._redis,
                keys=[names[0].compared, *of_buckets],
                arguments=[round(self._every * 1000), self._issuer, *needed],
            )
        if done:
            self._note(buckets[0], bytes(done))
        return bool(done)
