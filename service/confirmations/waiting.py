"""Waits until the guards that live have said that they refuse what has ended."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from service.confirmations.guard_positions import GuardPositions
from service.errors import StoreUnavailable
from service.redis.guard_position import FeedPosition, count_that_have_read
from service.redis.keys import bucket_number

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05
_LATER = 0.15
"""By how much of the time so far a look may come too late."""
_SHARE = 0.7
"""How much of the time that it takes as a rule is waited for before the first look."""
_SLOWER = 1.25
"""How much longer than before it may take as a rule: once may be by chance, and whoever waits next
would wait for as long."""
_ONE_LOOK = 1.0
"""Seconds for one look, where nothing is waited for."""
_REST = 3
"""No look is made for so many times as long as one takes: many who wait for a guard that does not
answer take a quarter of Redis' time at the most."""
_LONGER = 1.1
"""By how much more than the look before a look may take. What it takes beyond that it has waited
until guards were served, and these are who is waited for."""
_GUARDS_EACH_MS = 10
"""Guards whose answers Redis takes in a millisecond, beside its work: more of them answer less
often."""

Seen = tuple[Sequence[int], Sequence[bytes]]
"""Buckets, and where each guard stands in these."""


class Confirmation(msgspec.Struct, frozen=True):
    """How many of the guards that live refuse what ended with this entry of the feed."""

    bucket: int
    number: int
    confirmed: int
    guards: int


class Confirmations:
    """Waits, and looks once for all who wait at a time."""

    def __init__(self, positions: GuardPositions) -> None:
        self._positions = positions
        self._wanted: Counter[int] = Counter()
        self._looking: asyncio.Task[Seen] | None = None
        self._guards = 0
        self._usual = _SHORTEST_PAUSE
        """Seconds that it takes until all have answered, as a rule, but not long."""
        self._one_takes = float("inf")
        self._rests_until = float("-inf")

    async def wait(self, user_id: bytes, subject: bytes, seconds: float) -> Confirmation | None:
        """Wait until all guards refuse `subject`, a session or user that has ended, or for so long.

        None: Redis does not tell. What has ended has ended all the same.
        """
        began, bucket = time.monotonic(), bucket_number(user_id)
        self._wanted[bucket] += 1
        try:
            return await self._wait(began, bucket, subject, seconds)
        finally:
            self._wanted[bucket] -= 1
            self._wanted += Counter()  # which leaves out those that nobody wants

    async def _wait(
        self, began: float, bucket: int, subject: bytes, seconds: float
    ) -> Confirmation | None:
        told: Confirmation | None = None
        with suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(seconds or _ONE_LOOK):
                often = self._answers_every if seconds else 0
                entry = await self._positions.entry(bucket, subject, often)
                asked = time.monotonic()
                if seconds and self._guards:
                    await asyncio.sleep(self._usual * _SHARE)  # none of them has answered yet
                told = await self._look(bucket, entry)
                while told.confirmed < told.guards:
                    left = began + seconds - time.monotonic()
                    if left <= 0:
                        break
                    pause = _LATER * (time.monotonic() - asked)
                    await asyncio.sleep(min(max(pause, _SHORTEST_PAUSE), _LONGEST_PAUSE, left))
                    told = await self._look(bucket, entry)
                if seconds and told.confirmed == told.guards:
                    self._usual = usual_after(self._usual, time.monotonic() - asked)
        return told

    @property
    def _answers_every(self) -> int:
        """How often, in ms, so many guards are to answer."""
        return max(self._guards // _GUARDS_EACH_MS, 1)

    async def _look(self, bucket: int, entry: FeedPosition) -> Confirmation:
        buckets, guards = await self._seen(bucket)
        place = buckets.index(bucket)
        self._guards = len(guards)
        confirmed = count_that_have_read(guards, place, entry)
        return Confirmation(bucket, entry[0], confirmed, len(guards))

    async def _seen(self, bucket: int) -> Seen:
        """Look at the reports, together with all who want to know at this moment."""
        while True:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._read())
            seen = await asyncio.shield(self._looking)
            if bucket in seen[0]:
                return seen

    async def _read(self) -> Seen:
        await asyncio.sleep(self._rests_until - time.monotonic())
        buckets, began = list(self._wanted), time.monotonic()
        try:
            guards = await self._positions.positions(buckets)
        finally:
            now = time.monotonic()
            self._one_takes = min(now - began, self._one_takes * _LONGER)
            self._rests_until = now + _REST * self._one_takes
        return buckets, guards


def usual_after(usual: float, took: float) -> float:
    """Tell what time is usual where it was `usual`, and has now taken so long; seconds."""
    return min(took, usual * _SLOWER, _LONGEST_PAUSE)
