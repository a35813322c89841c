"""How far a sink has got in each stream, and which pod brings it on: a lease that runs out.

The hash `events:{b}:sink:<name>` has `owner` and `until` (ms, by Redis' clock) of the lease, the
`cursor`, which is the id of the last entry that has arrived, `number` and `digest` of the last
batch, and how many events were `parked`. The hash `events:{00}:pods:<name>` has an owner and its
`until` for each process that brings events to it.
"""

from typing import Any

import msgspec

from service.events.event import stream_of
from service.redis.client import RedisClient
from service.redis.keys import BUCKETS, PODS, SINK, SINK_LEFT_LIFE
from service.redis.scripts import Key, script

LEASE = 30_000
"""How long a pod that says nothing keeps a stream from the others, ms."""


class Progress(msgspec.Struct, frozen=True):
    """How far a sink has got in a stream. An empty `cursor`: it has not begun."""

    cursor: str = ""
    number: int = 0
    digest: bytes = bytes(32)
    parked: int = 0


@script(
    text="""
-- Outcome: false, another pod has it · {cursor, number, digest, parked}, each false where not set
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held, till = unpack(redis.call('HMGET', state, 'owner', 'until'))
if held and held ~= owner and tonumber(till) > now then return false end
redis.call('HSET', state, 'owner', owner, 'until', string.format('%.0f', now + LEASE))
return redis.call('HMGET', state, 'cursor', 'number', 'digest', 'parked')
""",
    constants={"LEASE": LEASE},
    acknowledged=False,  # lost, what has arrived comes again
)
def _hold(*, state: Key, owner: bytes) -> Any:
    """Take a lease, or prolong it."""


@script(
    text="""
-- Outcome: 1 it is noted · 0 the lease is another's, or was taken away
if redis.call('HGET', state, 'owner') ~= owner then return 0 end
redis.call('HSET', state, 'cursor', cursor, 'number', number, 'digest', digest, 'parked', parked)
return 1
""",
    acknowledged=False,
)
def _note(*, state: Key, owner: bytes, cursor: str, number: int, digest: bytes, parked: int) -> Any:
    """Note how far a sink has got."""


@script(
    text="""
if redis.call('HGET', state, 'owner') == owner then redis.call('HDEL', state, 'owner') end
""",
    acknowledged=False,
)
def _release(*, state: Key, owner: bytes) -> Any:
    """Give a lease back."""


@script(
    text="redis.call('HSET', state, 'cursor', cursor) redis.call('HDEL', state, 'owner', 'parked')",
)
def _rewind(*, state: Key, cursor: str) -> Any:
    """Have a sink go on behind this entry. Whoever has the lease loses it, and reads anew."""


@script(
    text="""
-- Outcome: {how many processes bring events to the sink, how many of them stand before this one}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', pods, owner, string.format('%.0f', now + LEASE))
redis.call('PEXPIRE', pods, LEASE)
local known = redis.call('HGETALL', pods)
local all, before = 0, 0
for place = 1, #known, 2 do
  if tonumber(known[place + 1]) <= now then
    redis.call('HDEL', pods, known[place])
  else
    all = all + 1
    if known[place] < owner then before = before + 1 end
  end
end
return {all, before}
""",
    constants={"LEASE": LEASE},
    acknowledged=False,  # lost, it is said again
)
def _join(*, pods: Key, owner: bytes) -> Any:
    """Say that this process brings events to the sink, and learn how many others do."""


class SinkState:
    """The state of a sink; `owner` names this process. Each method may raise `StoreUnavailable`."""

    def __init__(self, redis: RedisClient, name: str, owner: bytes = b"") -> None:
        self._redis = redis
        self._name = name.encode()
        self._owner = owner

    async def hold(self, bucket: int) -> Progress | None:
        """Take or prolong the lease; `None`: another process has it."""
        found = await _hold(self._redis, state=self._key(bucket), owner=self._owner)
        return None if found is None else _progress(found)

    async def join(self) -> int:
        """Say that this process is there, for a lease; tell how many streams are its share."""
        everybody, before = await _join(self._redis, pods=self._pods, owner=self._owner)
        return int(BUCKETS // everybody + (before < BUCKETS % everybody))

    async def leave(self) -> None:
        """Say that it is not any more."""
        await self._redis.execute("HDEL", self._pods, self._owner)

    async def note(self, bucket: int, progress: Progress) -> bool:
        """Note how far it has got; false if the lease was lost."""
        noted = await _note(
            self._redis,
            state=self._key(bucket),
            owner=self._owner,
            cursor=progress.cursor,
            number=progress.number,
            digest=progress.digest,
            parked=progress.parked,
        )
        return bool(noted)

    async def release(self, bucket: int) -> None:
        """Give the lease back."""
        await _release(self._redis, state=self._key(bucket), owner=self._owner)

    async def read(self, bucket: int) -> Progress:
        """Read how far it has got."""
        names = ("cursor", "number", "digest", "parked")
        return _progress(await self._redis.execute("HMGET", self._key(bucket), *names))

    async def look(self, bucket: int) -> tuple[Progress, bytes, int]:
        """Read the same, who has the lease, and until when, in ms by Redis' clock."""
        names = ("cursor", "number", "digest", "parked", "owner", "until")
        *found, owner, until = await self._redis.execute("HMGET", self._key(bucket), *names)
        return _progress(found), owner or b"", int(until or 0)

    async def rewind(self, bucket: int, cursor: str) -> None:
        """Have it go on behind the entry `cursor`, so that all after it comes again."""
        await _rewind(self._redis, state=self._key(bucket), cursor=cursor)

    async def leave_behind(self, bucket: int) -> None:
        """Have the state go in a while: the sink is gone, of which some have yet to hear."""
        await self._redis.execute("PEXPIRE", self._key(bucket), SINK_LEFT_LIFE)

    @property
    def _pods(self) -> bytes:
        return stream_of(0) + PODS.encode() + self._name

    def _key(self, bucket: int) -> bytes:
        return stream_of(bucket) + SINK.encode() + self._name


def _progress(found: list[bytes | None]) -> Progress:
    cursor, number, digest, parked = found
    return Progress(
        (cursor or b"").decode(), int(number or 0), digest or bytes(32), int(parked or 0)
    )
