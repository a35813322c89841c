"""Does the revocations of a bucket again that a Redis has lost by going back in time."""

import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from service.errors import StoreUnavailable
from service.redis.client import RedisClient
from service.redis.keys import FEED_SKEW, numbered
from service.rollback.entries import Coverage, Entry
from service.rollback.scripts import redo, settle, use_up
from service.rollback.store import RollbackStore

_AT_ONCE = 100
"""Entries that are done again in one step."""


class Replayed(msgspec.Struct, frozen=True):
    """What was done in a bucket."""

    bucket: int
    had: int
    expected: int
    entries: int
    ended: int
    """Sessions that had come back, and have ended again."""
    cut_off: bool
    is_acknowledged: bool = True
    """Whether enough replicas have it. Without, it may have been done or not, and is done again."""


class Replay:
    """Does them again. It may be done by several at once, and again after whoever was killed."""

    def __init__(
        self,
        redis: RedisClient,
        store: RollbackStore,
        feed_life: int,
        *,
        always_cut_off: bool,
        steps_ahead: int,
    ) -> None:
        """Take the stores. `redis` must not be fenced.

        `feed_life`: how long guards need an entry, in ms; longer here, as our clock may differ
        from Redis'. `always_cut_off`: also where the journal has all. `steps_ahead`: how many steps
        TOTP codes may be early by.
        """
        self._redis = redis
        self._store = store
        self._feed_life = feed_life + 2 * FEED_SKEW.total_seconds() * 1000
        self._always_cut_off = always_cut_off
        self._steps_ahead = steps_ahead

    async def run(
        self,
        bucket: int,
        had: int,
        expected: int,
        tell: Callable[[Replayed], object] = lambda _: None,
    ) -> Replayed | None:
        """Do again what a bucket has lost after the entry `had`, and number its feed on.

        `None`: somebody else has, or Redis has another number by now. `tell` hears what was done,
        also where that was not acknowledged.

        Raises:
            StoreUnavailable: nobody can be served yet; it is to be done again.
        """
        coverage, entries, ended = Coverage(had, expected), 0, 0
        needed_from = time.time() * 1000 - self._feed_life
        waiting: list[Entry] = []
        first: Entry | None = None
        async for batch in self._store.after(bucket, had):
            waiting += coverage.take(batch)
            first = first or next(iter(waiting), None)
            while len(waiting) >= _AT_ONCE:
                done = await self._redo(bucket, had, waiting[:_AT_ONCE], needed_from, expected)
                if done is None:
                    return None
                entries, ended, waiting = entries + _AT_ONCE, ended + done, waiting[_AT_ONCE:]
        done = await self._redo(bucket, had, waiting, needed_from, expected)
        if done is None:
            return None
        entries, ended = entries + len(waiting), ended + done
        cut_off = self._always_cut_off or not coverage.is_whole
        # Of an emptied Redis nobody's session is left, and of what was in it since no entry is
        # known. So everybody is cut off, which guards take for the end of whatever came before.
        cut_off = cut_off or await self._begins_anew(bucket, first)
        cut_off = cut_off or await self._was_given_twice(bucket, had)
        replayed = Replayed(bucket, had, expected, entries, ended, cut_off)
        try:
            if not await self._settle(bucket, had, expected, entries, cut_off):
                return None
        except StoreUnavailable:
            # Everybody may have been cut off for good.
            tell(msgspec.structs.replace(replayed, is_acknowledged=False))
            raise
        tell(replayed)
        return replayed

    async def _begins_anew(self, bucket: int, lost: Entry | None) -> bool:
        """Tell whether all that the bucket has came after the first entry that was `lost`."""
        found = await self._redis.execute("XRANGE", numbered(bucket).events, "-", "+", "COUNT", "1")
        if not found or lost is None:
            return True
        return int(found[0][0].partition(b"-")[0]) >= lost.milliseconds

    async def _was_given_twice(self, bucket: int, number: int) -> bool:
        """Tell whether the feed lacks the entry that the journal has under this number.

        Who did not know that Redis had gone back has written to it: what the number was given for
        first is lost, although Redis has the number.
        """
        async for batch in self._store.after(bucket, number - 1):
            for entry in batch.entries:
                if entry.number == number:
                    key = numbered(bucket).revoked
                    return not await self._redis.execute("XRANGE", key, entry.id, entry.id)
            break
        return False

    async def use_up(self, bucket: int) -> None:
        """Have all TOTP codes and tickets of this moment count as used in a bucket that has lost no
        revocation: it may have lost which were. Never raises."""
        with suppress(StoreUnavailable):
            # Where nothing has ever happened nobody's session ends by it, and guards need not doubt
            # any more whether the server was emptied of something there.
            if not await self._redis.execute("EXISTS", numbered(bucket).events):
                await self._settle(bucket, 0, 1, 0, cut_off=True)
            await use_up(
                self._redis,
                floor=numbered(bucket).totp_floor,
                tickets=numbered(bucket).ticket_floor,
                ahead=self._steps_ahead,
            )

    async def covers(self, bucket: int, had: int, expected: int) -> bool:
        """Tell whether the journal has all that a bucket has lost. Changes nothing."""
        coverage = Coverage(had, expected)
        async for batch in self._store.after(bucket, had):
            coverage.take(batch)
        return coverage.is_whole and not await self._was_given_twice(bucket, had)

    async def _redo(
        self, bucket: int, had: int, entries: list[Entry], needed_from: float, expected: int
    ) -> int | None:
        if not entries:
            return 0
        keys = numbered(bucket)
        values: list[bytes | str | int] = [had, keys.index, keys.tag]
        for entry, later in zip(entries, (*entries[1:], None), strict=True):
            # With the newest of those before: a feed that begins with one that matters lacks some.
            is_needed = (
                later is None
                or later.milliseconds >= needed_from
                or entry.milliseconds >= needed_from
                or entry.number == expected
            )
            values += (entry.number, entry.id, entry.kind, entry.user, entry.subject, entry.at)
            values.append(int(is_needed))
        ended: int = await redo(
            self._redis,
            revocations=keys.revocations,
            revoked=keys.revoked,
            before=keys.before,
            values=values,
        )
        return None if ended < 0 else ended

    async def _settle(
        self, bucket: int, had: int, expected: int, entries: int, cut_off: bool
    ) -> bool:
        keys = numbered(bucket)
        number: int = await settle(
            self._redis,
            events=keys.events,
            before=keys.before,
            revocations=keys.revocations,
            revoked=keys.revoked,
            floor=keys.totp_floor,
            tickets=keys.ticket_floor,
            user="",
            ip="",
            request="",
            bucket=bucket,
            had=had,
            expected=expected,
            replayed=entries,
            cut=int(cut_off),
            ahead=self._steps_ahead,
        )
        return number >= 0
