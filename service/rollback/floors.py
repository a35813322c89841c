"""Lays the floor of the TOTP steps in each bucket, `totp:{b}:floor`.

A code counts where the bucket has a floor, and only if it is of a later step. FLUSHALL takes the
floor away with the memory of the codes that were used, and breaks no connection: so the scripts
that judge codes ask for it in the same step, and judge none where it is absent. Whoever notices
lays it anew, above all codes of that moment. Only where there has never been one it lets all pass.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence

from service.redis.client import RedisClient
from service.redis.keys import BUCKETS, numbered
from service.rollback.scripts import lay_floor
from service.rollback.store import RollbackStore

_BEYOND = 8
"""Numbers that may be given in a bucket until all know that it was emptied."""


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
            bucket: numbers[bucket] + _BEYOND
            for bucket in absent
            if (self._is_noted or bucket in self._laid)
            and numbers.get(bucket, 0) >= max(expected[bucket], 1)
        }
        if raised:
            await self._store.raise_to(raised)
        return raised

    async def look(self, there: Collection[int], absent: Collection[int]) -> None:
        """Lay floors where they are `absent`, and note when each bucket has had one.

        Raises:
            StoreUnavailable: Redis or the user store. It is to be done again.
        """
        self._laid.update(there)
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
