"""An operator accepts a Redis that has gone back in time: what it has lost is done again."""

from collections.abc import Mapping

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from service.redis.client import RedisClient
from service.rollback.reading import numbers_of
from service.rollback.replay import Replay
from service.rollback.store import RollbackStore


class Lost(msgspec.Struct, frozen=True):
    """What Redis does not have any more."""

    buckets: Mapping[int, tuple[int, int]]
    """By bucket the number that it has, and the one that it had."""
    behind: frozenset[int]
    """Those of which the journal does not have all."""

    def told(self) -> list[str]:
        """Say it in lines."""
        if not self.buckets:
            return ["Redis has all that the user store knows of: it has not gone back in time."]
        entries = sum(expected - had for had, expected in self.buckets.values())
        lines = [
            f"Redis has gone back in time in {len(self.buckets)} of 64 buckets, by {entries}"
            " entries of their feeds."
        ]
        if self.behind:
            lines.append(
                f"Of {len(self.behind)} of them the journal does not have all: every session there"
                " ends, and people log in again."
            )
        return lines


class Acceptance:
    """Looks what was lost, and does it again."""

    def __init__(
        self, redis: RedisClient, engine: AsyncEngine, store: RollbackStore, replay: Replay
    ) -> None:
        """Take over the client, which must not be fenced, and the engine."""
        self._redis = redis
        self._engine = engine
        self._store = store
        self._replay = replay

    async def lost(self) -> Lost:
        """Compare Redis with the user store. Changes nothing. Raises `StoreUnavailable`."""
        known = await self._store.numbers()
        numbers = await numbers_of(self._redis)
        buckets = {
            bucket: (number, known[bucket])
            for bucket, number in numbers.items()
            if number < known.get(bucket, 0)
        }
        covers = [
            bucket
            for bucket, (had, expected) in buckets.items()
            if await self._replay.covers(bucket, had, expected)
        ]
        return Lost(buckets, frozenset(buckets) - frozenset(covers))

    async def accept(self, lost: Lost) -> list[str]:
        """Do it again, and say what was done. Raises `StoreUnavailable`: run it again."""
        entries, ended, served, cut_off = 0, 0, 0, 0
        for bucket, (had, expected) in lost.buckets.items():
            done = await self._replay.run(bucket, had, expected)
            if done is not None:  # else somebody else has
                entries, ended, served = entries + done.entries, ended + done.ended, served + 1
                cut_off += done.cut_off
        lines = [
            f"{entries} entries were done again in {served} buckets; {ended} sessions that had come"
            " back have ended again. They are served within a second."
        ]
        if cut_off:
            lines.append(f"In {cut_off} of them every session has ended.")
        return lines

    async def aclose(self) -> None:
        """Close all connections."""
        await self._redis.aclose()
        await self._engine.dispose()
