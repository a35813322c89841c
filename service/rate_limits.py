"""Limits on attempts, counted in Redis before the attempt is looked at, whatever pod is asked.

Each limit is exact: at most `most` counted attempts in any stretch of `window`. A list of times per
limit holds them, so it is never longer than `most`.
"""

import asyncio
import hmac
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import msgspec

from service.errors import (
    KeyServiceUnavailable,
    RevocationUnconfirmed,
    StoreUnavailable,
    TooManyAttempts,
    WrongAnswer,
)
from service.rates import Rate
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.redis.scripts import Arguments, Keys, script

_DIGEST_BYTES = 16
_FORGIVING = 0.3
"""Seconds spent on taking an attempt back when something else has failed already."""


@script(
    text="""
-- Outcome: {'counted', ticket} · {'wait', ms until one would be counted}

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local wait = 0
for i, key in ipairs(lists) do
  local most, window = tonumber(limits[2 * i - 1]), tonumber(limits[2 * i]) * 1000
  local oldest = redis.call('LINDEX', key, 0)
  while oldest and tonumber(oldest) <= now - window do
    redis.call('LPOP', key)
    oldest = redis.call('LINDEX', key, 0)
  end
  local blocking = redis.call('LINDEX', key, -most)
  if blocking then wait = math.max(wait, tonumber(blocking) + window - now) end
end
if wait > 0 then return {'wait', math.ceil(wait / 1000)} end
local ticket = string.format('%.0f', now)
for i, key in ipairs(lists) do
  redis.call('RPUSH', key, ticket)
  redis.call('PEXPIRE', key, limits[2 * i])
end
return {'counted', ticket}
"""
)
def _count(*, lists: Keys, limits: Arguments) -> Any:
    """Count an attempt under all of its limits, or under none.

    `lists`: one for each limit. `limits`: of each, how many attempts, then in how many ms.
    """


@script(
    text="for _, key in ipairs(lists) do redis.call('LREM', key, -1, ticket) end",
    acknowledged=False,  # lost, it leaves one attempt too many counted, not one too few
)
def _forgive(*, lists: Keys, ticket: bytes) -> Any:
    """Take back an attempt that was not a wrong one, from the list of each of its limits."""


class Limit(msgspec.Struct, frozen=True):
    """At most `most` attempts in any `window`. `name` goes into the key."""

    name: str
    most: int
    window: timedelta

    @classmethod
    def at(cls, name: str, rate: Rate) -> "Limit":
        """Make a limit of this rate."""
        return cls(name, rate.most, rate.window)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits in force. Those that are `None` are off."""

    account_network: Limit = Limit("account-network", 10, timedelta(minutes=15))
    account: Limit = Limit("account", 100, timedelta(hours=1))
    network: Limit | None = Limit("network", 300, timedelta(minutes=15))
    signups: Limit | None = Limit("signups", 600, timedelta(hours=1))
    codes: Limit = Limit("codes", 10, timedelta(minutes=15))
    calls: Limit | None = Limit("calls", 60, timedelta(minutes=1))


class Counter(msgspec.Struct, frozen=True):
    """A limit applied to one subject, given by the digest of what is counted."""

    limit: Limit
    subject: bytes


class RateLimits:
    """Counts attempts. Subjects enter Redis as keyed digests only."""

    def __init__(self, redis: RedisClient, digest_key: bytes, limits: Limits | None = None) -> None:
        self._redis = redis
        self.limits = limits or Limits()
        self.use(digest_key)

    def use(self, digest_key: bytes) -> None:
        """Digest under this key from now on. Empty: not yet."""
        self._digest_key = digest_key

    def subject(self, *parts: str) -> bytes:
        """Digest what is counted under a key, so that a dump does not tell whom it is about.

        Raises:
            KeyServiceUnavailable: the key is not open yet.
        """
        if not self._digest_key:
            raise KeyServiceUnavailable("the digest key is not open yet")
        text = "\0".join(parts).encode("utf-8", "surrogatepass")
        return hmac.digest(self._digest_key, text, "sha256")[:_DIGEST_BYTES]

    async def count(self, home: bytes, counters: Sequence[Counter]) -> bytes:
        """Count an attempt under all `counters`, whose keys lie in the bucket of `home`.

        Returns a ticket for `forgive`.

        Raises:
            TooManyAttempts: a limit is reached; nothing was counted.
        """
        limits = [
            number
            for counter in counters
            for number in (
                counter.limit.most,
                counter.limit.window // timedelta(milliseconds=1),
            )
        ]
        outcome, value = await _count(self._redis, lists=_keys(home, counters), limits=limits)
        if outcome == b"wait":
            raise TooManyAttempts(-(-value // 1000))
        ticket: bytes = value
        return ticket

    async def count_call(self, user_id: bytes, call: str) -> None:
        """Count a call of a user that writes an event and changes little.

        Raises:
            TooManyAttempts: there were as many as may be; this one was not counted.
        """
        if self.limits.calls is not None:
            subject = self.subject("call", call, user_id.hex())
            await self.count(user_id, [Counter(self.limits.calls, subject)])

    async def forgive(self, home: bytes, counters: Sequence[Counter], ticket: bytes) -> None:
        """Take back the attempt that `ticket` stands for."""
        await _forgive(self._redis, lists=_keys(home, counters), ticket=ticket)

    @asynccontextmanager
    async def limited(self, home: bytes, counters: Sequence[Counter]) -> AsyncIterator[None]:
        """Count an attempt before the block; keep it counted only if the block finds it wrong.

        A cancelled block stays counted too: nobody learnt that it was right.

        Raises:
            TooManyAttempts: a limit is reached; the block is not entered.
        """
        if not counters:
            yield
            return
        ticket = await self.count(home, counters)
        try:
            yield
        except (WrongAnswer, RevocationUnconfirmed):  # the latter may have been a wrong one
            raise
        except Exception:  # not looked at (shed, store gone), so it must not count against anybody
            with suppress(StoreUnavailable, TimeoutError):
                async with asyncio.timeout(_FORGIVING):
                    await self.forgive(home, counters, ticket)
            raise
        await self.forgive(home, counters, ticket)


def _keys(home: bytes, counters: Sequence[Counter]) -> list[bytes]:
    prefix = bucket(home).attempts
    return [prefix + counter.limit.name.encode() + b":" + counter.subject for counter in counters]
