"""Limits on attempts, counted in Redis before the attempt is looked at, whatever pod is asked.

Each limit is exact: at most `most` counted attempts in any stretch of `window`. A list of times per
limit holds them, so it is never longer than `most`; of attempts in a row it is a little longer.
"""

import asyncio
import hmac
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from service.errors import (
    KeyServiceUnavailable,
    RevocationUnconfirmed,
    StoreUnavailable,
    TooManyAttempts,
    WrongAnswer,
)
from service.rate_limits import scripts
from service.rate_limits.limits import Counter, Exemption, Limit, Limits
from service.redis.client import RedisClient
from service.redis.keys import bucket

_DIGEST_BYTES = 16
_TAKING_BACK = 0.3
"""Seconds spent on taking an attempt back when something else has failed already."""

_NO_TICKET = b"0"


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

    async def count(
        self, home: bytes, counters: Sequence[Counter], noted: Counter | None = None
    ) -> bytes:
        """Count an attempt under all `counters`, whose keys lie in the bucket of `home`.

        `noted`: where it is noted, of an account, when its limits were forgiven, and that the first
        counter, which is a network's, is full. Returns a ticket for `take_back`.

        Raises:
            TooManyAttempts: a limit is reached; nothing was counted.
        """
        keys, limits = _asked(home, counters, noted)
        outcome, value = await scripts.count(self._redis, lists=keys, limits=limits)
        if outcome == b"wait":
            refusing = [place for place, wait in enumerate(value) if wait]
            reached = [
                (
                    counters[place].limit.name,
                    counters[place].subject,
                    counters[place].limit.numbers[1],
                )
                for place in refusing
            ]
            raise TooManyAttempts(-(-max(value) // 1000), refusing, reached)
        ticket: bytes = value
        return ticket

    async def count_call(self, user_id: bytes, call: str) -> None:
        """Count a call of a user that writes an event and changes little.

        Raises:
            TooManyAttempts: there were as many as may be; this one was not counted.
        """
        if counter := self.of_calls(user_id, call):
            await self.count(user_id, [counter])

    def of_calls(self, user_id: bytes, call: str) -> Counter | None:
        """Make the counter of a user's calls of this name, if they are limited."""
        if self.limits.calls is None:
            return None
        return Counter(self.limits.calls, self.subject("call", call, user_id.hex()))

    def of_user(self, limit: Limit, user_id: bytes) -> Counter:
        """Make the counter of a user, for a limit of which they have one."""
        return Counter(limit, self.subject(limit.name, user_id.hex()))

    async def take_back(
        self,
        home: bytes,
        counters: Sequence[Counter],
        ticket: bytes,
        ends: Sequence[Counter] = (),
    ) -> None:
        """Take back the attempt that `ticket` stands for, and under `ends` all up to it."""
        uncounted = [counter for counter in counters if counter not in ends]
        await scripts.take_back(
            self._redis,
            lists=_keys(home, [*uncounted, *ends]),
            ticket=ticket,
            uncounted=len(uncounted),
        )

    @asynccontextmanager
    async def limited(
        self,
        home: bytes,
        counters: Sequence[Counter],
        *,
        noted: Counter | None = None,
        exempt: Exemption | None = None,
        ends: Sequence[Counter] = (),
    ) -> AsyncIterator[None]:
        """Count an attempt before the block; keep it counted only if the block finds it wrong.

        A right one ends all that was counted under `ends` before. A cancelled block stays counted
        too: nobody learnt that it was right.

        Raises:
            TooManyAttempts: a limit is reached; the block is not entered.
        """
        if not counters:
            yield
            return
        counted = counters
        try:
            ticket = await self.count(home, counters, noted)
        except TooManyAttempts as refused:
            refusing = [counters[place] for place in refused.limits]
            if exempt is None or exempt.counter not in refusing or not await exempt.applies():
                raise
            counted = [counter for counter in counters if counter != exempt.counter]
            ticket = await self.count(home, counted, noted)
        try:
            yield
        except (WrongAnswer, RevocationUnconfirmed):  # the latter may have been a wrong one
            if exempt is not None and exempt.counter in counted:
                await self._excuse(home, exempt, ticket)
            raise
        except Exception:  # not looked at (shed, store gone), so it must not count against anybody
            with suppress(StoreUnavailable, TimeoutError):
                async with asyncio.timeout(_TAKING_BACK):
                    await self.take_back(home, counted, ticket)
            raise
        await self.take_back(home, counted, ticket, ends)

    async def _excuse(self, home: bytes, exempt: Exemption, ticket: bytes) -> None:
        """Take a wrong attempt back from a counter, if whoever made it is exempt from that.

        Redis is asked the same for anybody, so that the time tells nothing. What cannot be found
        out stays counted.
        """
        with suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(_TAKING_BACK):
                found = ticket if await exempt.applies() else _NO_TICKET
                await self.take_back(home, [exempt.counter], found)

    async def waits(
        self, home: bytes, counters: Sequence[Counter], noted: Counter | None = None
    ) -> list[int]:
        """Tell of each counter how many seconds it makes one wait; 0 where it would let one in."""
        keys, limits = _asked(home, counters, noted)
        waits: list[int] = await scripts.look(self._redis, lists=keys, limits=limits)
        return [-(-wait // 1000) for wait in waits]

    async def noted_subjects(self, home: bytes, noted: Counter) -> list[bytes]:
        """Return the subjects whose counter was full of late."""
        (key,) = _keys(home, [noted])
        fields = await self._redis.execute("HGETALL", key)
        return [name[-_DIGEST_BYTES:] for name in fields[::2] if len(name) > _DIGEST_BYTES]

    async def forgive(self, home: bytes, counters: Sequence[Counter]) -> None:
        """Forget all that was counted."""
        await self._redis.change("DEL", *_keys(home, counters))

    async def forgive_account(self, home: bytes, anywhere: Counter, noted: Counter) -> None:
        """Forget what was counted of an account from anywhere, and from each network up to now."""
        attempts, notes = _keys(home, [anywhere, noted])
        life = noted.limit.numbers[-1]
        await scripts.forgive_account(self._redis, attempts=attempts, noted=notes, life=life)


def _asked(
    home: bytes, counters: Sequence[Counter], noted: Counter | None
) -> tuple[list[bytes], list[int]]:
    keys = _keys(home, (*counters, noted) if noted else counters)
    return keys, [number for counter in counters for number in counter.limit.numbers]


def _keys(home: bytes, counters: Sequence[Counter]) -> list[bytes]:
    prefix = bucket(home).attempts
    return [prefix + counter.name for counter in counters]
