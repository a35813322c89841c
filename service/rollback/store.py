"""The tables of the fence, the journal and the lease in the user store."""

import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Select, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.database.engine import store_errors
from service.database.tables import fences, journal, leases
from service.redis.keys import BUCKETS
from service.rollback.dialects import Dialect, to_its_end
from service.rollback.entries import Batch, packed, unpacked
from service.rollback.presence import Presence

LEASE = 4_000
"""How long a process that says nothing keeps the lease from the others, ms."""

_NAME = "journal"
_MARKS = BUCKETS + 1
"""From this row on the fence has times of comparisons. (The one before: `note_floors`.)"""

_PAGE = 200
"""Batches that are read at once."""

Heads = Mapping[int, tuple[int, str]]
"""The number and the id of the last entry in the journal, by bucket."""


class RollbackStore:
    """Reads and writes them. Any method may raise `StoreUnavailable`."""

    def __init__(self, engine: AsyncEngine, owner: bytes) -> None:
        """Take the engine."""
        self._engine = engine
        self.owner = owner
        """What this process is known by."""
        self.presence = Presence(engine, owner)
        self._dialect = Dialect(engine)
        self._now: Any = self._dialect.now

    @to_its_end
    async def numbers(self) -> dict[int, int]:
        """Read the fence: the highest number that is known of each bucket."""
        with store_errors():
            async with self._engine.connect() as connection:
                query = select(fences.c.bucket, fences.c.number).where(fences.c.bucket < BUCKETS)
                rows = await connection.execute(query)
                return {row.bucket: row.number for row in rows}

    @to_its_end
    async def has_floors(self) -> bool:
        """Tell whether each bucket has once had a floor of its TOTP steps."""
        with store_errors():
            async with self._engine.connect() as connection:
                query = select(fences.c.bucket).where(fences.c.bucket == BUCKETS)
                return (await connection.execute(query)).first() is not None

    async def note_floors(self) -> None:
        """Note that each bucket has had one."""
        await self.raise_to({BUCKETS: 0})

    async def marks(self) -> dict[int, int]:
        """Read the times of comparisons that were noted, ms, by bucket."""
        query = select(fences.c.bucket, fences.c.number).where(fences.c.bucket >= _MARKS)
        return {row.bucket - _MARKS: row.number for row in await self._all(query)}

    @to_its_end
    async def note_marks(self, marks: Mapping[int, int]) -> None:
        """Note the times of comparisons, also where they are earlier than before."""
        rows = [{"bucket": _MARKS + bucket, "number": at} for bucket, at in sorted(marks.items())]
        if not rows:
            return
        statement = self._dialect.insert(fences)
        later = {"number": statement.excluded.number}
        with store_errors():
            async with self._engine.begin() as connection:
                await connection.execute(
                    statement.on_conflict_do_update(index_elements=[fences.c.bucket], set_=later),
                    rows,
                )

    @to_its_end
    async def raise_to(self, numbers: Mapping[int, int]) -> None:
        """Raise the fence of these buckets to these numbers, where it is lower."""
        with store_errors():
            async with self._engine.begin() as connection:
                await self._raise(connection, numbers)

    @to_its_end
    async def hold(self) -> bool:
        """Take the lease or prolong it, and tell whether this process holds it."""
        with store_errors():
            async with self._engine.connect() as connection:
                query = select(leases.c.owner, leases.c.until - self._now).where(
                    leases.c.name == _NAME
                )
                held = (await connection.execute(query)).first()
            owner, left = held or (b"", 0)
            if owner != self.owner and 0 < left <= LEASE:
                return False
            if owner == self.owner and LEASE / 2 < left <= LEASE:
                return True
            async with self._engine.begin() as connection:
                return await self._take(connection)

    @to_its_end
    async def release(self) -> None:
        """Give the lease back, if this process holds it."""
        mine = delete(leases).where(leases.c.name == _NAME, leases.c.owner == self.owner)
        with store_errors():
            async with self._engine.begin() as connection:
                await connection.execute(mine)

    @to_its_end
    async def heads(self) -> dict[int, tuple[int, str]]:
        """Find the last entry of each bucket in the journal."""
        newest = select(journal.c.bucket, func.max(journal.c.last).label("last"))
        found = newest.group_by(journal.c.bucket).subquery()
        query = select(journal.c.bucket, journal.c.last, journal.c.last_id).join(
            found, (journal.c.bucket == found.c.bucket) & (journal.c.last == found.c.last)
        )
        with store_errors():
            async with self._engine.connect() as connection:
                rows = await connection.execute(query)
                return {row.bucket: (row.last, row.last_id) for row in rows}

    @to_its_end
    async def append(self, batches: Sequence[Batch], heads: Heads) -> bool:
        """Add batches to the journal and raise the fence with them, in one transaction.

        False, and nothing was written: this process does not hold the lease any more, or the last
        entries in the journal are not those in `heads`: the user store was restored.
        """
        rows = [
            {
                "bucket": batch.bucket,
                "last": batch.last,
                "first": batch.first,
                "last_id": batch.entries[-1].id,
                "at": batch.entries[-1].milliseconds,
                "whole": batch.is_whole,
                "entries": packed(batch.entries),
            }
            for batch in batches
        ]
        holder = select(leases.c.owner).where(leases.c.name == _NAME)
        with store_errors():
            async with self._engine.begin() as connection:
                # Read before anything is written: SQLite has one writer, and sign-ups wait for it.
                # Two processes that take themselves for the holder write the same.
                if await connection.scalar(holder) != self.owner:
                    return False
                if await self._differ(connection, {batch.bucket for batch in batches}, heads):
                    await connection.rollback()
                    return False
                await connection.execute(
                    self._dialect.insert(journal).on_conflict_do_nothing(), rows
                )
                await self._raise(connection, {batch.bucket: batch.last for batch in batches})
        return True

    async def after(self, bucket: int, number: int) -> AsyncIterator[Batch]:
        """Yield the batches of a bucket that have an entry after that number, in their order."""
        while True:
            query = (
                select(journal.c.last, journal.c.whole, journal.c.entries)
                .where(journal.c.bucket == bucket, journal.c.last > number)
                .order_by(journal.c.last)
                .limit(_PAGE)
            )
            rows = await self._all(query)
            for row in rows:
                yield Batch(bucket, unpacked(row.entries), row.whole)
            if len(rows) < _PAGE:
                return
            number = rows[-1].last

    @to_its_end
    async def prune(self, life: int) -> None:
        """Forget batches that are older than `life` ms, but the last of each bucket.

        Older by our clock and by the database's: one of them that is wrong forgets nothing.
        """
        ours = round(time.time() * 1000)
        newest = journal.alias()
        last = select(func.max(newest.c.last)).where(newest.c.bucket == journal.c.bucket)
        old = delete(journal).where(
            journal.c.at < ours - life,
            journal.c.at < self._now - life,
            journal.c.last < last.scalar_subquery(),
        )
        with store_errors():
            async with self._engine.begin() as connection:
                await connection.execute(old)

    @to_its_end
    async def _all(self, query: Select[Any]) -> Sequence[Any]:
        with store_errors():
            async with self._engine.connect() as connection:
                rows: Sequence[Any] = (await connection.execute(query)).all()
                return rows

    async def _differ(
        self, connection: AsyncConnection, buckets: Collection[int], heads: Heads
    ) -> bool:
        query = select(journal.c.bucket, func.max(journal.c.last).label("last")).where(
            journal.c.bucket.in_(sorted(buckets))
        )
        rows = await connection.execute(query.group_by(journal.c.bucket))
        there = {row.bucket: row.last for row in rows}
        return any(there.get(each, 0) != heads.get(each, (0, ""))[0] for each in buckets)

    async def _take(self, connection: AsyncConnection) -> bool:
        statement = self._dialect.insert(leases).values(
            name=_NAME, owner=self.owner, until=self._now + LEASE
        )
        # One that ends later than any does was taken before the database's clock was put back.
        over = or_(leases.c.until < self._now, leases.c.until > self._now + LEASE)
        taken = await connection.execute(
            statement.on_conflict_do_update(
                index_elements=[leases.c.name],
                set_={"owner": statement.excluded.owner, "until": statement.excluded.until},
                where=or_(leases.c.owner == self.owner, over),
            )
        )
        return taken.rowcount == 1

    async def _raise(self, connection: AsyncConnection, numbers: Mapping[int, int]) -> None:
        if not numbers:
            return
        statement = self._dialect.insert(fences)
        number = statement.excluded.number
        await connection.execute(
            statement.on_conflict_do_update(
                index_elements=[fences.c.bucket],
                set_={"number": number},
                where=number > fences.c.number,
            ),
            # In one order: two processes that raise the same rows do not wait for each other.
            [{"bucket": bucket, "number": numbers[bucket]} for bucket in sorted(numbers)],
        )
