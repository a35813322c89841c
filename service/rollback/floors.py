"""Lays the floors of a bucket: below them codes and tickets do not count, used or not.

`totp:{b}:floor` is a TOTP step: codes of steps up to it count as used. `ticket:{b}:floor` is a
time, ms: tickets that were minted by then are none any more; it is there once Redis has gone back.

Where a server has gone back in one bucket it has in all of them, but only revocations are numbered:
in the others nothing tells which codes and tickets were used. So whoever finds that by a new
connection raises the floors of all buckets of that server, before anybody uses that connection
(`raise_on`), and so does whoever does revocations again, before the first (`Replay.use_up`).

A code counts where the bucket has a floor, and only if it is of a later step. FLUSHALL takes the
floor away with the memory of the codes that were used, and breaks no connection: so the scripts
that judge codes ask for it in the same step, and judge none where it is absent. Whoever notices
lays it anew, above all codes of that moment. Only where there has never been one it lets all pass.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from service.redis.client import RedisClient
from service.redis.keys import BUCKETS, numbered
from service.redis.node import Node
from service.rollback.own_entries import BEYOND
from service.rollback.reading import replies_on
from service.rollback.scripts import STEP, lay_floor
from service.rollback.store import RollbackStore


class Floors:
    """Knows which buckets have had a floor, in this process or, by the user store, before it."""

    def __init__(self, redis: RedisClient, store: RollbackStore, steps_ahead: int) -> None:
        """Take the stores. `redis` must not be fenced.

        `steps_ahead`: how many steps codes may be early by.
        """
        self._redis = redis
        self._store = store
        self._steps_ahead = steps_ahead
        self._laid: set[int] = set()
        self._is_noted: bool | None = None

    async def doubt(
        self, floors: Mapping[int, bool], numbers: Mapping[int, int], expected: Sequence[int]
    ) -> dict[int, int]:
        """Expect more of emptied buckets whose numbers are not lower than `expected`.

        Who did not know has ended sessions there, and numbers were given anew: so they tell nothing
        any more, and what was lost has to end by a cut-off. Before the floors are laid: whoever is
        killed on the way leaves it to others. Return what is expected now, where it is another.

        Raises:
            StoreUnavailable: the user store. It is to be done again.
        """
        absent = [bucket for bucket, is_there in floors.items() if not is_there]
        if absent and self._is_noted is None:
            self._is_noted = await self._store.has_floors()
        raised = {
            bucket: numbers[bucket] + BEYOND
            for bucket in absent
            if (self._is_noted or bucket in self._laid)
            and numbers.get(bucket, 0) >= max(expected[bucket], 1)
        }
        if raised:
            await self._store.raise_to(raised)
        return raised

    async def raise_on(self, connection: AbstractConnection, buckets: Collection[int]) -> None:
        """Have all codes and tickets of this moment count as used, over a connection to a server.

        Raises:
            redis.exceptions.RedisError, OSError: it is not done, so nobody may be served.
        """
        seconds, micros = map(int, (await replies_on(connection, [("TIME",)]))[0])
        await replies_on(connection, self._sets(buckets, seconds * 1000 + micros // 1000))

    async def raise_at(self, node: Node, buckets: Collection[int]) -> None:
        """Do the same at a server that is connected to. Never raises."""
        with suppress(exceptions.RedisError, OSError):  # who serves it meets the same
            seconds, micros = map(int, await node.ask(("TIME",), False))
            sets = self._sets(buckets, seconds * 1000 + micros // 1000)
            await asyncio.gather(*(node.ask(each, False) for each in sets))

    def _sets(self, buckets: Collection[int], now: int) -> list[tuple[str, bytes, int]]:
        names = [numbered(bucket) for bucket in buckets]
        step = now // STEP + self._steps_ahead
        return [("SET", each.totp_floor, step) for each in names] + [
            ("SET", each.ticket_floor, now) for each in names
        ]

    async def look(self, floors: Mapping[int, bool]) -> None:
        """Lay those of codes that are not there, and note when each bucket has had one.

        Raises:
            StoreUnavailable: Redis or the user store. It is to be done again.
        """
        absent = [bucket for bucket, is_there in floors.items() if not is_there]
        self._laid |= floors.keys() - absent
        if self._is_noted is None:
            self._is_noted = await self._store.has_floors()
        if absent:
            await asyncio.gather(*(self._lay(bucket) for bucket in absent))
        if not self._is_noted and len(self._laid) == BUCKETS:
            await self._store.note_floors()
            self._is_noted = True

    async def _lay(self, bucket: int) -> None:
        """Lay one: a floor that was there before is gone with the memory of used codes."""
        is_lost = self._is_noted or bucket in self._laid
        await lay_floor(
            self._redis,
            floor=numbered(bucket).totp_floor,
            lost=int(is_lost),
            ahead=self._steps_ahead,
        )
        self._laid.add(bucket)
